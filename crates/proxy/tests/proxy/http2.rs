//! Clients of HTTP/2, and what they may not do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, ok, read_head, response};

struct Client {
    requests: SendRequest<Bytes>,
    /// Ends with the connection.
    driver: JoinHandle<Result<(), h2::Error>>,
}

async fn connect(gateway: &Gateway) -> Client {
    let stream = TcpStream::connect(gateway.address())
        .await
        .expect("connect");
    let (requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
    let driver = tokio::spawn(connection);
    Client { requests, driver }
}

fn get(path: &str) -> Request<()> {
    let uri = format!("http://gateway.test{path}");
    Request::get(uri).body(()).expect("a request")
}

fn post(path: &str) -> Request<()> {
    let uri = format!("http://gateway.test{path}");
    Request::post(uri).body(()).expect("a request")
}

impl Client {
    async fn send(&mut self, request: Request<()>) -> Result<Response<RecvStream>, h2::Error> {
        let mut ready = self.requests.clone().ready().await?;
        let (response, _) = ready.send_request(request, true)?;
        response.await
    }

    async fn text(&mut self, request: Request<()>) -> (u16, HeaderMap, String) {
        whole(self.send(request).await.expect("a response")).await
    }
}

async fn whole(response: Response<RecvStream>) -> (u16, HeaderMap, String) {
    let (head, mut body) = response.into_parts();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a piece");
        let _ = body.flow_control().release_capacity(piece.len());
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).expect("UTF-8");
    (head.status.as_u16(), head.headers, text)
}

#[tokio::test]
async fn a_request_reaches_the_endpoint_as_http_1() {
    let upstream = Upstream::start(|_| ok("hello")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let mut request = get("/a?b=%zz");
    let fields = request.headers_mut();
    fields.append("cookie", "a=1".parse().expect("a value"));
    fields.append("cookie", "b=2".parse().expect("a value"));
    fields.append("user_id", "7".parse().expect("a value"));
    let (status, head, text) = client.text(request).await;
    assert_eq!((status, text.as_str()), (200, "hello"));
    assert!(!head.contains_key("connection"), "{head:?}");
    assert!(head.contains_key("x-request-id") && head.contains_key("date"));
    let received = &upstream.received()[0];
    assert_eq!(received.line(), "get /a?b=%zz http/1.1");
    assert_eq!(received.header("host"), Some("gateway.test"));
    assert_eq!(received.header("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(received.header("cookie"), Some("a=1; b=2"));
    assert_eq!(received.header("user_id"), None);
}

#[tokio::test]
async fn many_streams_share_a_connection() {
    let upstream = Upstream::start(|request| {
        let late = request.line().contains("/late");
        let wait = Duration::from_millis(if late { 300 } else { 0 });
        vec![
            Step::Wait(wait),
            Step::Send(response("200 OK", "", request.line())),
        ]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    // How many there may be the client knows from now on.
    assert_eq!(client.text(get("/first")).await.0, 200);
    let streams = (0..200).map(|number| {
        let mut requests = client.requests.clone();
        tokio::spawn(async move {
            let path = match number % 10 {
                0 => format!("/late/{number}"),
                _ => format!("/{number}"),
            };
            let mut ready = requests.clone().ready().await.expect("ready");
            std::mem::swap(&mut requests, &mut ready);
            let (response, _) = requests.send_request(get(&path), true).expect("sent");
            let (status, _, text) = whole(response.await.expect("a response")).await;
            assert_eq!((status, text), (200, format!("get {path} http/1.1")));
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.expect("its own answer");
    }
    assert_eq!(gateway.serving.connections(), 1);
    until("nothing is left", || gateway.serving.in_flight() == 0).await;
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let upstream = Upstream::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.expect("a head");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let mut body = Vec::new();
        while !body.ends_with(b"x-sum: 5\r\n\r\n") {
            body.push(stream.read_u8().await.expect("a body with trailers"));
        }
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n\
                       5\r\nhello\r\n0\r\nx-end: 1\r\n\r\n";
        stream.write_all(answer).await.expect("sent");
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let client = connect(&gateway).await;
    let mut ready = client.requests.clone().ready().await.expect("ready");
    let mut request = post("/");
    let names = "x-sum".parse().expect("a value");
    request.headers_mut().insert("trailer", names);
    let (response, mut body) = ready.send_request(request, false).expect("sent");
    body.send_data("hello".into(), false).expect("sent");
    let trailers = HeaderMap::from_iter([(
        "x-sum".parse().expect("a name"),
        "5".parse().expect("a value"),
    )]);
    body.send_trailers(trailers).expect("sent");
    let mut body = response.await.expect("a response").into_body();
    assert_eq!(
        body.data().await.expect("a piece").expect("a piece"),
        "hello"
    );
    assert!(body.data().await.is_none());
    let trailers = body.trailers().await.expect("an end").expect("trailers");
    assert_eq!(trailers["x-end"], "1");
}

#[tokio::test]
async fn a_body_has_the_length_that_it_says() {
    let upstream = Upstream::start(|request| {
        vec![Step::Send(response(
            "200 OK",
            "",
            &format!("{}", request.body.len()),
        ))]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let client = connect(&gateway).await;
    let mut request = post("/");
    let length = "100000".parse().expect("a value");
    request.headers_mut().insert("content-length", length);
    let mut ready = client.requests.clone().ready().await.expect("ready");
    let (response, mut body) = ready.send_request(request, false).expect("sent");
    body.send_data(vec![b'a'; 100_000].into(), true)
        .expect("sent");
    let (status, _, text) = whole(response.await.expect("a response")).await;
    assert_eq!((status, text.as_str()), (200, "100000"));
    assert_eq!(
        upstream.received()[0].header("content-length"),
        Some("100000")
    );
    // One that lies breaks its stream, and nothing else.
    let mut request = post("/lie");
    let length = "5".parse().expect("a value");
    request.headers_mut().insert("content-length", length);
    let (response, mut body) = client
        .requests
        .clone()
        .send_request(request, false)
        .expect("sent");
    body.send_data("abcdefgh".into(), true).expect("sent");
    match response.await {
        Err(error) => assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR)),
        Ok(answer) => assert_eq!(answer.status(), 400),
    }
    let received = upstream.received();
    assert!(
        !received
            .iter()
            .any(|request| request.line().contains("/lie"))
    );
}

#[tokio::test]
async fn a_head_only_answer_has_no_body() {
    let upstream = Upstream::start(|request| match request.line() {
        line if line.starts_with("head") => vec![Step::Send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec(),
        )],
        _ => vec![Step::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())],
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let mut request = get("/");
    *request.method_mut() = http::Method::HEAD;
    let (status, head, text) = client.text(request).await;
    assert_eq!((status, text.as_str()), (200, ""));
    assert_eq!(head["content-length"], "5");
    assert_eq!(client.text(get("/")).await.0, 204);
}

#[tokio::test]
async fn what_is_refused_is_a_problem_and_costs_its_stream_alone() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [
        ("PAILOU_LIMITS_BODY_BYTES", "10"),
        ("PAILOU_LIMITS_HEADER_COUNT", "20"),
    ];
    let routes = "routes: { any: { path: /a/**, service: users } }";
    let gateway = Gateway::with(&settings, routes, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let with = |name: &'static str, value: &str| {
        let mut request = get("/a/x");
        let value = value.parse().expect("a value");
        request.headers_mut().append(name, value);
        request
    };
    let mut many = get("/a/x");
    for number in 0..30 {
        let name: http::HeaderName = format!("x-{number}").parse().expect("a name");
        many.headers_mut()
            .insert(name, "1".parse().expect("a value"));
    }
    let mut large = post("/a/x");
    large
        .headers_mut()
        .insert("content-length", "11".parse().expect("a value"));
    for (request, status, cause) in [
        (get("/nowhere"), 404, "no_route"),
        (get("/a/..%2fx"), 400, "malformed_target"),
        (with("host", "other.test"), 400, "malformed_head"),
        (many, 431, "head_too_large"),
    ] {
        let what = format!("{request:?}");
        let (answered, head, text) = client.text(request).await;
        assert_eq!(answered, status, "{what}: {text}");
        assert_eq!(head["content-type"], "application/problem+json");
        assert!(text.contains(cause), "{what}: {text}");
    }
    let mut ready = client.requests.clone().ready().await.expect("ready");
    let (response, _body) = ready.send_request(large, false).expect("sent");
    assert_eq!(response.await.expect("a response").status(), 413);
    assert_eq!(
        client.text(get("/a/x")).await.0,
        200,
        "the connection goes on"
    );
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn an_upload_that_is_reset_is_never_completed() {
    for reason in [Reason::CANCEL, Reason::NO_ERROR] {
        let (told, mut tell) = tokio::sync::mpsc::channel(1);
        let upstream = Upstream::raw(move |mut stream| {
            let told = told.clone();
            async move {
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
                let text = String::from_utf8(all).expect("ASCII");
                let _ = told.send(text).await;
            }
        })
        .await;
        let gateway = Gateway::start(ANY, &[upstream.address]).await;
        let client = connect(&gateway).await;
        let mut ready = client.requests.clone().ready().await.expect("ready");
        let (_response, mut body) = ready.send_request(post("/"), false).expect("sent");
        body.send_data("hello".into(), false).expect("sent");
        until("the request is under way", || {
            gateway.serving.in_flight() == 1
        })
        .await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        body.send_reset(reason);
        let received = tell.recv().await.expect("the endpoint's connection ends");
        let sent = received.split_once("\r\n\r\n").expect("a head").1;
        assert!(!sent.contains("0\r\n\r\n"), "{reason}: {received}");
        until("nothing is left", || gateway.serving.in_flight() == 0).await;
    }
}

/// A client's window stayed shut: nothing above the engine heard of it.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let upstream = Upstream::start(|_| ok(&"a".repeat(1 << 20))).await;
    let rate = ("PAILOU_LIMITS_WRITE_MIN_RATE", "1GiB");
    for (settings, cause) in [
        (("PAILOU_LIMITS_WRITE_TIMEOUT", "300ms"), "client_gone"),
        (("PAILOU_DEFAULTS_TOTAL_TIMEOUT", "300ms"), "total_timeout"),
        (
            ("PAILOU_LIMITS_WRITE_MIN_RATE_AFTER", "300ms"),
            "client_too_slow",
        ),
    ] {
        let settings = match cause {
            "client_too_slow" => vec![settings, rate],
            _ => vec![settings],
        };
        let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
        let client = connect(&gateway).await;
        let mut ready = client.requests.clone().ready().await.expect("ready");
        let (response, _) = ready.send_request(get("/"), true).expect("sent");
        let _body = response.await.expect("a head").into_body();
        until("it is cut", || {
            gateway.metric(&format!("cause=\"{cause}\"")) == Some(1.0)
        })
        .await;
        until("nothing is left", || gateway.serving.in_flight() == 0).await;
        assert_eq!(gateway.serving.connections(), 1, "its stream alone");
    }
}

/// It was cut after `write_timeout` while it read as fast as it could, if its endpoint was always faster.
#[tokio::test]
async fn a_client_that_goes_on_reading_is_not_cut() {
    let upstream = Upstream::start(|_| ok(&"a".repeat(2 << 20))).await;
    let settings = [("PAILOU_LIMITS_WRITE_TIMEOUT", "300ms")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    let mut body = client.send(get("/")).await.expect("a head").into_body();
    let (mut bytes, began) = (0, Instant::now());
    let mut slept = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a piece");
        bytes += piece.len();
        while slept < bytes {
            tokio::time::sleep(Duration::from_millis(10)).await;
            slept += 16 << 10;
        }
        let _ = body.flow_control().release_capacity(piece.len());
    }
    assert_eq!(bytes, 2 << 20);
    assert!(began.elapsed() > Duration::from_millis(900));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work() {
    let upstream = Upstream::start(|_| vec![Step::Wait(Duration::from_secs(60))]).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let client = connect(&gateway).await;
    let mut ready = client.requests.clone().ready().await.expect("ready");
    let (response, mut stream) = ready.send_request(get("/"), false).expect("sent");
    until("it is in flight", || {
        upstream.received().len() == 1 || gateway.serving.in_flight() == 1
    })
    .await;
    stream.send_reset(Reason::CANCEL);
    drop(response);
    until("it is over", || {
        gateway.metric("cause=\"client_gone\"") == Some(1.0)
    })
    .await;
    let (response, _) = ready
        .ready()
        .await
        .expect("ready")
        .send_request(get("/"), true)
        .expect("sent");
    until("another", || gateway.serving.in_flight() == 1).await;
    client.driver.abort();
    drop(response);
    until("it is over too", || {
        gateway.metric("cause=\"client_gone\"") == Some(2.0)
    })
    .await;
    until("nothing is open", || gateway.serving.connections() == 0).await;
}

#[tokio::test]
async fn a_drain_says_goaway_and_finishes_what_is_in_flight() {
    let upstream = Upstream::start(|_| {
        vec![
            Step::Wait(Duration::from_millis(300)),
            Step::Send(response("200 OK", "", "late")),
        ]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let client = connect(&gateway).await;
    let mut ready = client.requests.clone().ready().await.expect("ready");
    let (response, _) = ready.send_request(get("/"), true).expect("sent");
    until("it is in flight", || upstream.received().len() == 1).await;
    let idle = connect(&gateway).await;
    gateway.serving.stop_accepting();
    let (status, _, text) = whole(response.await.expect("a response")).await;
    assert_eq!((status, text.as_str()), (200, "late"));
    client
        .driver
        .await
        .expect("no panic")
        .expect("an orderly end");
    idle.driver
        .await
        .expect("no panic")
        .expect("an orderly end");
    tokio::time::timeout(Duration::from_secs(5), gateway.serving.idle())
        .await
        .expect("nothing is left");
    assert_eq!(gateway.serving.connections(), 0);
}

#[tokio::test]
async fn a_silent_connection_ends_and_so_does_one_that_has_served_enough() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_KEEPALIVE_TIMEOUT", "1s")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    assert_eq!(client.text(get("/")).await.0, 200);
    client
        .driver
        .await
        .expect("no panic")
        .expect("an orderly end");

    let settings = [("PAILOU_LIMITS_KEEPALIVE_REQUESTS", "2")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = connect(&gateway).await;
    assert_eq!(client.text(get("/")).await.0, 200);
    assert_eq!(client.text(get("/")).await.0, 200);
    client
        .driver
        .await
        .expect("no panic")
        .expect("an orderly end");
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it is on the wire (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// `GET http://a/`, by HPACK's static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

async fn raw(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address())
        .await
        .expect("connect");
    stream.write_all(PREFACE).await.expect("sent");
    stream
        .write_all(&frame(SETTINGS, 0, 0, &[]))
        .await
        .expect("sent");
    stream
}

/// Sends until the gateway cuts the connection; says whether it did.
async fn is_cut(mut stream: TcpStream, frames: impl Iterator<Item = Vec<u8>>) -> bool {
    let (mut reading, mut writing) = stream.split();
    let write = async {
        for frame in frames {
            if writing.write_all(&frame).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    };
    let read = async {
        let mut waste = vec![0; 65536];
        while reading.read(&mut waste).await.is_ok_and(|read| read > 0) {}
    };
    let ended = async {
        tokio::select! { () = write => {} () = read => {} }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .is_ok()
}

#[tokio::test]
async fn floods_cut_the_connection_and_nothing_else() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut other = connect(&gateway).await;
    assert_eq!(other.text(get("/")).await.0, 200);

    let resets = (0..100_000_u32).map(|number| {
        let stream = number * 2 + 1;
        let mut frames = frame(HEADERS, 5, stream, GET);
        frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        frames
    });
    assert!(is_cut(raw(&gateway).await, resets).await, "rapid resets");

    let begun = std::iter::once(frame(HEADERS, 1, 1, GET));
    let field = [&[0x00, 0x01, b'x', 0x7f, 0x81, 0x07][..], &[b'a'; 1024]].concat();
    let more = (0..100_000).map(|_| frame(CONTINUATION, 0, 1, &field));
    assert!(
        is_cut(raw(&gateway).await, begun.chain(more)).await,
        "continuations"
    );

    // Not HTTP/2 at all.
    let nonsense = (0..1000).map(|_| vec![0xff; 1024]);
    assert!(is_cut(raw(&gateway).await, nonsense).await, "nonsense");

    assert_eq!(other.text(get("/")).await.0, 200, "nobody else notices");
    until("nothing is in flight", || gateway.serving.in_flight() == 0).await;
}

/// Whoever sends pings and reads no answer stops itself: the gateway reads no
/// more before its answers are out.
#[tokio::test]
async fn pings_are_not_kept() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_WRITE_TIMEOUT", "1s")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut stream = raw(&gateway).await;
    let ping = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    let flood = async { while stream.write_all(&ping).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), flood)
        .await
        .expect("the connection is cut");
}

#[tokio::test]
async fn a_preface_has_to_come_in_time() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_HEADER_TIMEOUT", "300ms")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut stream = TcpStream::connect(gateway.address())
        .await
        .expect("connect");
    stream.write_all(&PREFACE[..10]).await.expect("sent");
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    assert!(ended.is_ok(), "it is cut");
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{rest:?}"
    );
    // One that comes byte by byte is one.
    let mut stream = TcpStream::connect(gateway.address())
        .await
        .expect("connect");
    stream.set_nodelay(true).expect("no delay");
    for byte in PREFACE {
        stream.write_all(&[*byte]).await.expect("sent");
    }
    stream
        .write_all(&frame(SETTINGS, 0, 0, &[]))
        .await
        .expect("sent");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("its settings");
    assert_eq!(head[3], SETTINGS);
}
