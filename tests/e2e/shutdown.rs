//! SIGTERM and SIGINT: nothing in flight is lost, and the process goes as soon as it is idle.

use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::until;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_fails_no_request() {
    let (_world, _upstream, _registered, mut gateway) =
        World::small_with("shutdown: { drain_delay: 1s, deadline: 10s }").await;
    let url = gateway.url("/api/users/slow/5");
    let load = Load::get(&url, 8);
    load.reached(200).await;
    gateway.signal("-TERM");
    // The balancer before the gateway sees that it is not ready and stops sending, while the listeners are still open.
    until("not ready", async || {
        let answer = reqwest::get(gateway.probes_url("/readyz")).await.ok()?;
        (answer.status() == 503).then_some(())
    })
    .await;
    load.reached(load.sent() + 50).await;
    let outcome = load.finish().await;
    outcome.assert_clean();
    assert!(gateway.exited().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_and_an_idle_gateway_goes_at_once() {
    let (_world, upstream, _registered, mut gateway) =
        World::small_with("shutdown: { drain_delay: 100ms, deadline: 25s }").await;
    let url = gateway.url("/api/users/slow/2000");
    let slow = tokio::spawn(async move {
        reqwest::get(url)
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a body")
    });
    until("the slow request to be in flight", async || {
        (upstream.active() == 1).then_some(())
    })
    .await;
    let began = Instant::now();
    gateway.signal("-TERM");
    assert_eq!(slow.await.expect("the slow request"), "one");
    assert!(gateway.exited().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "it waited for its deadline: {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_leaves_nacos_before_it_stops_accepting() {
    let (world, _upstream, _registered, mut gateway) =
        World::small_with("shutdown: { drain_delay: 5s, deadline: 10s }").await;
    let client = world.client();
    let mut watch = client.watch_service("pailou-gateway");
    while watch.changed().await.instances.is_empty() {}
    gateway.signal("-INT");
    while !watch.changed().await.instances.is_empty() {}
    // Gone from Nacos, and still serving those who have not noticed.
    let answer = reqwest::get(gateway.url("/api/users/1"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(gateway.exited().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_with_nacos_down_still_ends_well() {
    let (mut world, _upstream, _registered, mut gateway) = World::small().await;
    world.kill_registry().await;
    gateway.logged(&["session", "lost"]).await;
    let began = Instant::now();
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}
