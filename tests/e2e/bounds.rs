//! What the process never runs out of, and what nobody reaches through it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::raw::exchange;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

/// Far fewer than the clients of the case, and enough for the gateway itself.
const FILE_LIMIT: u32 = 256;

#[tokio::test(flavor = "multi_thread")]
async fn however_many_clients_come_probes_and_admin_answer() {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let settings = world.settings("limits: { connections: 5000 }");
    let gateway = Gateway::start_limited(&settings, FILE_LIMIT).await;
    let gateway = gateway.ready().await;
    gateway
        .logged(&["limits.connections", "file limit", "5000", "256"])
        .await;

    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(
            TcpStream::connect(gateway.data())
                .await
                .expect("a connection"),
        );
    }
    for url in [
        gateway.probes_url("/healthz"),
        gateway.probes_url("/readyz"),
        gateway.probes_url("/metrics"),
        gateway.admin_url("/api/v1/status"),
    ] {
        // A connection of its own for each.
        let answer = reqwest::get(&url).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{url}");
    }
    let metrics = gateway.metrics().await;
    let refused = metrics
        .lines()
        .filter(|line| line.starts_with("pailou_connections_refused_total{reason=\"limit"));
    let refused: f64 = refused
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(refused > 0.0, "{metrics}");
    drop(silent);
    until_answered_by(&gateway.url("/api/users/1"), "one").await;
    let log = gateway.log().join("\n");
    assert!(!log.contains("cannot be accepted"), "{log}");
}

/// 64 silent connections took every place: a probe was answered once in nine, and an orchestrator kills such a gateway.
#[tokio::test(flavor = "multi_thread")]
async fn probes_and_admin_answer_beside_200_silent_clients_on_each() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let (probes, admin) = (gateway.probes_url(""), gateway.admin_url(""));
    let mut silent = Vec::new();
    for _ in 0..200 {
        for url in [&probes, &admin] {
            let address = url.trim_start_matches("http://");
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            // Every other one has begun to ask.
            if silent.len() % 4 < 2 {
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nx").await;
            }
            silent.push(stream);
        }
    }
    for round in 0..50 {
        for url in [&probes, &admin] {
            let began = Instant::now();
            let answer = reqwest::get(format!("{url}/healthz"))
                .await
                .expect("an answer");
            assert_eq!(answer.status(), 200, "{url} in round {round}");
            assert_eq!(answer.headers()["connection"], "close");
            // A kubelet waits for a second.
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{:?}",
                began.elapsed()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_does_not_send_its_head_in_time_is_cut() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    for url in [gateway.probes_url(""), gateway.admin_url("")] {
        for begun in ["", "GET /healthz HTTP/1.1\r\nx"] {
            let address = url.trim_start_matches("http://");
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(begun.as_bytes()).await.expect("written");
            let began = Instant::now();
            let mut rest = Vec::new();
            let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            read.expect("it ends").ok();
            let waited = began.elapsed();
            // 2 s, and what a busy machine takes.
            assert!(
                waited > Duration::from_secs(1) && waited < Duration::from_secs(8),
                "{waited:?}"
            );
        }
    }
}

/// Only the data listeners were kept out of services: whoever could register an instance with the address of the admin
/// interface read it from outside.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_at_the_admin_or_probes_address_gets_no_request() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let address = |url: String| -> SocketAddr {
        let authority = url.trim_start_matches("http://");
        authority.parse().expect("an address")
    };
    let admin = address(gateway.admin_url(""));
    let probes = address(gateway.probes_url(""));
    let _admin = world.register("inside", admin).await;
    let _probes = world.register("inside-too", probes).await;
    world
        .publish(
            "routes: { /api/v1/**: inside, /healthz: inside-too, /api/users/**: user-service }",
        )
        .await;
    for service in ["inside", "inside-too"] {
        gateway
            .admin_until(
                "the refusal",
                &format!("/api/v1/services/{service}"),
                |view| view.to_string().contains("a listener of this gateway"),
            )
            .await;
    }
    for path in ["/api/v1/status", "/healthz"] {
        until_status(&gateway.url(path), 503).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = exchange(gateway.data(), request.as_bytes(), Duration::from_secs(5)).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{path}: {answer}");
    }
}
