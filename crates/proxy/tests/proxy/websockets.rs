//! WebSockets over HTTP/1.1.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{ANY, Gateway, until};
use crate::streaming::echo_bytes;
use crate::upstream::{Upstream, ok, read_head};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_tunnel_under_load_does_not_lock_up() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(head).await.expect("head");
        echo_bytes(&mut stream, 20 * MIB).await;
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.head().await.0, 101);
    let (mut reading, mut writing) = client.stream.into_split();
    let sending = tokio::spawn(async move {
        writing
            .write_all(&vec![b'a'; 20 * MIB])
            .await
            .expect("send");
        writing
    });
    let mut got = vec![0; 20 * MIB];
    let reading = tokio::time::timeout(Duration::from_secs(20), reading.read_exact(&mut got));
    reading.await.expect("it does not lock up").expect("read");
    sending.await.expect("all is sent");
}

/// An endpoint that speaks WebSocket and sends every message back.
pub(crate) async fn echo() -> Upstream {
    Upstream::raw(|stream| async move {
        let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
            return;
        };
        let (mut sending, mut receiving) = socket.split();
        while let Some(Ok(message)) = receiving.next().await {
            let echoed = match message {
                Message::Text(_) | Message::Binary(_) => sending.send(message).await,
                _ => Ok(()),
            };
            if echoed.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_websocket_echoes_and_outlives_every_timeout() {
    let upstream = echo().await;
    let settings = [
        ("PAILOU_LIMITS_BODY_TIMEOUT", "500ms"),
        ("PAILOU_LIMITS_HEADER_TIMEOUT", "500ms"),
    ];
    let routes = "
routes:
  any: { path: /**, service: users, timeout: 500ms, read_timeout: 500ms, total_timeout: 600ms }";
    let gateway = Gateway::with(&settings, routes, &[upstream.address]).await;
    let url = format!("ws://{}/chat", gateway.address());
    let (mut socket, answer) = tokio_tungstenite::connect_async(&url)
        .await
        .expect("upgrade");
    assert_eq!(answer.status(), 101);
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(gateway.serving.in_flight(), 1);
    for text in ["first", "second"] {
        socket.send(Message::text(text)).await.expect("send");
        let echoed = socket.next().await.expect("a message").expect("no error");
        assert_eq!(echoed.into_text().expect("text").as_str(), text);
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let big = vec![7; MIB];
    socket
        .send(Message::binary(big.clone()))
        .await
        .expect("send");
    let echoed = socket.next().await.expect("a message").expect("no error");
    assert!(echoed.into_data() == big, "a big message came back");
    socket.close(None).await.expect("close");
    until("it is over", || gateway.serving.in_flight() == 0).await;
    assert_eq!(gateway.metric("pailou_requests_in_flight"), Some(0.0));
}

#[tokio::test]
async fn a_websocket_that_is_refused_is_an_answer() {
    let upstream = Upstream::start(|_| ok("no")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.text(), "no");
    assert_eq!(upstream.received()[0].header("upgrade"), Some("websocket"));
}

/// A tunnel whose two ends had forgotten each other stayed for ever.
#[tokio::test]
async fn a_tunnel_that_is_silent_for_too_long_ends() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.expect("an answer");
        std::future::pending::<()>().await;
    })
    .await;
    let routes = "routes: { any: { path: /**, service: users, tunnel_idle_timeout: 200ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.head().await.0, 101);
    assert!(client.is_closed().await);
}
