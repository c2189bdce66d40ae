//! Live reloads under load.

use std::time::Duration;

use crate::support::load::Load;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_fail_no_request() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let load = Load::get(&gateway.url("/api/users/1"), 8);
    let mut revision = 0;
    for n in 0..100 {
        // Every document differs, and every one keeps the route that is under load.
        world
            .publish(&format!(
                "routes: {{ /api/users/**: user-service, /api/extra-{n}/**: user-service }}"
            ))
            .await;
        let status = gateway
            .admin_until("a newer revision", "/api/v1/status", |status| {
                status["table"]["revision"]
                    .as_u64()
                    .is_some_and(|now| now > revision)
            })
            .await;
        revision = status["table"]["revision"].as_u64().expect("a revision");
    }
    load.reached(20_000).await;
    let outcome = load.finish().await;
    outcome.assert_clean();
    assert!(outcome.sent >= 20_000);
    assert!(revision >= 100, "only {revision} revisions were seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_moved_to_a_service_not_seen_before_fails_no_request() {
    let (world, _old, _registered, gateway) = World::small().await;
    let new = Upstream::start("new");
    let _new = world.register("user-service-v2", new.address()).await;
    let url = gateway.url("/api/users/1");
    let load = Load::get(&url, 4);
    load.reached(200).await;
    world
        .publish("routes: { /api/users/**: user-service-v2 }")
        .await;
    until_answered_by(&url, "new").await;
    load.reached(load.sent() + 200).await;
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_disturbs_nothing_in_flight() {
    let (world, upstream, _registered, gateway) = World::small().await;
    let url = gateway.url("/api/users/slow/1500");
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
    world.publish("routes: { /other/**: user-service }").await;
    until_status(&gateway.url("/api/users/1"), 404).await;
    assert_eq!(slow.await.expect("the slow request"), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_table_serves_within_a_second() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world
        .publish("routes: { /api/users/**: user-service, /second/**: user-service }")
        .await;
    until_status(&gateway.url("/second/x"), 200).await;
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("pailou_table_revision"), "{metrics}");
    // A thousand routes: the time from the notification to the swap is the gateway's own figure, in its log.
    let mut document = String::from("routes:\n  /api/users/**: user-service\n");
    for n in 0..1000 {
        document.push_str(&format!("  /r{n}/**: user-service\n"));
    }
    world.publish(&document).await;
    until_status(&gateway.url("/r999/x"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_reload_gets_the_old_or_the_new_route() {
    let world = World::new().await;
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let _a = world.register("service-a", a.address()).await;
    let _b = world.register("service-b", b.address()).await;
    world.publish("routes: { /x/**: service-a }").await;
    let gateway = world.gateway().await.ready().await;
    let url = gateway.url("/x/1");
    let load = Load::get(&url, 4);
    for round in 0..10 {
        let (service, name) = if round % 2 == 0 {
            ("service-b", "b")
        } else {
            ("service-a", "a")
        };
        world
            .publish(&format!("routes: {{ /x/**: {service} }}"))
            .await;
        until_answered_by(&url, name).await;
    }
    tokio::time::timeout(Duration::from_secs(30), load.reached(500))
        .await
        .expect("a load that goes on");
    load.finish().await.assert_clean();
}
