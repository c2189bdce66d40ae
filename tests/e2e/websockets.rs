//! WebSockets over HTTP/1.1 and HTTP/2, and how they end with the gateway.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{Registered, World, until_status};

/// An endpoint that sends texts back, and tells the codes of the Close frames that it gets.
async fn chat() -> (SocketAddr, mpsc::Receiver<CloseCode>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (closed, codes) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let closed = closed.clone();
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                    return;
                };
                // It answers a Close by itself, as the next message is asked for.
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Close(Some(close)) = &message {
                        let _ = closed.try_send(close.code);
                    }
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, codes)
}

/// A ready gateway before an endpoint of the service `chat`.
async fn before(endpoint: SocketAddr, more: &str) -> (World, Registered, Gateway) {
    let world = World::new().await;
    let registered = world.register("chat", endpoint).await;
    world.publish("routes: { /ws/**: chat }").await;
    let gateway = world.gateway_with(more).await.ready().await;
    (world, registered, gateway)
}

/// Asks for a WebSocket on a stream, as browsers do.
async fn ask(gateway: &Gateway) -> (SendRequest<String>, Response<Incoming>) {
    let stream = TcpStream::connect(gateway.data()).await.expect("connected");
    let handshake = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
    let (mut requests, connection) = handshake.await.expect("a handshake");
    tokio::spawn(connection);
    // What the gateway takes is known with its first answer.
    let get = Request::get(gateway.url("/nowhere")).body(String::new());
    let answer = requests.send_request(get.expect("a request")).await;
    assert_eq!(answer.expect("an answer").status(), 404);
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(gateway.url("/ws/room?a=b"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(String::new());
    let answer = requests.send_request(request.expect("a request")).await;
    (requests, answer.expect("an answer"))
}

async fn over_http2(gateway: &Gateway) -> WebSocketStream<TokioIo<Upgraded>> {
    let (_requests, answer) = ask(gateway).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let stream = hyper::upgrade::on(answer).await.expect("a stream");
    WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await
}

async fn echoes<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, text: &str) {
    socket.send(Message::text(text)).await.expect("sent");
    let echoed = socket.next().await.expect("an echo").expect("a frame");
    assert_eq!(echoed.to_text().expect("text"), text);
}

/// The next that comes is a Close that says "going away", and behind it nothing.
async fn is_sent_away<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    match socket.next().await {
        Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
        other => panic!("no Close: {other:?}"),
    }
    let behind = socket.next().await;
    assert!(!matches!(behind, Some(Ok(_))), "{behind:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_over_http2_passes_both_ways_beside_others() {
    let (endpoint, _codes) = chat().await;
    let (_world, _registered, gateway) = before(endpoint, "").await;
    let (mut one, mut other) = (over_http2(&gateway).await, over_http2(&gateway).await);
    for text in ["first", "second", &"long ".repeat(50_000)] {
        echoes(&mut one, text).await;
        echoes(&mut other, text).await;
    }
    one.close(None).await.expect("closed");
    while one.next().await.is_some() {}
    echoes(&mut other, "goes on").await;
    let line = gateway
        .logged(&["/ws/room", "\"http.response.status_code\":200"])
        .await;
    assert!(
        line.contains("\"network.protocol.version\":\"2\""),
        "{line}"
    );
}

/// A cache that plays back a 101, say.
#[tokio::test(flavor = "multi_thread")]
async fn one_over_http2_whose_endpoint_proves_nothing_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let (_world, _registered, gateway) = before(endpoint, "").await;
    let (_requests, answer) = ask(&gateway).await;
    assert_eq!(answer.status(), 502);
    until("the count", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains("cause=\"websocket_accept\"} 1")
            .then_some(())
    })
    .await;
    let view = gateway.admin_json("/api/v1/services/chat").await;
    assert_eq!(view["endpoints"][0]["error_answers"], 1, "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_told_of_the_end_and_it_comes_at_once() {
    let (endpoint, mut codes) = chat().await;
    let more = "shutdown: { drain_delay: 300ms, deadline: 1m }";
    let (_world, _registered, mut gateway) = before(endpoint, more).await;
    let url = format!("ws://{}/ws/room", gateway.data());
    let (mut one, _) = tokio_tungstenite::connect_async(url)
        .await
        .expect("an upgrade");
    let mut other = over_http2(&gateway).await;
    echoes(&mut one, "before").await;
    echoes(&mut other, "before").await;
    let began = Instant::now();
    gateway.signal("-TERM");
    gateway.logged(&["drain_delay"]).await;
    is_sent_away(&mut one).await;
    is_sent_away(&mut other).await;
    assert!(gateway.exited().await.success());
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(30),
        "it waited for its deadline: {took:?}"
    );
    for _ in 0..2 {
        assert_eq!(
            codes.recv().await,
            Some(CloseCode::Away),
            "the endpoint was told"
        );
    }
    let cut = gateway
        .log()
        .into_iter()
        .find(|line| line.contains("the deadline of the shutdown"));
    assert_eq!(cut, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_of_another_protocol_gets_no_byte_and_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                let _ = stream.read(&mut piece).await;
                let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x-chat/1\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes()).await;
                while let Ok(read @ 1..) = stream.read(&mut piece).await {
                    let _ = stream.write_all(&piece[..read]).await;
                }
            });
        }
    });
    let more =
        "shutdown: { drain_delay: 100ms, deadline: 3s }\nforwarded: { upgrades: [x-chat/1] }";
    let (_world, _registered, mut gateway) = before(endpoint, more).await;
    until_status(&gateway.url("/nowhere"), 404).await;
    let mut client = TcpStream::connect(gateway.data()).await.expect("connected");
    let head =
        "GET /ws/room HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x-chat/1\r\n\r\nhello";
    client.write_all(head.as_bytes()).await.expect("sent");
    let mut got = Vec::new();
    until("the echo", async || {
        let mut piece = [0; 4096];
        let read = client.read(&mut piece).await.expect("bytes");
        got.extend_from_slice(&piece[..read]);
        got.ends_with(b"hello").then_some(())
    })
    .await;
    gateway.signal("-TERM");
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    assert!(gateway.exited().await.success());
    gateway
        .logged(&["WARN", "the deadline of the shutdown", "\"in_flight\":1"])
        .await;
}
