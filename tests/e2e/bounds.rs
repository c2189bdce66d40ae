//! What the process never runs out of, and what nobody reaches through it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::memory::{endpoint, silent};
use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::raw::exchange;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_answered_by, until_status};

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

/// A gateway whose clients take at least 256 KiB/s, since the kernel takes some MiB in place of one, and an endpoint with 50 MB
/// for each.
async fn impatient() -> (World, Registered, Gateway) {
    let world = World::new().await;
    let registered = world.register("big", endpoint().await).await;
    world.publish("routes: { /**: big }").await;
    let limits = "limits: { write_min_rate: 256KiB, write_min_rate_after: 2s, write_timeout: 1m }";
    let gateway = world.gateway_with(limits).await.ready().await;
    (world, registered, gateway)
}

/// One answer was cut because its client was too slow.
async fn one_was_too_slow(gateway: &Gateway) -> bool {
    let metrics = gateway.metrics().await;
    let mut lines = metrics
        .lines()
        .filter(|line| line.contains("cause=\"client_too_slow\""));
    lines.any(|line| line.ends_with(" 1"))
}

/// A reader at 1 KiB/s held a client's connection and an endpoint's for as long as it liked.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_a_kibibyte_a_second_is_cut() {
    let (_world, _registered, gateway) = impatient().await;
    let mut slow = silent(&gateway, b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n").await;
    gateway.in_flight(1).await;
    let began = Instant::now();
    while !one_was_too_slow(&gateway).await {
        assert!(began.elapsed() < PATIENCE, "it is not cut");
        let read = slow.read_exact(&mut [0; 1024]).await;
        read.expect("the kernel has more of it");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(1), "not at once");
    gateway.in_flight(0).await;
    // What the kernel had is all that comes.
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
    let _ = read.expect("the connection has ended");
    assert!(rest.len() < 50_000_000, "{} bytes", rest.len());
}

/// The same of a stream of HTTP/2, which is cut alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_read_a_kibibyte_a_second_is_cut() {
    const DATA: u8 = 0;
    const RST_STREAM: u8 = 3;
    const GOAWAY: u8 = 7;
    let (_world, _registered, gateway) = impatient().await;
    // SETTINGS, and a GET (RFC 7541: indexed fields, two literals): the window of a stream is 64 KiB.
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    opening.extend(b"\0\0\0\x04\0\0\0\0\0");
    opening.extend(b"\x00\x00\x0b\x01\x05\x00\x00\x00\x01\x82\x86\x04\x04/big\x01\x01a");
    let client = silent(&gateway, &opening).await;
    let (mut reading, mut writing) = client.into_split();
    let opening_wider = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // WINDOW_UPDATE by 1,024 of the connection and of the stream.
            for stream in [0, 1] {
                let frame = [0, 0, 4, 8, 0, 0, 0, 0, stream, 0, 0, 4, 0];
                if writing.write_all(&frame).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut taken = 0;
    let frames = async {
        loop {
            let mut head = [0; 9];
            reading.read_exact(&mut head).await.expect("a frame");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            reading.read_exact(&mut payload).await.expect("all of it");
            assert_ne!(head[3], GOAWAY, "its stream alone");
            match head[3] {
                DATA => taken += length,
                RST_STREAM => return,
                _ => {}
            }
        }
    };
    let cut = tokio::time::timeout(PATIENCE, frames).await;
    cut.expect("the stream is cut");
    opening_wider.abort();
    assert!(taken >= 65_535, "{taken} bytes");
    assert!(one_was_too_slow(&gateway).await);
    gateway.in_flight(0).await;
}
