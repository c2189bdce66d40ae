//! WebSockets over HTTP/2 (RFC 8441).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::gateway::{ANY, Gateway, until};
use crate::streaming::echo_bytes;
use crate::upstream::Step;
use crate::upstream::{Upstream, ok, read_head_as_sent, response};
use crate::websockets::echo;

const MIB: usize = 1 << 20;

/// A client that knows, as browsers do, that the gateway takes WebSockets here.
pub(crate) async fn connect(gateway: &Gateway) -> SendRequest<String> {
    let stream = TcpStream::connect(gateway.address())
        .await
        .expect("connect");
    let handshake = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
    let (requests, mut connection) = handshake.await.expect("a handshake");
    // Nothing wakes it when the settings come.
    until("the gateway says that it takes WebSockets", || {
        let mut nobody = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut connection).poll(&mut nobody);
        connection.is_extended_connect_protocol_enabled()
    })
    .await;
    tokio::spawn(connection);
    requests
}

fn opening(path: &str, protocol: &'static str) -> Request<String> {
    let uri = format!("https://gateway.test{path}");
    let request = Request::builder().method(Method::CONNECT).uri(uri);
    let request = request
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("origin", "https://gateway.test")
        .extension(Protocol::from_static(protocol));
    request.body(String::new()).expect("a request")
}

async fn send(client: &mut SendRequest<String>, request: Request<String>) -> Response<Incoming> {
    client.send_request(request).await.expect("an answer")
}

pub(crate) async fn open(client: &mut SendRequest<String>, path: &str) -> TokioIo<Upgraded> {
    let answer = send(client, opening(path, "websocket")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    TokioIo::new(hyper::upgrade::on(answer).await.expect("a stream"))
}

async fn socket(stream: TokioIo<Upgraded>) -> WebSocketStream<TokioIo<Upgraded>> {
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

pub(crate) const SWITCHES: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";

/// What an endpoint proves by that it has read the key in this head.
pub(crate) fn accept(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    derive_accept_key(key.expect("a key").as_bytes())
}

/// An endpoint that switches, and goes on with `serve`.
async fn switching<F>(serve: fn(TcpStream) -> F) -> Upstream
where
    F: Future<Output = ()> + Send + 'static,
{
    Upstream::raw(move |mut stream| async move {
        let head = read_head_as_sent(&mut stream).await.expect("a head");
        let accept = accept(&head);
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("get /chat?a=b http/1.1\r\n"), "{head}");
        let has = |line: &str| assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
        has("host: gateway.test\r\n");
        has("connection: upgrade\r\n");
        has("upgrade: websocket\r\n");
        has("sec-websocket-version: 13\r\n");
        has("sec-websocket-protocol: chat\r\n");
        has("sec-websocket-key: ");
        has("origin: https://gateway.test\r\n");
        let answer = format!(
            "{SWITCHES}sec-websocket-accept: {accept}\r\nsec-websocket-protocol: chat\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.expect("a head");
        serve(stream).await;
    })
    .await
}

#[tokio::test]
async fn messages_pass_both_ways_beside_other_requests() {
    let upstream = echo().await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(socket(open(&mut client, "/chat?a=b").await).await);
    }
    assert_eq!(gateway.serving.connections(), 1);
    assert_eq!(gateway.serving.in_flight(), 3);
    for (number, socket) in sockets.iter_mut().enumerate() {
        let text = format!("message {number}");
        socket.send(Message::text(&text)).await.expect("sent");
        let echoed = socket.next().await.expect("a message").expect("no error");
        assert_eq!(echoed.into_text().expect("text").as_str(), text);
        let big = vec![7; MIB];
        let message = Message::binary(big.clone());
        socket.send(message).await.expect("sent");
        let echoed = socket.next().await.expect("a message").expect("no error");
        assert!(echoed.into_data() == big, "a big message came back");
    }
    for mut socket in sockets {
        socket.close(None).await.expect("closed");
        while socket.next().await.is_some() {}
    }
    until("they are over", || gateway.serving.in_flight() == 0).await;
    let requests = "pailou_requests_total{route=\"any\"";
    assert_eq!(gateway.metric(requests), Some(3.0));
}

#[tokio::test]
async fn the_head_is_one_of_http2_for_the_client_and_of_http_1_for_the_endpoint() {
    let upstream = switching(|mut stream| async move {
        stream.write_all(b"early").await.expect("sent");
        std::future::pending().await
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let answer = send(&mut client, opening("/chat?a=b", "websocket")).await;
    assert_eq!(answer.status(), 200);
    let head = answer.headers();
    assert_eq!(head["sec-websocket-protocol"], "chat");
    assert!(head.contains_key("x-request-id"), "{head:?}");
    for name in [
        "connection",
        "upgrade",
        "sec-websocket-accept",
        "content-length",
    ] {
        assert!(!head.contains_key(name), "{head:?}");
    }
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.expect("a stream"));
    let mut early = [0; 5];
    stream
        .read_exact(&mut early)
        .await
        .expect("what came early");
    assert_eq!(&early, b"early");
}

#[tokio::test]
async fn a_stream_under_load_does_not_lock_up() {
    let upstream = switching(|mut stream| async move {
        echo_bytes(&mut stream, 20 * MIB).await;
        // All of it arrives, and then the end.
        drop(stream);
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let stream = open(&mut connect(&gateway).await, "/chat?a=b").await;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        let sent = writing.write_all(&vec![b'a'; 20 * MIB]).await;
        sent.expect("sent");
        writing
    });
    let mut got = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), reading.read_to_end(&mut got));
    read.await.expect("it does not lock up").expect("read");
    assert_eq!(got.len(), 20 * MIB);
    drop((reading, sending.await.expect("all is sent")));
    until("it is over", || gateway.serving.in_flight() == 0).await;
}

#[tokio::test]
async fn what_is_no_switch_is_no_success() {
    let upstream = Upstream::start(|request| match request.line() {
        line if line.contains("/no") => {
            vec![Step::Send(response("403 Forbidden", "", "not you"))]
        }
        _ => ok("hello"),
    })
    .await;
    let routes = "
routes:
  own: { path: /own, filters: [ { respond: { status: 200, body: hello } } ] }
  any: { path: /**, service: users }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    for (request, status) in [
        (opening("/no", "websocket"), 403),
        (opening("/yes", "websocket"), 502),
        (opening("/own", "websocket"), 502),
        (opening("/no", "connect-udp"), 405),
    ] {
        let what = format!("{request:?}");
        assert_eq!(send(&mut client, request).await.status(), status, "{what}");
    }
    let render = gateway.metrics.render();
    let told = render
        .lines()
        .filter(|line| line.contains("\"not_switched\""));
    assert_eq!(told.count(), 2, "one of each route: {render}");
    until("nothing is left", || gateway.serving.in_flight() == 0).await;
}

/// A 101 of one that has not read the request, such as a cache, is no WebSocket.
#[tokio::test]
async fn a_switch_without_its_proof_is_502() {
    let wrong: [fn(&str) -> String; 4] = [
        |_| String::new(),
        |_| "sec-websocket-accept: x\r\n".to_owned(),
        |right| format!("sec-websocket-accept: {}\r\n", right.to_ascii_lowercase()),
        |right| format!("sec-websocket-accept: {right}\r\nsec-websocket-accept: {right}\r\n"),
    ];
    for (number, fields) in wrong.into_iter().enumerate() {
        let upstream = Upstream::raw(move |mut stream| async move {
            let head = read_head_as_sent(&mut stream).await.expect("a head");
            let answer = format!("{SWITCHES}{}\r\n", fields(&accept(&head)));
            stream.write_all(answer.as_bytes()).await.expect("sent");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "nothing passes: {rest:?}");
        })
        .await;
        let gateway = Gateway::start(ANY, &[upstream.address]).await;
        let mut client = connect(&gateway).await;
        let answer = send(&mut client, opening("/chat", "websocket")).await;
        assert_eq!(answer.status(), 502, "{number}");
        let told = gateway.metric("cause=\"websocket_accept\"");
        assert_eq!(told, Some(1.0), "{number}");
        let users = gateway.service("users").view();
        assert_eq!(users.endpoints[0].error_answers, 1, "{users:?}");
        until("nothing is left", || gateway.serving.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_endpoints_side() {
    let upstream = echo().await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let mut left = socket(open(&mut client, "/a").await).await;
    let mut stays = socket(open(&mut client, "/b").await).await;
    left.send(Message::text("x")).await.expect("sent");
    drop(left);
    until("the first is over", || gateway.serving.in_flight() == 1).await;
    stays.send(Message::text("y")).await.expect("sent");
    let echoed = stays.next().await.expect("a message").expect("no error");
    assert_eq!(echoed.into_text().expect("text").as_str(), "y");
    drop((client, stays));
    until("so is the connection", || {
        gateway.serving.connections() == 0
    })
    .await;
    until("and the second", || {
        gateway.metric("pailou_requests_in_flight") == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn silence_and_a_client_that_takes_nothing_end_it() {
    let upstream = switching(|stream| async move {
        let flood = vec![b'a'; MIB];
        let (_, mut writing) = stream.into_split();
        while writing.write_all(&flood).await.is_ok() {}
    })
    .await;
    let settings = [("PAILOU_LIMITS_WRITE_TIMEOUT", "300ms")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let _untaken = open(&mut client, "/chat?a=b").await;
    until("it is cut", || gateway.serving.in_flight() == 0).await;
    assert_eq!(gateway.serving.connections(), 1, "its stream alone");

    let upstream = switching(|_stream| std::future::pending()).await;
    let routes = "routes: { any: { path: /**, service: users, tunnel_idle_timeout: 200ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let mut silent = open(&mut client, "/chat?a=b").await;
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    until("it is over", || gateway.serving.in_flight() == 0).await;
}

#[tokio::test]
async fn what_is_left_of_them_is_cut_with_the_connection() {
    let upstream = echo().await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let mut open = open(&mut client, "/a").await;
    gateway.serving.abort();
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest).await;
    until("nothing is left", || {
        gateway.metric("pailou_requests_in_flight") == Some(0.0)
    })
    .await;
}
