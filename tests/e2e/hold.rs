//! The hold: a Nacos that was restarted knows less than the gateway, for a while.

use std::time::Duration;

use crate::support::load::Load;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_come_back_one_by_one_under_load_fail_no_request() {
    let mut world = World::new().await;
    let upstreams = ["one", "two", "three"].map(Upstream::start);
    let mut registered = Vec::new();
    for upstream in &upstreams {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let gateway = world.gateway().await.ready().await;
    let url = gateway.url("/api/users/1");
    let load = Load::start(reqwest::Method::GET, &url, 4, Duration::from_millis(2));
    load.reached(100).await;

    world.kill_registry().await;
    gateway.logged(&["session", "lost"]).await;
    // Whoever registered is slow to find Nacos again.
    drop(registered);
    world.restart_registry().await;
    let held = |held: u64| {
        move |services: &serde_json::Value| services[0]["feed"]["held"].as_u64() == Some(held)
    };
    gateway
        .admin_until("all to be held", "/api/v1/services", held(3))
        .await;
    let mut back = Vec::new();
    for (upstream, left) in upstreams.iter().zip([2, 1, 0]) {
        load.reached(load.sent() + 100).await;
        back.push(world.register("user-service", upstream.address()).await);
        gateway
            .admin_until("one to be back", "/api/v1/services", held(left))
            .await;
        // All of them are used all the while.
        for name in ["one", "two", "three"] {
            until_answered_by(&url, name).await;
        }
    }
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_belongs_to_another_service_now_gets_no_request_of_the_old_one() {
    let (mut world, upstream, registered, gateway) =
        World::small_with("discovery: { hold: 60s }").await;
    world
        .publish("routes: { /api/users/**: user-service, /other/**: other-service }")
        .await;
    until_status(&gateway.url("/other/1"), 503).await;
    world.kill_registry().await;
    gateway.logged(&["session", "lost"]).await;
    drop(registered);
    world.restart_registry().await;
    gateway.logged(&["hold", "user-service"]).await;
    until_status(&gateway.url("/api/users/1"), 200).await;
    let _other = world.register("other-service", upstream.address()).await;
    until_status(&gateway.url("/other/1"), 200).await;
    until_status(&gateway.url("/api/users/1"), 503).await;
}
