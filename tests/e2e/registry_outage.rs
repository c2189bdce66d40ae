//! The registry gone, restarted and healed: nobody notices.

use std::time::Duration;

use crate::support::load::Load;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_killed_restarted_empty_and_healed_under_load_fails_no_request() {
    let (mut world, _upstream, _registered, gateway) = World::small().await;
    let url = gateway.url("/api/users/1");
    let load = Load::start(reqwest::Method::GET, &url, 4, Duration::from_millis(2));
    load.reached(100).await;

    world.kill_registry().await;
    gateway.logged(&["session", "lost"]).await;
    load.reached(load.sent() + 300).await;

    world.restart_registry().await;
    gateway
        .admin_until("the session to be back", "/api/v1/status", |status| {
            status["nacos"]
                .as_array()
                .is_some_and(|all| all.iter().all(|one| one["connection"]["connected"] == true))
        })
        .await;
    load.reached(load.sent() + 300).await;

    // Healed: what is published and registered now arrives as before.
    let second = Upstream::start("second");
    let _second = world.register("user-service", second.address()).await;
    world
        .publish("routes: { /api/users/**: user-service, /healed/**: user-service }")
        .await;
    until_status(&gateway.url("/healed/x"), 200).await;
    until_answered_by(&url, "second").await;
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_scaled_to_zero_is_served_through_the_hold_and_then_answers_503() {
    let (_world, upstream, registered, gateway) =
        World::small_with("discovery: { hold: 2s }").await;
    let url = gateway.url("/api/users/1");
    registered.deregister().await;
    gateway.logged(&["hold", "user-service"]).await;
    assert_eq!(reqwest::get(&url).await.expect("an answer").status(), 200);
    until_status(&url, 503).await;
    drop(upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_endpoint_that_is_dead_leaves_by_ejection() {
    let (_world, upstream, registered, gateway) =
        World::small_with("discovery: { hold: 60s }").await;
    let url = gateway.url("/api/users/1");
    registered.deregister().await;
    gateway.logged(&["hold", "user-service"]).await;
    upstream.kill();
    // The first request finds the port closed; after that nothing is left, and panic mode never revives what is held.
    until_status(&url, 503).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_started_before_its_registry_becomes_ready_when_it_comes() {
    let mut world = World::new().await;
    world.kill_registry().await;
    let gateway = world.gateway().await;
    let answer = reqwest::get(gateway.probes_url("/readyz"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
    let reason = answer.text().await.expect("a reason");
    assert!(reason.contains("table"), "{reason}");
    assert_eq!(
        reqwest::get(gateway.probes_url("/healthz"))
            .await
            .expect("an answer")
            .status(),
        200
    );

    world.restart_registry().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let gateway = gateway.ready().await;
    until_status(&gateway.url("/api/users/1"), 200).await;
}
