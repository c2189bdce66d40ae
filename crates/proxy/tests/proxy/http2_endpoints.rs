//! Endpoints that speak HTTP/2, and gRPC through the gateway.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pailou_upstream::{EndpointSet, EndpointSpec, Http, Transport};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Upstream, nobody, ok};

pub(crate) const H2C: Transport = Transport {
    tls: false,
    http: Http::Http2,
};

/// An endpoint that answers each stream by a function.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Endpoint {
    pub(crate) async fn start<F>(
        answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
    ) -> Endpoint
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond));
                    }
                });
            }
        });
        Endpoint {
            address,
            connections,
        }
    }
}

pub(crate) async fn gateway(routes: &str, endpoints: &[&Endpoint]) -> Gateway {
    let gateway = Gateway::start(routes, &[]).await;
    let specs = endpoints.iter().map(|endpoint| EndpointSpec {
        transport: H2C,
        ..EndpointSpec::new(endpoint.address)
    });
    gateway.service("users").update(EndpointSet::of(specs));
    gateway
}

pub(crate) async fn connect(gateway: &Gateway) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address())
        .await
        .expect("connect");
    let (requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
    tokio::spawn(connection);
    requests.ready().await.expect("ready")
}

async fn text(mut body: RecvStream) -> String {
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a piece");
        let _ = body.flow_control().release_capacity(piece.len());
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).expect("UTF-8")
}

/// What it was asked for, in a few words, and the body.
async fn mirror(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, body) = request.into_parts();
    let body = text(body).await;
    let te = head.headers.get("te").map(|te| te.to_str().expect("ASCII"));
    let words = format!("{} {} te={te:?} body={body}", head.method, head.uri);
    let hops = ["host", "connection", "transfer-encoding", "expect"];
    assert!(hops.iter().all(|name| !head.headers.contains_key(*name)));
    let mut stream = respond
        .send_response(Response::new(()), false)
        .expect("sent");
    stream.send_data(words.into(), true).expect("sent");
}

#[tokio::test]
async fn requests_of_both_versions_share_a_connection() {
    let endpoint = Endpoint::start(mirror).await;
    let gateway = gateway(ANY, &[&endpoint]).await;
    let address = gateway.address();
    let asks = (0..50).map(|number| {
        tokio::spawn(async move {
            let mut client = crate::client::Client::connect(address).await;
            for _ in 0..3 {
                let answer = client.get(&format!("/{number}?a=b")).await;
                assert_eq!(answer.status, 200);
                let expected = format!("GET http://gateway.test/{number}?a=b te=None body=");
                assert_eq!(answer.text(), expected);
            }
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.expect("its own answer");
    }
    let requests = connect(&gateway).await;
    let mut request = Request::post("http://gateway.test/x")
        .body(())
        .expect("a request");
    request
        .headers_mut()
        .insert("te", HeaderValue::from_static("trailers"));
    let (response, mut body) = requests.clone().send_request(request, false).expect("sent");
    body.send_data("hello".into(), true).expect("sent");
    let response = response.await.expect("a response");
    let expected = "POST http://gateway.test/x te=Some(\"trailers\") body=hello";
    assert_eq!(text(response.into_body()).await, expected);
    assert_eq!(endpoint.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn an_upload_of_http_1_reaches_it() {
    let endpoint = Endpoint::start(mirror).await;
    let gateway = gateway(ANY, &[&endpoint]).await;
    let mut client = gateway.connect().await;
    let answer = client.post("/a", b"some bytes").await;
    assert!(
        answer.text().ends_with("body=some bytes"),
        "{}",
        answer.text()
    );
    client
        .send("POST /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.head().await.0, 100);
    client.send("3\r\nabc\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.text().ends_with("body=abc"), "{}", answer.text());
}

/// A request that an endpoint refuses to look at may go to another, whatever it
/// is.
#[tokio::test]
async fn a_refused_stream_goes_to_another_endpoint() {
    let refuses = Endpoint::start(async |_, mut respond: SendResponse<Bytes>| {
        respond.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let answers = Endpoint::start(mirror).await;
    let gateway = gateway(ANY, &[&refuses, &answers]).await;
    let mut client = gateway.connect().await;
    for _ in 0..6 {
        let answer = client.post("/", b"once").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(refuses.connections.load(SeqCst) > 0);
}

#[tokio::test]
async fn a_stream_that_breaks_is_502_and_costs_no_other() {
    let endpoint = Endpoint::start(
        async |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| match request
            .uri()
            .path()
        {
            "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
            "/half" => {
                let mut stream = respond
                    .send_response(Response::new(()), false)
                    .expect("sent");
                stream.send_data("half".into(), false).expect("sent");
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                mirror(request, respond).await;
            }
        },
    )
    .await;
    let gateway = gateway(ANY, &[&endpoint]).await;
    let mut slow = gateway.connect().await;
    slow.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut client = gateway.connect().await;
    let answer = client.post("/reset", b"x").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (502, "upstream_reset")
    );
    let mut client = gateway.connect().await;
    client.send("GET /half HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.0, 200);
    let rest = String::from_utf8(client.rest().await).expect("ASCII");
    assert!(
        rest.contains("half") && !rest.contains("0\r\n\r\n"),
        "{rest:?}"
    );
    assert_eq!(slow.answer().await.status, 200);
}

pub(crate) fn trailers(status: &'static str) -> HeaderMap {
    let name = HeaderName::from_static("grpc-status");
    HeaderMap::from_iter([(name, HeaderValue::from_static(status))])
}

/// Echoes messages as they come, then ends with trailers.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    if request.uri().path() == "/hang" {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let mut response = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    let mut stream = respond.send_response(response, false).expect("sent");
    let mut body = request.into_body();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        stream.send_data(piece, false).expect("sent");
    }
    stream.send_trailers(trailers("0")).expect("sent");
}

pub(crate) fn call(path: &str) -> Request<()> {
    Request::post(format!("http://gateway.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

#[tokio::test]
async fn a_call_streams_both_ways_and_ends_with_its_status() {
    let endpoint = Endpoint::start(echo).await;
    let gateway = gateway(ANY, &[&endpoint]).await;
    let requests = connect(&gateway).await;
    let (response, mut upload) = requests
        .clone()
        .send_request(call("/a.B/C"), false)
        .expect("sent");
    let mut body = response
        .await
        .expect("a head before any message")
        .into_body();
    for message in ["one", "two", "three"] {
        upload.send_data(message.into(), false).expect("sent");
        let echoed = body.data().await.expect("a message").expect("a message");
        let _ = body.flow_control().release_capacity(echoed.len());
        assert_eq!(echoed, message, "each answered before the next is sent");
    }
    upload.send_data(Bytes::new(), true).expect("sent");
    assert!(
        body.data()
            .await
            .is_none_or(|last| last.is_ok_and(|last| last.is_empty()))
    );
    let trailers = body.trailers().await.expect("an end").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    until("nothing is left", || gateway.serving.in_flight() == 0).await;
}

#[tokio::test]
async fn our_own_errors_are_statuses_of_grpc() {
    let endpoint = Endpoint::start(echo).await;
    let routes = "routes: { any: { path: /a.B/**, service: users }, slow: { path: /hang, service: users }, none: { path: /none/**, service: nobody } }";
    let gateway = gateway(routes, &[&endpoint]).await;
    let requests = connect(&gateway).await;
    let mut late = call("/hang");
    late.headers_mut()
        .insert("grpc-timeout", HeaderValue::from_static("200m"));
    let began = Instant::now();
    for (request, status, cause) in [
        (call("/nowhere"), "12", "no_route"),
        (call("/none/x"), "14", "service_"),
        (late, "4", "total_timeout"),
    ] {
        let (response, mut upload) = requests.clone().send_request(request, false).expect("sent");
        upload.send_data("message".into(), true).expect("sent");
        let response = response.await.expect("a response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], status);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let message = response.headers()["grpc-message"].to_str().expect("ASCII");
        assert!(message.contains(cause), "{message}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "the call's own deadline"
    );
}

#[tokio::test]
async fn an_endpoint_that_restarts_is_reached_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        // Each connection serves two requests, says GOAWAY, and ends.
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("a handshake");
                let mut served = 0;
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(mirror(request, respond));
                    served += 1;
                    if served == 2 {
                        connection.graceful_shutdown();
                    }
                }
            });
        }
    });
    let endpoint = Endpoint {
        address,
        connections: Arc::default(),
    };
    let gateway = gateway(ANY, &[&endpoint]).await;
    let mut client = gateway.connect().await;
    for _ in 0..30 {
        let answer = client.post("/", b"x").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// As Spring's gRPC starter registers: HTTP/1.1 at the instance's port, and gRPC
/// at the one that its metadata names.
#[tokio::test]
async fn an_instance_may_have_a_port_of_its_own_for_http2() {
    let pages = Upstream::start(|_| ok("page")).await;
    let calls = Endpoint::start(mirror).await;
    let routes = "
routes:
  calls: { path: /calls/**, service: { name: users, protocol: grpc }, preserve_host: false }
  pages: { path: /pages/**, service: users }";
    let gateway = Gateway::start(routes, &[]).await;
    let of = |grpc_port| EndpointSpec {
        grpc_port: Some(grpc_port),
        ..EndpointSpec::new(pages.address)
    };
    let users = gateway.service("users");
    users.update(EndpointSet::of([of(calls.address.port())]));
    let mut client = gateway.connect().await;
    for _ in 0..3 {
        assert_eq!(client.get("/pages/a").await.text(), "page");
        let answer = client.post("/calls/a", b"x").await;
        let expected = format!("POST http://{}/calls/a te=None body=x", calls.address);
        assert_eq!(answer.text(), expected);
    }
    assert_eq!(calls.connections.load(SeqCst), 1);
    // Another port is another place, and the same endpoint.
    users.update(EndpointSet::of([of(nobody().await.port())]));
    let answer = client.post("/calls/a", b"x").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (502, "connect_failed")
    );
}
