//! Nacos gone, restarted and healed: nobody notices.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::gateway::Gateway;
use crate::support::load::Load;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

#[tokio::test(flavor = "multi_thread")]
async fn a_nacos_killed_restarted_empty_and_healed_under_load_fails_no_request() {
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

/// Two targets told of it with one text, again at each try.
#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_registry_is_one_line_with_what_to_do() {
    let (mut world, _upstream, _registered, gateway) = World::small().await;
    world.kill_registry().await;
    gateway
        .logged(&["WARN", "a session was lost", "pailou doctor"])
        .await;
    let mut attempts = BTreeSet::new();
    until("some attempts to fail", async || {
        let status = gateway.admin_json("/api/v1/status").await;
        let at = &status["nacos"][0]["connection"]["last_error_unix_ms"];
        attempts.insert(at.as_u64()?);
        (attempts.len() > 4).then_some(())
    })
    .await;
    let log = gateway.log();
    let told = log.iter().filter(|line| {
        ["session was lost", "cannot be reached", "not connected"]
            .iter()
            .any(|words| line.contains(words))
    });
    assert_eq!(told.count(), 1, "{log:#?}");
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
async fn a_gateway_started_before_its_nacos_becomes_ready_when_it_comes() {
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

/// What the view says of the held endpoints of a service.
async fn held(gateway: &Gateway) -> usize {
    let view = gateway.admin_json("/api/v1/services/user-service").await;
    let all = view["endpoints"].as_array().expect("endpoints").clone();
    let is_held = |one: &serde_json::Value| one["reasons"].to_string().contains("held");
    all.iter().filter(|one| is_held(one)).count()
}

/// Three upstreams that only Nacos's owner registers: nobody brings them back but the case.
async fn three_by_hand(world: &World) -> Vec<Upstream> {
    let upstreams: Vec<_> = ["one", "two", "three"].map(Upstream::start).into();
    for upstream in &upstreams {
        put(world, upstream);
    }
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    upstreams
}

fn put(world: &World, upstream: &Upstream) {
    let address = upstream.address();
    let instance = pailou_nacos_lite::Instance::new(address.ip().to_string(), address.port());
    world.registry().put_instance("user-service", instance);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_come_back_one_by_one_after_a_restart_all_serve_on() {
    let mut world = World::new().await;
    let upstreams = three_by_hand(&world).await;
    let gateway = world.gateway().await.ready().await;
    let url = gateway.url("/api/users/1");
    for upstream in &upstreams {
        until_answered_by(&url, upstream.name()).await;
    }
    let load = Load::start(reqwest::Method::GET, &url, 4, Duration::from_millis(2));
    load.reached(100).await;
    world.kill_registry().await;
    world.restart_registry().await;
    until("all three to be held", async || {
        (held(&gateway).await == 3).then_some(())
    })
    .await;
    for (listed, upstream) in upstreams.iter().enumerate() {
        put(&world, upstream);
        let left = upstreams.len() - listed - 1;
        until("one more to be live", async || {
            (held(&gateway).await == left).then_some(())
        })
        .await;
        // Those that are not listed yet are used like those that are.
        let served: Vec<_> = upstreams.iter().map(Upstream::served).collect();
        load.reached(load.sent() + 60).await;
        for (upstream, before) in upstreams.iter().zip(served) {
            assert!(
                upstream.served() > before,
                "{} got nothing",
                upstream.name()
            );
        }
    }
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_does_not_come_back_leaves_when_the_hold_ends() {
    let mut world = World::new().await;
    let upstreams = three_by_hand(&world).await;
    let gateway = world
        .gateway_with("discovery: { hold: 3s }")
        .await
        .ready()
        .await;
    let url = gateway.url("/api/users/1");
    for upstream in &upstreams {
        until_answered_by(&url, upstream.name()).await;
    }
    world.kill_registry().await;
    world.restart_registry().await;
    until("all three to be held", async || {
        (held(&gateway).await == 3).then_some(())
    })
    .await;
    put(&world, &upstreams[0]);
    put(&world, &upstreams[1]);
    gateway
        .admin_until(
            "the third to be gone",
            "/api/v1/services/user-service",
            |view| {
                view["endpoints"]
                    .as_array()
                    .is_some_and(|all| all.len() == 2)
            },
        )
        .await;
    let served = upstreams[2].served();
    for _ in 0..30 {
        until_status(&url, 200).await;
    }
    assert_eq!(upstreams[2].served(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nacos_that_hangs_is_noticed_and_costs_nothing() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let load = Load::start(
        reqwest::Method::GET,
        &gateway.url("/api/users/1"),
        2,
        Duration::from_millis(2),
    );
    world.registry().faults().hang(true);
    // The connection stands and says nothing: only the health check can tell.
    gateway.logged(&["WARN", "a session was lost"]).await;
    world.registry().faults().hang(false);
    gateway
        .admin_until("the session to be back", "/api/v1/status", |status| {
            status["nacos"][0]["connection"]["connected"] == true
        })
        .await;
    world
        .publish("routes: { /api/users/**: user-service, /healed/**: user-service }")
        .await;
    until_status(&gateway.url("/healed/x"), 200).await;
    load.finish().await.assert_clean();
}
