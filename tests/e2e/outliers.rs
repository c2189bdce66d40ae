//! Instances that do worse than the others of their service: one fails a third of its requests, one is slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::Value;

use crate::support::gateway::Gateway;
use crate::support::load::Load;
use crate::support::until;
use crate::support::world::{Registered, World};

const SETTINGS: &str = "ejection: { success_rate: 1.9, latency: 3, outlier_interval: 1s, outlier_min_requests: 20, outlier_backoff: 60s";

/// An upstream: three of ten answers are 500 if it is flaky, and each takes so long.
async fn upstream(is_flaky: bool, delay: Duration) -> SocketAddr {
    let count = Arc::new(AtomicU64::new(0));
    let answer = move || {
        let count = Arc::clone(&count);
        async move {
            tokio::time::sleep(delay).await;
            match count.fetch_add(1, Ordering::Relaxed) % 10 {
                0..3 if is_flaky => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::OK,
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
    address
}

/// Three instances that are well, a flaky one and a slow one; the last two by their addresses.
async fn five(more: &str) -> (World, Vec<Registered>, Gateway, SocketAddr, SocketAddr) {
    let world = World::new().await;
    let mut registered = Vec::new();
    let mut addresses = Vec::new();
    for (is_flaky, delay) in [
        (false, 10),
        (false, 10),
        (false, 10),
        (true, 10),
        (false, 150),
    ] {
        let address = upstream(is_flaky, Duration::from_millis(delay)).await;
        registered.push(world.register("user-service", address).await);
        addresses.push(address);
    }
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let settings = format!("{SETTINGS}{more} }}");
    let gateway = world.gateway_with(&settings).await.ready().await;
    gateway
        .admin_until("five instances", "/api/v1/services/user-service", |view| {
            view["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == 5)
        })
        .await;
    (world, registered, gateway, addresses[3], addresses[4])
}

/// The ejections of the service: address and cause.
fn ejections(view: &Value) -> Vec<(String, String)> {
    let endpoints = view["endpoints"].as_array().expect("endpoints");
    let ejection = |endpoint: &Value| {
        let cause = endpoint["ejection"]["cause"].as_str()?;
        Some((endpoint["address"].as_str()?.to_owned(), cause.to_owned()))
    };
    endpoints.iter().filter_map(ejection).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_instance_and_a_slow_one_are_ejected_and_everybody_is_told_why() {
    let (_world, _registered, gateway, flaky, slow) = five("").await;
    let url = gateway.url("/api/users/1");
    let load = Load::start(Method::GET, &url, 16, Duration::ZERO);
    let view = gateway
        .admin_until("both out", "/api/v1/services/user-service", |view| {
            assert!(ejections(view).len() <= 2, "{view}");
            ejections(view).len() == 2
        })
        .await;
    let mut expected = [
        (flaky.to_string(), "success_rate".to_owned()),
        (slow.to_string(), "latency".to_owned()),
    ];
    expected.sort();
    let mut found = ejections(&view);
    found.sort();
    assert_eq!(found, expected, "{view}");
    assert_eq!(view["panic"], false);

    gateway
        .logged(&[
            "an endpoint was ejected",
            &flaky.to_string(),
            "success_rate",
            "went well",
        ])
        .await;
    gateway
        .logged(&[
            "an endpoint was ejected",
            &slow.to_string(),
            "latency",
            "median",
        ])
        .await;
    let metrics = gateway.metrics().await;
    for cause in ["success_rate", "latency"] {
        let is_counted = |line: &str| {
            line.starts_with("pailou_service_ejections_total")
                && line.contains(&format!("cause=\"{cause}\""))
                && line.ends_with(" 1")
        };
        assert!(metrics.lines().any(is_counted), "{cause}\n{metrics}");
    }
    drop(load.finish().await);

    // Nothing reaches either of them any more.
    for _ in 0..50 {
        let began = std::time::Instant::now();
        let answer = reqwest::get(&url).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    let after = gateway.admin_json("/api/v1/services/user-service").await;
    let picks = |view: &Value, address: SocketAddr| {
        let endpoints = view["endpoints"].as_array().cloned().unwrap_or_default();
        let it = endpoints
            .into_iter()
            .find(|it| it["address"] == address.to_string());
        it.expect("it is listed")["picks"].as_u64()
    };
    for address in [flaky, slow] {
        assert_eq!(picks(&after, address), picks(&view, address), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_instances_than_the_share_are_ejected() {
    let (_world, _registered, gateway, ..) = five(", max_percent: 20").await;
    let url = gateway.url("/api/users/1");
    let load = Load::start(Method::GET, &url, 16, Duration::ZERO);
    gateway
        .admin_until("one out", "/api/v1/services/user-service", |view| {
            ejections(view).len() == 1
        })
        .await;
    // Three more intervals with requests enough.
    let sent = load.sent();
    let began = std::time::Instant::now();
    until("three intervals", async || {
        let view = gateway.admin_json("/api/v1/services/user-service").await;
        assert_eq!(ejections(&view).len(), 1, "{view}");
        assert_eq!(view["panic"], false);
        (load.sent() > sent + 600 && began.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    drop(load.finish().await);
}
