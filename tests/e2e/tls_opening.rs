//! Handshakes: slow ones, ones that never come, and what a shutdown does with them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::exchange;
use crate::support::tls_client::{answer, ask};
use crate::support::until;
use crate::tls::shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_keeps_nobody_waiting_and_is_ended() {
    let more = "limits: { handshake_timeout: 3s, connections_per_ip: 40 }";
    let (_authority, client, _world, gateway) = shop(more).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        let mut socket = TcpStream::connect(gateway.data()).await.expect("accepted");
        socket.write_all(&[0x16, 3, 1]).await.expect("written");
        silent.push(socket);
    }
    let told = client
        .get(gateway.data(), "shop.example", "/api/users/1")
        .await;
    assert_eq!(told.expect("an answer").status, 200);
    // Handshakes count against the caps.
    for _ in 0..20 {
        silent.push(TcpStream::connect(gateway.data()).await.expect("accepted"));
    }
    until("the cap of one address", async || {
        let metrics = gateway.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.contains(r#"reason="limit_per_ip""#))?;
        (!line.ends_with(" 0")).then_some(())
    })
    .await;
    for mut socket in silent {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest));
        let _ = ended.await.expect("it is ended");
    }
    until("the count", async || {
        let metrics = gateway.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.contains(r#"reason="handshake_timeout""#))?
            .to_owned();
        (line.rsplit(' ').next()?.parse::<u64>().ok()? >= 30).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_is_turned_away_and_http_is_told_why() {
    let (_authority, _client, _world, gateway) = shop("").await;
    let request = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let told = exchange(gateway.data(), request, Duration::from_secs(5)).await;
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    assert!(told.contains("use https"), "{told}");
    let told = exchange(gateway.data(), b"\0\0\0\0\0\0\0", Duration::from_secs(5)).await;
    assert!(!told.contains("HTTP"), "{told}");
    until("the counts", async || {
        let metrics = gateway.metrics().await;
        (metrics.contains(r#"reason="tls_handshake"} 1"#)
            && metrics.contains(r#"reason="plain_http"} 1"#))
        .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_what_is_under_way_and_waits_for_no_handshake() {
    let more = "shutdown: { drain_delay: 0s, deadline: 20s }\nlimits: { handshake_timeout: 1m }";
    let (_authority, client, _world, mut gateway) = shop(more).await;
    let _silent = TcpStream::connect(gateway.data()).await.expect("accepted");
    let mut stream = client
        .connect(gateway.data(), "shop.example")
        .await
        .expect("a connection");
    let head = "GET /api/users/slow/1500 HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.flush().await.expect("flushed");
    gateway
        .admin_until("the request", "/api/v1/status", |status| {
            status["in_flight"] == 1
        })
        .await;
    let began = std::time::Instant::now();
    gateway.signal("-TERM");
    let told = answer(&mut stream).await.expect("an answer");
    assert_eq!(
        (told.status, told.header("connection")),
        (200, Some("close"))
    );
    assert!(gateway.exited().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

/// A client tells an end from a cut by the alert before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_for_too_long_ends_with_a_notice() {
    let (_authority, client, _world, gateway) = shop("limits: { keepalive_timeout: 2s }").await;
    let mut stream = client
        .connect(gateway.data(), "shop.example")
        .await
        .expect("a connection");
    let head = b"GET /api/users/1 HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let told = ask(&mut stream, head).await.expect("an answer");
    assert_eq!(told.header("connection"), Some("keep-alive"));
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest));
    let read = ended.await.expect("it is ended");
    // Without the notice this is an error.
    assert_eq!(read.expect("an end"), 0);
}
