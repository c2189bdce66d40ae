//! SIGTERM and SIGINT: nothing in flight is lost, and the process goes as soon as it is idle.

use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::until;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_fails_no_request() {
    // Listeners close at the end of the delay, whether the balancer has noticed or not: long enough for a busy machine.
    let (_world, _upstream, _registered, mut gateway) =
        World::small_with("shutdown: { drain_delay: 10s, deadline: 25s }").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_by_the_deadline_is_cut() {
    let (_world, upstream, _registered, mut gateway) =
        World::small_with("shutdown: { drain_delay: 100ms, deadline: 1s }").await;
    let url = gateway.url("/api/users/slow/60000");
    let slow = tokio::spawn(reqwest::get(url));
    until("the slow request to be in flight", async || {
        (upstream.active() == 1).then_some(())
    })
    .await;
    let began = Instant::now();
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert!(
        slow.await.expect("the request").is_err(),
        "nobody answered it"
    );
    gateway
        .logged(&["WARN", "deadline", "\"in_flight\":1"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let (_world, upstream, _registered, mut gateway) =
        World::small_with("shutdown: { drain_delay: 100ms, deadline: 1m }").await;
    let slow = tokio::spawn(reqwest::get(gateway.url("/api/users/slow/60000")));
    until("the slow request to be in flight", async || {
        (upstream.active() == 1).then_some(())
    })
    .await;
    let began = Instant::now();
    gateway.signal("-TERM");
    gateway.logged(&["finish_in_flight"]).await;
    gateway.signal("-INT");
    let status = gateway.exited().await;
    assert_eq!(status.code(), Some(1), "it was told not to finish");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    gateway.logged(&["another signal (SIGINT)"]).await;
    slow.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_asked_to_leave_while_it_drains() {
    let (_world, _upstream, _registered, mut gateway) =
        World::small_with("shutdown: { drain_delay: 3s, deadline: 10s }").await;
    let client = reqwest::Client::new();
    let connection = async || {
        let answer = client
            .get(gateway.url("/api/users/1"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        answer
            .headers()
            .get("connection")
            .is_some_and(|value| value == "close")
    };
    assert!(!connection().await, "kept while it serves");
    gateway.signal("-TERM");
    gateway.logged(&["drain_delay"]).await;
    assert!(connection().await, "closed while it drains");
    assert!(gateway.exited().await.success());
    // An idle connection does not hold it up, and the port is free again.
    assert!(std::net::TcpListener::bind(gateway.data()).is_ok());
}
