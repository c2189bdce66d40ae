//! Instances that come, go, expire and die.

use std::time::Duration;

use pailou_nacos::Instance;
use pailou_nacos_lite::Options;
use reqwest::Method;

use crate::support::load::Load;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};
use crate::support::{gateway::Gateway, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_reaches_a_registered_instance() {
    let (_world, upstream, _registered, gateway) = World::small().await;
    let response = reqwest::get(gateway.url("/api/users/1?x=1&y=%20"))
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-instance"], upstream.name());
    assert_eq!(
        response.text().await.expect("a body"),
        "one GET /api/users/1?x=1&y=%20"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_registers_gets_traffic_and_one_that_deregisters_gets_none() {
    let (world, _one, _registered, gateway) = World::small().await;
    let url = gateway.url("/api/users/1");
    let two = Upstream::start("two");
    let registered = world.register("user-service", two.address()).await;
    until_answered_by(&url, "two").await;
    registered.deregister().await;
    until("no endpoint but one", async || {
        let view = gateway.admin_json("/api/v1/services/user-service").await;
        (view["endpoints"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let served = two.served();
    for _ in 0..50 {
        let response = reqwest::get(&url).await.expect("an answer");
        assert_eq!(response.headers()["x-instance"], "one");
    }
    assert_eq!(
        two.served(),
        served,
        "a removed endpoint gets no new requests"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_instance_without_beats_expires() {
    let world = World::with(Options {
        unhealthy_after: Duration::from_secs(2),
        remove_after: Duration::from_secs(4),
        ..Options::default()
    })
    .await;
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let _one = world.register("user-service", one.address()).await;
    // As an old client registers: by HTTP, and then it forgets to send beats.
    let url = format!(
        "http://{}/nacos/v1/ns/instance?serviceName=user-service&ip=127.0.0.1&port={}",
        world.http(),
        two.address().port()
    );
    let answer = reqwest::Client::new()
        .post(url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), "ok");
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let gateway = world.gateway().await.ready().await;
    until_answered_by(&gateway.url("/api/users/1"), "two").await;
    gateway
        .admin_until(
            "the silent instance to be gone",
            "/api/v1/services/user-service",
            |view| {
                view["endpoints"]
                    .as_array()
                    .is_some_and(|all| all.len() == 1)
            },
        )
        .await;
    let served = two.served();
    for _ in 0..20 {
        until_status(&gateway.url("/api/users/1"), 200).await;
    }
    assert_eq!(two.served(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_an_instance_out_and_back() {
    let (world, _one, _registered, gateway) = World::small().await;
    let two = Upstream::start("two");
    let _two = world.register("user-service", two.address()).await;
    let url = gateway.url("/api/users/1");
    until_answered_by(&url, "two").await;
    for (enabled, endpoints) in [("false", 1), ("true", 2)] {
        let edit = format!(
            "http://{}/nacos/v1/ns/instance?serviceName=user-service&ip=127.0.0.1&port={}&enabled={enabled}",
            world.http(),
            two.address().port()
        );
        let answer = reqwest::Client::new()
            .put(edit)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        gateway
            .admin_until(
                "the edit to arrive",
                "/api/v1/services/user-service",
                |view| {
                    view["endpoints"]
                        .as_array()
                        .is_some_and(|all| all.len() == endpoints)
                },
            )
            .await;
    }
    until_answered_by(&url, "two").await;
}

async fn three() -> (
    World,
    Vec<Upstream>,
    Vec<crate::support::world::Registered>,
    Gateway,
) {
    let world = World::new().await;
    let upstreams: Vec<_> = ["one", "two", "three"].map(Upstream::start).into();
    let mut registered = Vec::new();
    for upstream in &upstreams {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let gateway = world.gateway().await.ready().await;
    for upstream in &upstreams {
        until_answered_by(&gateway.url("/api/users/1"), upstream.name()).await;
    }
    (world, upstreams, registered, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_under_load_fails_no_get() {
    let (_world, mut upstreams, _registered, gateway) = three().await;
    let load = Load::get(&gateway.url("/api/users/slow/5"), 8);
    load.reached(300).await;
    // Its registration stays: Nacos goes on saying that it is healthy.
    upstreams.pop().expect("an upstream").kill();
    load.reached(load.sent() + 1000).await;
    load.finish().await.assert_clean();
    gateway.logged(&["ejected"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_under_load_fails_at_most_the_posts_in_flight() {
    let (_world, mut upstreams, _registered, gateway) = three().await;
    let load = Load::start(
        Method::POST,
        &gateway.url("/api/users/slow/20"),
        8,
        Duration::ZERO,
    );
    load.reached(200).await;
    let victim = upstreams.pop().expect("an upstream");
    until("requests in flight at the victim", async || {
        (victim.active() > 0).then_some(())
    })
    .await;
    let in_flight = victim.active();
    victim.kill();
    load.reached(load.sent() + 500).await;
    let outcome = load.finish().await;
    // Between the count and the kill a client may have come and gone: eight clients bound it either way.
    assert!(outcome.failures.len() <= 8.max(in_flight), "{outcome:#?}");
    assert!(
        outcome
            .failures
            .iter()
            .all(|failure| failure.contains("502")),
        "{outcome:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_comes_back_where_it_was_gets_traffic_again() {
    let (_world, mut upstreams, _registered, gateway) = three().await;
    let url = gateway.url("/api/users/1");
    let address = upstreams.pop().expect("an upstream").kill();
    let load = Load::get(&url, 2);
    gateway.logged(&["ejected"]).await;
    let _back = Upstream::start_at("back", address);
    until_answered_by(&url, "back").await;
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_edit_moves_the_shares_without_losing_a_request() {
    let (world, upstreams, mut registered, gateway) = three().await;
    let load = Load::get(&gateway.url("/api/users/1"), 4);
    let address = upstreams[0].address();
    let mut instance = Instance::new(address.ip().to_string(), address.port());
    instance.weight = 0.0;
    registered[0].update(instance).await;
    gateway
        .admin_until(
            "weight 0 to arrive",
            "/api/v1/services/user-service",
            |view| {
                view["endpoints"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one["weight"] == 0.0))
            },
        )
        .await;
    let served = upstreams[0].served();
    load.reached(load.sent() + 300).await;
    load.finish().await.assert_clean();
    // Requests that were picked before the push may still have been on their way.
    assert!(upstreams[0].served() <= served + 4);
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_registration_of_an_ejected_address_is_used_at_once() {
    let world = World::new().await;
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let _one = world.register("user-service", one.address()).await;
    let registered = world.register("user-service", two.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    // So long that only the registration can be what lifts it.
    let more = "ejection: { backoff: 5m, max_backoff: 1h }";
    let gateway = world.gateway_with(more).await.ready().await;
    let url = gateway.url("/api/users/1");
    until_answered_by(&url, "two").await;

    let load = Load::start(Method::GET, &url, 2, Duration::from_millis(2));
    let address = two.kill();
    gateway.logged(&["ejected"]).await;
    // As a container that was restarted: the address is the same, the registration is another.
    // (Within one push of Nacos, half a second, nobody could tell.)
    registered.deregister().await;
    gateway
        .admin_until("one instance", "/api/v1/services/user-service", |view| {
            view["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == 1)
        })
        .await;
    let _back = Upstream::start_at("back", address);
    let _registered = world.register("user-service", address).await;
    until_answered_by(&url, "back").await;
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_instance_costs_no_post() {
    let (world, _one, _registered, gateway) = World::small().await;
    // Registered, and nobody listens there: the connection is refused before anything was sent.
    let dead = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let _dead = world.register("user-service", dead).await;
    gateway
        .admin_until("two instances", "/api/v1/services/user-service", |view| {
            view["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == 2)
        })
        .await;
    let load = Load::start(
        Method::POST,
        &gateway.url("/api/users/read"),
        4,
        Duration::ZERO,
    );
    gateway.logged(&["ejected", &dead.to_string()]).await;
    load.reached(load.sent() + 200).await;
    load.finish().await.assert_clean();
}

/// It is alive, and answers nothing but 503.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_answers_with_gateway_errors_alone_is_ejected_where_settings_say_so() {
    let (world, one, _registered, gateway) =
        World::small_with("ejection: { gateway_errors: 3, backoff: 60s, max_backoff: 60s }").await;
    let ill =
        axum::Router::new().fallback(|| async { axum::http::StatusCode::SERVICE_UNAVAILABLE });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, ill).await.expect("served") });
    let _ill = world.register("user-service", address).await;
    let client = reqwest::Client::new();
    let status = async || {
        let answer = client.get(gateway.url("/api/users/1")).send().await;
        answer.expect("an answer").status().as_u16()
    };
    until("its ejection", async || {
        status().await;
        let metrics = gateway.metrics().await;
        let is_counted = |line: &str| {
            line.starts_with("pailou_service_ejections_total")
                && line.contains("cause=\"gateway_errors\"")
                && line.ends_with(" 1")
        };
        metrics.lines().any(is_counted).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(status().await, 200);
    }
    assert!(one.served() > 0);
}
