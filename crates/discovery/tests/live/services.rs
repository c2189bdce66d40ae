use std::time::Duration;

use pailou_nacos_lite::{Instance, ServiceKey};

use crate::gateway::{Gateway, ROUTES, put, registry, registry_at, until};

#[tokio::test]
async fn instances_that_come_and_go_are_followed() {
    let registry = registry().await;
    put(&registry, "users", 9001);
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    gateway.until_ports("users", &[9001]).await;
    put(&registry, "users", 9002);
    gateway.until_ports("users", &[9001, 9002]).await;
    registry.remove_instance("users", "127.0.0.1", 9001);
    gateway.until_ports("users", &[9002]).await;
    let feed = gateway.feed("users").expect("a feed");
    assert!(feed.known && feed.named && !feed.stale);
    assert_eq!((feed.listed, feed.held), (1, 0));
}

#[tokio::test]
async fn a_service_that_a_route_brings_is_known_before_the_swap() {
    let registry = registry().await;
    put(&registry, "users", 9001);
    registry.publish_config(ROUTES, "routes: {}");
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    for round in 0..20 {
        let service = format!("service-{round}");
        put(&registry, &service, 9001);
        registry.publish_config(ROUTES, &format!("routes: {{ /x/**: {service} }}"));
        // Poll without a pause: the very first moment of the route counts.
        let expected = format!("/x/**={service}");
        let limit = tokio::time::Instant::now() + Duration::from_secs(10);
        while gateway.routes() != [expected.as_str()] {
            assert!(tokio::time::Instant::now() < limit, "{expected}");
            tokio::task::yield_now().await;
        }
        assert!(
            gateway.answers("/x/**"),
            "{service} has an endpoint at once"
        );
    }
}

#[tokio::test]
async fn a_service_that_no_route_names_is_unsubscribed_after_the_grace() {
    let registry = registry().await;
    put(&registry, "users", 9001);
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        settings.discovery.unsubscribe_after = Duration::from_millis(500);
    });
    gateway.discovery.ready().await;
    assert_eq!(registry.subscribers("users"), 1);
    registry.publish_config(ROUTES, "routes: {}");
    gateway.until_routes(&[]).await;
    // The table is swapped first, and the services are counted after it.
    until("it is kept for the grace", || {
        gateway.feed("users").is_some_and(|feed| !feed.named)
    })
    .await;
    // Named again in time: the subscription never ended.
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    gateway.until_routes(&["/users/**=users"]).await;
    assert!(gateway.answers("/users/**"));
    registry.publish_config(ROUTES, "routes: {}");
    until("it is unsubscribed", || registry.subscribers("users") == 0).await;
    assert!(gateway.feed("users").is_none());
}

#[tokio::test]
async fn a_nacos_that_restarts_empty_costs_no_endpoint_until_the_hold_ends() {
    let registry = registry().await;
    let address = registry.http_addr();
    for port in [9001, 9002, 9003] {
        put(&registry, "users", port);
    }
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    let gateway = Gateway::start(address, |_| {});
    gateway.discovery.ready().await;
    gateway.until_ports("users", &[9001, 9002, 9003]).await;

    registry.stop().await;
    until("the loss is seen", || {
        gateway.feed("users").is_some_and(|feed| feed.stale)
    })
    .await;
    assert_eq!(gateway.ports("users"), [9001, 9002, 9003]);
    assert_eq!(gateway.routes(), ["/users/**=users"]);

    let registry = registry_at(address).await;
    until("the hold began", || {
        gateway.feed("users").is_some_and(|feed| feed.held == 3)
    })
    .await;
    assert_eq!(gateway.ports("users"), [9001, 9002, 9003]);
    assert!(gateway.answers("/users/**"));
    // The document is gone with Nacos's memory: the last good one stays.
    assert_eq!(gateway.routes(), ["/users/**=users"]);
    put(&registry, "users", 9002);
    until("one is back", || {
        gateway.feed("users").is_some_and(|feed| feed.held == 2)
    })
    .await;
    assert_eq!(gateway.ports("users"), [9001, 9002, 9003]);
    assert!(
        gateway
            .endpoints("users")
            .iter()
            .all(|endpoint| endpoint.is_in)
    );
    put(&registry, "users", 9001);
    // The third one never comes back: it goes when the hold ends.
    gateway.until_ports("users", &[9001, 9002]).await;
    let feed = gateway.feed("users").expect("a feed");
    assert_eq!((feed.held, feed.stale), (0, false));
}

#[tokio::test]
async fn a_real_scale_to_zero_is_believed_after_the_hold_of_that_service() {
    let registry = registry().await;
    put(&registry, "users", 9001);
    put(&registry, "batch", 9002);
    registry.publish_config(ROUTES, "routes: { /users/**: users, /batch/**: batch }");
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        settings.discovery.hold = Duration::from_secs(60);
        settings
            .discovery
            .hold_services
            .insert("batch".to_owned(), Duration::from_millis(300));
    });
    gateway.discovery.ready().await;
    registry.remove_instance("users", "127.0.0.1", 9001);
    registry.remove_instance("batch", "127.0.0.1", 9002);
    gateway.until_ports("batch", &[]).await;
    until("users is held", || {
        gateway.feed("users").is_some_and(|feed| feed.held == 1)
    })
    .await;
    assert!(gateway.answers("/users/**"));
}

#[tokio::test]
async fn services_of_other_namespaces_and_groups_are_followed_over_their_own_connection() {
    let registry = registry().await;
    registry.put_instance(
        ServiceKey::new("dev", "SHOP", "users"),
        Instance::new("127.0.0.1", 9001),
    );
    put(&registry, "users", 9002);
    let route = "routes: { /dev/**: { service: { name: users, namespace: dev, group: SHOP } }, /users/**: users }";
    registry.publish_config(ROUTES, route);
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    assert!(gateway.answers("/dev/**") && gateway.answers("/users/**"));
    let view = gateway.discovery.view();
    let namespaces: Vec<_> = view
        .sessions
        .iter()
        .map(|session| session.namespace.as_str())
        .collect();
    assert_eq!(namespaces, ["", "dev"]);
    let services: Vec<_> = view
        .services
        .iter()
        .map(|feed| feed.service.as_str())
        .collect();
    assert_eq!(services, ["DEFAULT_GROUP@@users", "dev/SHOP@@users"]);
    assert_eq!(registry.connections(), 2);
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    until(
        "the connection goes with the last service of its namespace",
        || registry.connections() == 1,
    )
    .await;
}

#[tokio::test]
async fn our_own_listener_and_denied_addresses_are_no_endpoints() {
    let registry = registry().await;
    for (ip, port) in [
        ("127.0.0.1", 18080),
        ("169.254.169.254", 80),
        ("0.0.0.0", 80),
        ("127.0.0.1", 9001),
    ] {
        registry.put_instance("users", Instance::new(ip, port));
    }
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    assert_eq!(gateway.ports("users"), [9001]);
    let feed = gateway.feed("users").expect("a feed");
    let reasons: Vec<_> = feed.refused.iter().map(|refused| refused.reason).collect();
    assert_eq!(
        reasons,
        [
            "unspecified address",
            "a listener of this gateway",
            "link-local address"
        ]
    );
}

#[tokio::test]
async fn services_that_come_back_one_by_one_after_a_restart_lose_nothing_on_the_way() {
    let registry = registry().await;
    let address = registry.http_addr();
    let ports = [9001, 9002, 9003, 9004];
    for port in ports {
        put(&registry, "users", port);
        put(&registry, "orders", port + 100);
    }
    registry.publish_config(ROUTES, "routes: { /users/**: users, /orders/**: orders }");
    let gateway = Gateway::start(address, |settings| {
        settings.discovery.hold = Duration::from_secs(60);
    });
    gateway.discovery.ready().await;
    registry.stop().await;
    let registry = registry_at(address).await;
    for back in 0..=ports.len() {
        for service in ["users", "orders"] {
            until(&format!("{service} has {back} again"), || {
                gateway
                    .feed(service)
                    .is_some_and(|feed| feed.held == ports.len() - back && !feed.stale)
            })
            .await;
            assert_eq!(gateway.ports(service).len(), ports.len());
        }
        if let Some(port) = ports.get(back) {
            put(&registry, "users", *port);
            put(&registry, "orders", port + 100);
        }
    }
}

#[tokio::test]
async fn an_address_that_another_service_took_over_is_not_held() {
    let registry = registry().await;
    let address = registry.http_addr();
    put(&registry, "users", 9001);
    put(&registry, "users", 9002);
    // One process may be two services: that takes nothing over.
    put(&registry, "both", 9002);
    put(&registry, "orders", 9003);
    let routes = "routes: { /users/**: users, /both/**: both, /orders/**: orders }";
    registry.publish_config(ROUTES, routes);
    let gateway = Gateway::start(address, |settings| {
        settings.discovery.hold = Duration::from_secs(60);
    });
    gateway.discovery.ready().await;
    gateway.until_ports("users", &[9001, 9002]).await;
    registry.stop().await;
    let registry = registry_at(address).await;
    until("everything is held", || {
        ["users", "both", "orders"].iter().all(|service| {
            gateway
                .feed(service)
                .is_some_and(|feed| !feed.stale && feed.held > 0)
        })
    })
    .await;
    assert_eq!(gateway.ports("users"), [9001, 9002]);

    // Behind 9001 is another program by now.
    put(&registry, "orders", 9001);
    put(&registry, "both", 9002);
    gateway.until_ports("users", &[9002]).await;
    gateway.until_ports("orders", &[9001, 9003]).await;
    gateway.until_ports("both", &[9002]).await;
    let feed = gateway.feed("users").expect("a feed");
    assert_eq!(feed.held, 1, "the other one's owner was there before");
}

#[tokio::test]
async fn a_service_that_is_gone_from_an_address_that_another_one_has_is_not_held() {
    let registry = registry().await;
    put(&registry, "users", 9001);
    registry.publish_config(ROUTES, "routes: { /users/**: users, /orders/**: orders }");
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        settings.discovery.hold = Duration::from_secs(60);
    });
    gateway.discovery.ready().await;
    put(&registry, "orders", 9001);
    gateway.until_ports("orders", &[9001]).await;
    registry.remove_instance("users", "127.0.0.1", 9001);
    gateway.until_ports("users", &[]).await;
    assert!(gateway.answers("/orders/**"));
}
