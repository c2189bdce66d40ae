//! Which instances a route means: namespaces, groups, clusters, and addresses that are never used.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use pailou_nacos::{Instance, Publish};
use serde_json::Value;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{ROUTES, World, until_answered_by, until_status};

fn instance(address: SocketAddr) -> Instance {
    Instance::new(address.ip().to_string(), address.port())
}

/// Everybody who answers twenty requests.
async fn answerers(gateway: &Gateway, path: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..20 {
        let response = reqwest::get(gateway.url(path)).await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        names.insert(
            response.headers()["x-instance"]
                .to_str()
                .expect("text")
                .to_owned(),
        );
    }
    names
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_in_several_namespaces_groups_and_clusters_is_several_services() {
    let world = World::new().await;
    let upstreams = ["public", "east", "dev", "group"].map(Upstream::start);
    let [public, east, dev, group] = upstreams.each_ref().map(|one| instance(one.address()));
    let east = Instance {
        cluster: "east".to_owned(),
        ..east
    };
    let _registered = [
        world.register_instance("user-service", public).await,
        world.register_instance("user-service", east).await,
        world.register_instance(("G2", "user-service"), group).await,
        world
            .register_over(world.client().with_namespace("dev"), "user-service", dev)
            .await,
    ];
    world
        .publish(
            "routes:\n  /public/**: user-service\n  \
             /east/**: { service: { name: user-service, cluster: east } }\n  \
             /group/**: { service: { name: user-service, group: G2 } }\n  \
             /dev/**: { service: { name: user-service, namespace: dev } }\n",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    for (path, expected) in [
        ("/public/x", &["public", "east"][..]),
        ("/east/x", &["east"]),
        ("/group/x", &["group"]),
        ("/dev/x", &["dev"]),
    ] {
        for name in expected {
            until_answered_by(&gateway.url(path), name).await;
        }
        assert_eq!(answerers(&gateway, path).await, names(expected), "{path}");
    }

    // A connection for each namespace, and a name alone is not enough to say which one is meant.
    let status = gateway.admin_json("/api/v1/status").await;
    assert_eq!(
        status["nacos"].as_array().map(Vec::len),
        Some(2),
        "{status}"
    );
    let url = gateway.admin_url("/api/v1/services/user-service");
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 409);
    let choices: Value = answer.json().await.expect("JSON");
    let detail = choices["detail"].as_str().expect("a text");
    for choice in detail.trim_start_matches("say which one: ").split(", ") {
        let path = format!("/api/v1/services/{}", choice.replace('/', "%2F"));
        let view = gateway.admin_json(&path).await;
        assert_eq!(view["service"], choice, "{view}");
    }
}

/// Two versions in two clusters at one address, a third one of weight 0: the address was listed once, by chance.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_listed_several_times_serves_each_route_that_wants_one_of_them() {
    let world = World::new().await;
    let one = Upstream::start("one");
    let listed = |cluster: &str, version: &str, weight| Instance {
        cluster: cluster.to_owned(),
        metadata: [("version".to_owned(), version.to_owned())].into(),
        weight,
        ..instance(one.address())
    };
    let _registered = [
        world
            .register_instance("user-service", listed("out", "v0", 0.0))
            .await,
        world
            .register_instance("user-service", listed("east", "v1", 1.0))
            .await,
        world
            .register_instance("user-service", listed("west", "v2", 1.0))
            .await,
    ];
    let of = |path: &str, what: &str| {
        format!("  /{path}/**: {{ service: {{ name: user-service, {what} }} }}\n")
    };
    let routes = [
        of("v1", "metadata: { version: v1 }"),
        of("v2", "metadata: { version: v2 }"),
        of("east", "cluster: east"),
        of("west", "cluster: west"),
        of("out", "cluster: out"),
    ];
    world
        .publish(&format!(
            "routes:\n  /all/**: user-service\n{}",
            routes.concat()
        ))
        .await;
    let gateway = world.gateway().await.ready().await;
    for path in ["all", "v1", "v2", "east", "west"] {
        until_status(&gateway.url(&format!("/{path}/x")), 200).await;
    }
    until_status(&gateway.url("/out/x"), 503).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_document_may_be_in_another_namespace() {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    let ops = world.client().with_namespace("ops");
    let publish = async |document: &str| {
        ops.publish_config(ROUTES, document, Publish::default())
            .await
            .expect("published");
    };
    publish("routes: { /ops/**: user-service }").await;
    let more = "routes: [{ data_id: pailou-routes.yaml, namespace: ops }]";
    let gateway = world.gateway_with(more).await.ready().await;
    until_status(&gateway.url("/ops/x"), 200).await;
    publish("routes: { /changed/**: user-service }").await;
    until_status(&gateway.url("/changed/x"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_never_sends_a_request_to_itself() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let _itself = world.register("user-service", gateway.data()).await;
    let view = gateway
        .admin_until(
            "its own address to be refused",
            "/api/v1/services/user-service",
            |view| {
                view["feed"]["refused"]
                    .as_array()
                    .is_some_and(|refused| !refused.is_empty())
            },
        )
        .await;
    let refused = &view["feed"]["refused"][0];
    assert!(
        refused.to_string().contains(&gateway.data().to_string()),
        "{view}"
    );
    assert!(
        refused.to_string().contains("a listener of this gateway"),
        "{view}"
    );
    assert_eq!(answerers(&gateway, "/api/users/x").await, names(&["one"]));
    gateway
        .logged(&["WARN", "a listener of this gateway"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_endpoint_is_refused_and_told() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    for (ip, port) in [("169.254.169.254", 80), ("224.0.0.1", 80), ("0.0.0.0", 80)] {
        world
            .registry()
            .put_instance("user-service", pailou_nacos_lite::Instance::new(ip, port));
    }
    let view = gateway
        .admin_until(
            "three to be refused",
            "/api/v1/services/user-service",
            |view| {
                view["feed"]["refused"]
                    .as_array()
                    .is_some_and(|refused| refused.len() == 3)
            },
        )
        .await;
    assert_eq!(
        view["endpoints"].as_array().map(Vec::len),
        Some(1),
        "{view}"
    );
    assert_eq!(answerers(&gateway, "/api/users/x").await, names(&["one"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_out_says_why_whatever_the_reason() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let one = |port: u16| pailou_nacos_lite::Instance::new("127.0.0.1", port);
    let cases = [
        (
            "unhealthy",
            pailou_nacos_lite::Instance {
                healthy: false,
                ..one(2)
            },
        ),
        (
            "weight refused",
            pailou_nacos_lite::Instance {
                weight: -1.0,
                ..one(3)
            },
        ),
        (
            "weight zero",
            pailou_nacos_lite::Instance {
                weight: 0.0,
                ..one(4)
            },
        ),
    ];
    for (_, instance) in &cases {
        world
            .registry()
            .put_instance("user-service", instance.clone());
    }
    let view = gateway
        .admin_until("four instances", "/api/v1/services/user-service", |view| {
            view["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == 4)
        })
        .await;
    for (reason, instance) in &cases {
        let address = format!("127.0.0.1:{}", instance.port);
        let all = view["endpoints"].as_array().expect("endpoints");
        let own = all
            .iter()
            .find(|one| one["address"] == address)
            .expect("the instance");
        assert_eq!(own["in"], false, "{own}");
        assert_eq!(own["reasons"], serde_json::json!([reason]), "{own}");
    }
    assert_eq!(answerers(&gateway, "/api/users/x").await, names(&["one"]));
    gateway.logged(&["WARN", "weight", "127.0.0.1:3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_registered_by_its_host_name_is_resolved() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let named = Upstream::start("named");
    let _named = world
        .register_instance(
            "user-service",
            Instance::new("localhost", named.address().port()),
        )
        .await;
    until_answered_by(&gateway.url("/api/users/1"), "named").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_no_route_names_is_unsubscribed_after_the_grace_time() {
    let (world, upstream, _registered, gateway) =
        World::small_with("discovery: { unsubscribe_after: 3s }").await;
    let _other = world.register("other-service", upstream.address()).await;
    world
        .publish("routes: { /api/users/**: user-service, /other/**: other-service }")
        .await;
    until_status(&gateway.url("/other/x"), 200).await;
    let subscribers = |service: &str| world.registry().subscribers(service);
    assert_eq!(
        (subscribers("user-service"), subscribers("other-service")),
        (1, 1)
    );

    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    until_status(&gateway.url("/other/x"), 404).await;
    assert_eq!(
        subscribers("other-service"),
        1,
        "a table that is taken back finds it at once"
    );
    until("it to be unsubscribed", async || {
        (subscribers("other-service") == 0).then_some(())
    })
    .await;
    assert_eq!(subscribers("user-service"), 1);
    until("its series to be gone", async || {
        (!gateway.metrics().await.contains("other-service")).then_some(())
    })
    .await;

    world
        .publish("routes: { /api/users/**: user-service, /other/**: other-service }")
        .await;
    until_status(&gateway.url("/other/x"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_lost_is_found_by_the_audit() {
    let (world, _upstream, _registered, gateway) =
        World::small_with("discovery: { audit_interval: 5s }").await;
    world.registry().faults().drop_pushes(true);
    let second = Upstream::start("second");
    let _second = world.register("user-service", second.address()).await;
    until_answered_by(&gateway.url("/api/users/1"), "second").await;
    until("the drift to be counted", async || {
        let metrics = gateway.metrics().await;
        let mut lines = metrics.lines();
        let drift = lines.find(|line| line.starts_with("pailou_service_drift_total{"))?;
        (!drift.ends_with(" 0")).then_some(())
    })
    .await;
}
