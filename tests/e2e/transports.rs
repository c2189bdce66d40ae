//! A Nacos whose gRPC port cannot be reached: the gateway speaks HTTP to it.

use std::time::Duration;

use pailou_nacos_lite::{Options, Registry};

use crate::support::load::Load;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

#[tokio::test(flavor = "multi_thread")]
async fn over_http_v1_routes_and_instances_change_live_and_a_restart_fails_no_request() {
    served_over_http(true, "http_v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_v3_routes_and_instances_change_live_and_a_restart_fails_no_request() {
    served_over_http(false, "http_v3").await;
}

async fn served_over_http(v1: bool, transport: &str) {
    let options = Options {
        block_grpc: true,
        v1,
        poll_interval: Duration::from_secs(1),
        ..Options::default()
    };
    let mut world = World::with(options.clone()).await;
    let first = Upstream::start("first");
    let _first = world.register("user-service", first.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let gateway = world.gateway().await.ready().await;
    let status = gateway.admin_json("/api/v1/status").await;
    assert_eq!(status["nacos"][0]["connection"]["transport"], transport);
    gateway
        .logged(&["the transport to Nacos changed", "grpc", transport])
        .await;
    until("its own registration over HTTP", async || {
        (world.instances("pailou-gateway").len() == 1).then_some(())
    })
    .await;

    let url = gateway.url("/api/users/1");
    let load = Load::start(reqwest::Method::GET, &url, 4, Duration::from_millis(2));
    load.reached(100).await;
    let second = Upstream::start("second");
    let second_registered = world.register("user-service", second.address()).await;
    until_answered_by(&url, "second").await;
    second_registered.deregister().await;
    world
        .publish("routes: { /api/users/**: user-service, /more/**: user-service }")
        .await;
    until_status(&gateway.url("/more/x"), 200).await;

    world.kill_registry().await;
    gateway.logged(&["session", "lost"]).await;
    load.reached(load.sent() + 300).await;
    let restarted = Registry::start(Options {
        http: world.http(),
        grpc: Some(world.grpc()),
        ..options
    })
    .await
    .expect("a Nacos on the same ports");
    until("everyone to be registered again", async || {
        let services = ["user-service", "pailou-gateway"];
        services
            .iter()
            .all(|service| restarted.instances(*service).len() == 1)
            .then_some(())
    })
    .await;
    world
        .publish("routes: { /api/users/**: user-service, /healed/**: user-service }")
        .await;
    until_status(&gateway.url("/healed/x"), 200).await;
    load.reached(load.sent() + 300).await;
    load.finish().await.assert_clean();
}
