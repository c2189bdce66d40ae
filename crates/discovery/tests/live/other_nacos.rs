//! More than one Nacos: documents of one, instances of another.

use std::net::SocketAddr;
use std::time::Duration;

use pailou_config::{NacosSettings, ServerAddress, Settings};
use pailou_discovery::SessionView;
use pailou_nacos_lite::{Instance, ServiceKey};
use pailou_upstream::ServiceId;

use crate::gateway::{Gateway, ROUTES, config, config_in, put, registry, registry_at, until};

fn east(settings: &mut Settings, address: SocketAddr) {
    let nacos = NacosSettings {
        servers: vec![ServerAddress {
            host: address.ip().to_string(),
            port: address.port(),
            is_https: false,
        }],
        ..settings.nacos.clone()
    };
    settings.other_nacos.insert("east".to_owned(), nacos);
}

fn sessions(gateway: &Gateway) -> Vec<(String, String, bool)> {
    let session = |session: SessionView| {
        let connected = session.connection.connected;
        (session.nacos, session.namespace, connected)
    };
    let sessions = gateway.discovery.view().sessions;
    sessions.into_iter().map(session).collect()
}

fn expected(sessions: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
    let owned = |(nacos, namespace, connected): &(&str, &str, bool)| {
        ((*nacos).to_owned(), (*namespace).to_owned(), *connected)
    };
    sessions.iter().map(owned).collect()
}

#[tokio::test]
async fn routes_of_one_cluster_lead_to_services_of_another() {
    let (main, other) = (registry().await, registry().await);
    put(&main, "users", 9001);
    put(&other, "users", 9002);
    let in_dev = ServiceKey::new("dev", "DEFAULT_GROUP", "users");
    other.put_instance(in_dev, Instance::new("127.0.0.1", 9003));
    main.publish_config(
        ROUTES,
        "routes: { /main/**: users, /east/**: { service: { name: users, nacos: east } } }",
    );
    other.publish_config(
        ROUTES,
        "routes: { /dev/**: { service: { name: users, nacos: east, namespace: dev } } }",
    );
    let gateway = Gateway::start(main.http_addr(), |settings| {
        east(settings, other.http_addr());
        settings.routes = vec![config(ROUTES), config_in("east", "", ROUTES)];
    });
    gateway.discovery.ready().await;
    for (route, port) in [("/main/**", 9001), ("/east/**", 9002), ("/dev/**", 9003)] {
        let table = gateway.table.load();
        let target = &table.route(route).expect("a route").target;
        let service = target.selection().expect("a service").service();
        let endpoints = service.view().endpoints;
        let ports: Vec<_> = endpoints.iter().map(|one| one.address.port()).collect();
        assert_eq!(ports, [port], "{route}");
    }
    assert_eq!(gateway.document(0).name, format!("DEFAULT_GROUP/{ROUTES}"));
    assert_eq!(
        gateway.document(1).name,
        format!("east:DEFAULT_GROUP/{ROUTES}")
    );
    let all = [
        ("default", "", true),
        ("east", "", true),
        ("east", "dev", true),
    ];
    assert_eq!(sessions(&gateway), expected(&all));
    assert!(gateway.metrics.render().contains("pailou_sessions 3"));

    // The connection of a namespace goes with the last service there; a document keeps its own.
    other.publish_config(ROUTES, "routes: {}");
    main.publish_config(ROUTES, "routes: { /main/**: users }");
    until("one connection is let go of", || {
        sessions(&gateway) == expected(&all[..2])
    })
    .await;
    until("the server sees it", || other.connections() == 1).await;
}

#[tokio::test]
async fn a_cluster_that_is_down_disturbs_no_other() {
    let (main, other) = (registry().await, registry().await);
    let address = other.http_addr();
    put(&main, "users", 9001);
    put(&other, "orders", 9002);
    main.publish_config(
        ROUTES,
        "routes: { /users/**: users, /orders/**: { service: { name: orders, nacos: east } } }",
    );
    let gateway = Gateway::start(main.http_addr(), |settings| {
        east(settings, address);
        settings.discovery.hold = Duration::from_secs(60);
    });
    gateway.discovery.ready().await;
    let orders = ServiceId {
        nacos: "east".into(),
        ..ServiceId::new("", "DEFAULT_GROUP", "orders")
    };
    let feed = |label: &str| {
        let feeds = gateway.discovery.view().services;
        let found = feeds.into_iter().find(|feed| feed.service == label);
        found.expect("a feed")
    };
    other.stop().await;
    until("the loss is seen", || {
        feed("east:DEFAULT_GROUP@@orders").stale
    })
    .await;
    assert!(!feed("DEFAULT_GROUP@@users").stale);
    assert!(gateway.answers("/orders/**") && gateway.answers("/users/**"));
    put(&main, "users", 9003);
    gateway.until_ports("users", &[9001, 9003]).await;

    let other = registry_at(address).await;
    until("it is held", || {
        feed("east:DEFAULT_GROUP@@orders").held == 1
    })
    .await;
    put(&other, "orders", 9004);
    until("both are there", || {
        gateway.services.service(&orders).view().endpoints.len() == 2
    })
    .await;
}

#[tokio::test]
async fn the_snapshot_knows_the_clusters_apart() {
    let (main, other) = (registry().await, registry().await);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot");
    put(&main, "users", 9001);
    put(&other, "users", 9002);
    main.publish_config(
        ROUTES,
        "routes: { /main/**: users, /east/**: { service: { name: users, nacos: east } } }",
    );
    let addresses = (main.http_addr(), other.http_addr());
    let start = || {
        Gateway::start(addresses.0, |settings| {
            east(settings, addresses.1);
            settings.snapshot.path = Some(path.clone());
        })
    };
    let gateway = start();
    gateway.discovery.ready().await;
    until("both are kept", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains(":9001") && text.contains(":9002")
    })
    .await;
    gateway.discovery.stop().await;
    other.stop().await;
    let gateway = start();
    gateway.discovery.ready().await;
    assert!(gateway.answers("/main/**") && gateway.answers("/east/**"));
    let from_snapshot: Vec<_> = gateway
        .discovery
        .view()
        .services
        .into_iter()
        .map(|feed| (feed.service, feed.from_snapshot))
        .collect();
    let expected = [
        ("DEFAULT_GROUP@@users".to_owned(), false),
        ("east:DEFAULT_GROUP@@users".to_owned(), true),
    ];
    assert_eq!(from_snapshot, expected);
}

#[tokio::test]
async fn a_route_to_an_unknown_cluster_is_refused() {
    let main = registry().await;
    main.publish_config(
        ROUTES,
        "routes: { /west/**: { service: { name: users, nacos: west } } }",
    );
    let gateway = Gateway::start(main.http_addr(), |settings| {
        east(settings, SocketAddr::from(([127, 0, 0, 1], 9)));
    });
    until("it is refused", || !gateway.document(0).faults.is_empty()).await;
    let fault = gateway.document(0).faults.remove(0);
    assert!(fault.problem.contains("`west`"), "{fault}");
    assert_eq!(fault.expected.as_deref(), Some("one of default, east"));
    assert_eq!(gateway.discovery.view().sessions.len(), 1, "none is needed");
}
