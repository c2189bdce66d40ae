//! How many requests are under way at once, and what becomes of the others.

use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

/// The upstream answers `/…/slow` when it is told to.
const LIMITED: &str = "
routes:
  /one/**:
    service: user-service
    strip_prefix: 1
    filters: [ { concurrency_limit: { requests: 1 } } ]
  /queue/**:
    service: user-service
    strip_prefix: 1
    filters: [ { concurrency_limit: { requests: 1, queue: 1, wait: 30s } } ]
  /brief/**:
    service: user-service
    strip_prefix: 1
    filters: [ { concurrency_limit: { requests: 1, queue: 5, wait: 200ms } } ]
  /free/**: { service: user-service, strip_prefix: 1 }
";

fn asked(url: String) -> tokio::task::JoinHandle<u16> {
    tokio::spawn(async move { status(&url).await })
}

async fn status(url: &str) -> u16 {
    reqwest::get(url)
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beyond_the_places_is_refused_at_once() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(LIMITED).await;
    until_status(&gateway.url("/free/1"), 200).await;
    let first = asked(gateway.url("/one/slow/3000"));
    gateway.in_flight(1).await;
    let refused = reqwest::get(gateway.url("/one/1"))
        .await
        .expect("an answer");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem = refused.text().await.expect("a body");
    assert!(problem.contains("\"concurrency_limited\""), "{problem}");
    assert_eq!(status(&gateway.url("/free/1")).await, 200, "another route");
    let (places, requests, refused) = (
        "pailou_concurrency_places{limit=\"/one/**\"}",
        "pailou_concurrency_requests{limit=\"/one/**\"}",
        "pailou_concurrency_refused_total{limit=\"/one/**\"}",
    );
    for (name, expected) in [(places, 1), (requests, 1), (refused, 1)] {
        assert_eq!(gateway.value(name).await, expected, "{name}");
    }
    assert_eq!(first.await.expect("no panic"), 200);
    until("the place to be free", async || {
        (gateway.value(requests).await == 0).then_some(())
    })
    .await;
    assert_eq!(status(&gateway.url("/one/1")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_may_wait_for_a_place_and_one_that_leaves_makes_room() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(LIMITED).await;
    until_status(&gateway.url("/free/1"), 200).await;
    let first = asked(gateway.url("/queue/slow/4000"));
    gateway.in_flight(1).await;
    let second = asked(gateway.url("/queue/1"));
    gateway.in_flight(2).await;
    assert_eq!(status(&gateway.url("/queue/1")).await, 503, "one may wait");
    second.abort();
    gateway.in_flight(1).await;
    assert!(!first.is_finished(), "the place is still taken");
    let third = asked(gateway.url("/queue/1"));
    assert_eq!(third.await.expect("no panic"), 200);
    assert_eq!(first.await.expect("no panic"), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_longer_than_he_may() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(LIMITED).await;
    until_status(&gateway.url("/free/1"), 200).await;
    let first = asked(gateway.url("/brief/slow/6000"));
    gateway.in_flight(1).await;
    let began = Instant::now();
    assert_eq!(status(&gateway.url("/brief/1")).await, 503);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(began.elapsed() >= Duration::from_millis(200));
    first.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn places_follow_how_soon_answers_come() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let adaptive = "
routes:
  /found/**:
    service: user-service
    strip_prefix: 1
    filters: [ { concurrency_limit: { requests: 50, of: service, queue: 50, adaptive: { target: 500ms, min: 2 } } } ]
";
    world.publish(adaptive).await;
    until_status(&gateway.url("/found/1"), 200).await;
    let places = "pailou_concurrency_places{limit=\"user-service\"}";
    let many = async |path: &str| {
        let all: Vec<_> = (0..8).map(|_| asked(gateway.url(path))).collect();
        for one in all {
            assert_eq!(
                one.await.expect("no panic"),
                200,
                "those who wait get a place"
            );
        }
    };
    until("fast answers to make places", async || {
        many("/found/1").await;
        (gateway.value(places).await >= 4).then_some(())
    })
    .await;
    until("slow ones to take them away", async || {
        let _ = status(&gateway.url("/found/slow/700")).await;
        (gateway.value(places).await == 2).then_some(())
    })
    .await;
}

const AT_EACH_ENDPOINT: &str = "
routes:
  /one/**:
    service: { name: user-service, endpoint_limit: 1 }
    strip_prefix: 1
  /queue/**:
    service: { name: user-service, endpoint_limit: { requests: 1, queue: 1, wait: 30s } }
    strip_prefix: 1
  /brief/**:
    service: { name: user-service, endpoint_limit: { requests: 1, queue: 5, wait: 200ms } }
    strip_prefix: 1
  /free/**: { service: user-service, strip_prefix: 1 }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_endpoint_is_passed_over_and_beyond_all_of_them_requests_wait_or_are_refused() {
    let (world, one, _registered, gateway) = World::small().await;
    let two = Upstream::start("two");
    let _two = world.register("user-service", two.address()).await;
    world.publish(AT_EACH_ENDPOINT).await;
    until_answered_by(&gateway.url("/free/1"), "two").await;
    let slow: Vec<_> = (0..2)
        .map(|_| asked(gateway.url("/one/slow/4000")))
        .collect();
    until("one request at each", async || {
        (one.active() == 1 && two.active() == 1).then_some(())
    })
    .await;

    let refused = reqwest::get(gateway.url("/one/1"))
        .await
        .expect("an answer");
    assert_eq!(refused.status(), 503);
    let problem = refused.text().await.expect("a body");
    assert!(problem.contains("\"endpoints_full\""), "{problem}");
    let began = Instant::now();
    assert_eq!(status(&gateway.url("/brief/1")).await, 503);
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(status(&gateway.url("/free/1")).await, 200, "another route");

    // It may wait until the first place is free, whichever route had it.
    let waits = asked(gateway.url("/queue/1"));
    gateway
        .admin_until("who waits", "/api/v1/services/user-service", |view| {
            let all = view["selections"].as_array().cloned().unwrap_or_default();
            all.iter()
                .any(|it| it["endpoint_limit"] == 1 && it["waiting"] == 1)
        })
        .await;
    assert_eq!(status(&gateway.url("/queue/1")).await, 503, "one may wait");
    assert!(!waits.is_finished());
    assert_eq!(waits.await.expect("no panic"), 200);
    for one in slow {
        assert_eq!(one.await.expect("no panic"), 200);
    }
    assert_eq!(status(&gateway.url("/one/1")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_ever_has_more_requests_than_its_limit() {
    let world = World::new().await;
    let upstreams: Vec<_> = (0..3)
        .map(|number| Upstream::slow(&number.to_string(), Duration::from_millis(5)))
        .collect();
    let mut registered = Vec::new();
    for upstream in &upstreams {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world
        .publish("routes: { /api/users/**: { service: { name: user-service, endpoint_limit: { requests: 2, queue: 100, wait: 20s } }, balance: random } }")
        .await;
    let gateway = world.gateway().await.ready().await;
    let load = Load::get(&gateway.url("/api/users/1"), 24);
    load.reached(2_000).await;
    load.finish().await.assert_clean();
    for upstream in &upstreams {
        assert!(upstream.most_active() <= 2, "{}", upstream.most_active());
        assert!(upstream.served() > 200, "{}", upstream.served());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_follow_the_gradient_of_the_time_without_a_target() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let gradient = "
routes:
  /found/**:
    service: user-service
    strip_prefix: 1
    filters: [ { concurrency_limit: { requests: 50, queue: 50, adaptive: { algorithm: gradient, min: 2, smoothing: 1, queue_size: 1 } } } ]
";
    world.publish(gradient).await;
    until_status(&gateway.url("/found/1"), 200).await;
    let places = "pailou_concurrency_places{limit=\"/found/**\"}";
    let steady = Load::get(&gateway.url("/found/slow/20"), 16);
    until(
        "answers that take as long as before to make places",
        async || (gateway.value(places).await >= 10).then_some(()),
    )
    .await;
    steady.finish().await.assert_clean();
    let before = gateway.value(places).await;
    let slow = Load::get(&gateway.url("/found/slow/500"), 50);
    until(
        "answers that take far longer to take them away",
        async || (gateway.value(places).await <= before / 2).then_some(()),
    )
    .await;
    // Those that wait for too long are refused, as it should be.
    drop(slow.finish().await);
}
