//! Bodies that are compressed while they stream.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{Registered, World, until_status};

const ROUTES: &str = "
routes:
  /api/users/**:
    service: user-service
    filters: [ { compress: {} } ]
";

/// A service whose slow answers go on when the test says so.
struct Service {
    address: SocketAddr,
    goes_on: Arc<Semaphore>,
}

impl Service {
    async fn start() -> Service {
        let goes_on = Arc::new(Semaphore::new(0));
        let app = Router::new().fallback(answer).with_state(goes_on.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Service { address, goes_on }
    }
}

/// Text that gets smaller, and does not repeat itself too soon.
fn page() -> String {
    (0..20_000)
        .map(|line| format!("line {line} of a page\n"))
        .collect()
}

async fn answer(State(goes_on): State<Arc<Semaphore>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let answer = Response::builder().header("content-type", "text/plain");
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "page" => {
            let answer = answer
                .header("etag", "\"v1\"")
                .header("accept-ranges", "bytes");
            let knows = request.headers().get("if-none-match");
            match knows.is_some_and(|tag| tag == "W/\"v1\"" || tag == "\"v1\"") {
                true => answer.status(StatusCode::NOT_MODIFIED).body(Body::empty()),
                false => answer.body(page().into()),
            }
        }
        "small" => answer.body("small".into()),
        "none" => answer.status(StatusCode::NO_CONTENT).body(Body::empty()),
        "fixed" => answer
            .header("cache-control", "no-transform")
            .body(page().into()),
        "encoded" => answer
            .header("content-encoding", "x-own")
            .body(page().into()),
        "picture" => Response::builder()
            .header("content-type", "image/png")
            .body(page().into()),
        "slow" => answer.body(in_two(goes_on, "first, ", "second")),
        "events" => Response::builder()
            .header("content-type", "text/event-stream")
            .body(in_two(goes_on, "data: 1\n\n", "data: 2\n\n")),
        "cut" => {
            let cut = futures_util::stream::once(async move {
                goes_on.acquire().await.expect("open").forget();
                Err(std::io::Error::other("cut"))
            });
            let pieces = futures_util::stream::iter([Ok(page())]).chain(cut);
            answer.body(Body::from_stream(pieces))
        }
        "trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "7".parse().expect("a value"));
            let frames = [Frame::data(Bytes::from(page())), Frame::trailers(trailers)];
            let frames = frames.map(Ok::<_, Infallible>);
            let body = StreamBody::new(futures_util::stream::iter(frames));
            answer.header("trailer", "x-sum").body(Body::new(body))
        }
        _ => answer.body("hello".into()),
    }
    .expect("an answer")
}

/// The first piece at once, the second when the test says so.
fn in_two(goes_on: Arc<Semaphore>, first: &'static str, second: &'static str) -> Body {
    let second = futures_util::stream::once(async move {
        goes_on.acquire().await.expect("open").forget();
        second
    });
    let pieces = futures_util::stream::once(async move { first }).chain(second);
    Body::from_stream(pieces.map(Ok::<_, Infallible>))
}

async fn world_with(routes: &str) -> (World, Service, Registered, Gateway) {
    let world = World::new().await;
    let service = Service::start().await;
    let registered = world.register("user-service", service.address).await;
    world.publish(routes).await;
    let gateway = world.gateway().await.ready().await;
    until_status(&gateway.url("/api/users/1"), 200).await;
    (world, service, registered, gateway)
}

async fn ask(gateway: &Gateway, path: &str, accepts: &str) -> reqwest::Response {
    let asked = Client::new().get(gateway.url(&format!("/api/users/{path}")));
    let asked = asked.header("accept-encoding", accepts).send().await;
    asked.expect("an answer")
}

fn said<'r>(answer: &'r reqwest::Response, name: &str) -> Option<&'r str> {
    let value = answer.headers().get(name)?;
    Some(value.to_str().expect("ASCII"))
}

fn decoded(coding: &str, bytes: &[u8]) -> std::io::Result<String> {
    let mut out = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes)?.read_to_string(&mut out),
        other => panic!("no coding of ours: {other}"),
    }?;
    Ok(out)
}

/// What of a cut body can be decoded.
fn begins(coding: &str, bytes: &[u8], with: &str) -> bool {
    let mut out = vec![0; with.len()];
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_exact(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_exact(&mut out),
        _ => zstd::stream::read::Decoder::new(bytes)
            .expect("a decoder")
            .read_exact(&mut out),
    };
    read.is_ok() && out == with.as_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_encoding_is_what_the_client_asks_for_and_decodes_to_the_page() {
    let (_world, _service, _registered, gateway) = world_with(ROUTES).await;
    for (accepts, coding) in [
        ("gzip", Some("gzip")),
        ("br", Some("br")),
        ("zstd", Some("zstd")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip;q=1, br;q=0.5", Some("gzip")),
        ("*", Some("zstd")),
        ("identity", None),
        ("deflate", None),
        ("gzip;q=0", None),
    ] {
        let answer = ask(&gateway, "page", accepts).await;
        assert_eq!(said(&answer, "content-encoding"), coding, "{accepts}");
        assert_eq!(said(&answer, "vary"), Some("Accept-Encoding"), "{accepts}");
        let (etag, length) = match coding {
            Some(_) => ("W/\"v1\"", None),
            None => ("\"v1\"", Some(page().len().to_string())),
        };
        assert_eq!(said(&answer, "etag"), Some(etag), "{accepts}");
        assert_eq!(
            said(&answer, "content-length"),
            length.as_deref(),
            "{accepts}"
        );
        assert_eq!(said(&answer, "accept-ranges").is_some(), coding.is_none());
        let bytes = answer.bytes().await.expect("a whole body");
        match coding {
            Some(coding) => {
                assert!(bytes.len() < page().len() / 2, "{} bytes", bytes.len());
                assert_eq!(decoded(coding, &bytes).expect(coding), page());
            }
            None => assert_eq!(bytes, page()),
        }
    }
    until("the count of the answers", async || {
        let metrics = gateway.metrics().await;
        let counted = |name: &str, value: usize| {
            metrics.contains(&format!("pailou_{name}_total{{coding=\"zstd\"}} {value}\n"))
        };
        let bytes = 3 * page().len();
        (counted("compressed_responses", 3) && counted("compression_input_bytes", bytes))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_compressed_passes_untouched() {
    let (_world, _service, _registered, gateway) = world_with(ROUTES).await;
    for (path, encoding, varies) in [
        ("small", None, None),
        ("none", None, None),
        ("fixed", None, None),
        ("picture", None, None),
        ("encoded", Some("x-own"), None),
    ] {
        let answer = ask(&gateway, path, "gzip").await;
        assert_eq!(said(&answer, "content-encoding"), encoding, "{path}");
        assert_eq!(said(&answer, "vary"), varies, "{path}");
        let length = said(&answer, "content-length").map(str::to_owned);
        let bytes = answer.bytes().await.expect("a whole body");
        if path != "none" {
            assert_eq!(length, Some(bytes.len().to_string()), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_and_a_304_say_what_a_get_would() {
    let (_world, _service, _registered, gateway) = world_with(ROUTES).await;
    let url = gateway.url("/api/users/page");
    let asked = Client::new().head(&url).header("accept-encoding", "br");
    let answer = asked.send().await.expect("an answer");
    assert_eq!(said(&answer, "content-encoding"), Some("br"));
    assert_eq!(said(&answer, "content-length"), None);
    assert_eq!(said(&answer, "etag"), Some("W/\"v1\""));
    let knows = Client::new()
        .get(&url)
        .header("accept-encoding", "br")
        .header("if-none-match", "W/\"v1\"");
    let answer = knows.send().await.expect("an answer");
    assert_eq!(answer.status(), 304);
    assert_eq!(said(&answer, "content-encoding"), None);
    assert_eq!(said(&answer, "etag"), Some("W/\"v1\""));
    assert_eq!(said(&answer, "vary"), Some("Accept-Encoding"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_s_bytes_are_not_held() {
    let (_world, service, _registered, gateway) = world_with(ROUTES).await;
    for coding in ["gzip", "br", "zstd"] {
        let mut answer = ask(&gateway, "slow", coding).await;
        assert_eq!(said(&answer, "content-encoding"), Some(coding));
        let mut bytes = Vec::new();
        // The endpoint sends nothing more before it is told to.
        while !begins(coding, &bytes, "first, ") {
            let piece = tokio::time::timeout(std::time::Duration::from_secs(5), answer.chunk());
            let piece = piece.await.expect("the first piece in time");
            bytes.extend(piece.expect("a piece").expect("not the end"));
        }
        service.goes_on.add_permits(1);
        while let Some(piece) = answer.chunk().await.expect("a piece") {
            bytes.extend(piece);
        }
        assert_eq!(decoded(coding, &bytes).expect(coding), "first, second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_passes_at_once_and_as_it_is() {
    let (_world, service, _registered, gateway) = world_with(ROUTES).await;
    let mut answer = ask(&gateway, "events", "gzip, br, zstd").await;
    assert_eq!(said(&answer, "content-encoding"), None);
    let first = answer.chunk().await.expect("a piece");
    assert_eq!(first.as_deref(), Some(&b"data: 1\n\n"[..]));
    service.goes_on.add_permits(1);
    let second = answer.chunk().await.expect("a piece");
    assert_eq!(second.as_deref(), Some(&b"data: 2\n\n"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_stays_cut() {
    let (_world, service, _registered, gateway) = world_with(ROUTES).await;
    for coding in ["gzip", "br", "zstd"] {
        let mut answer = ask(&gateway, "cut", coding).await;
        assert_eq!(said(&answer, "content-encoding"), Some(coding));
        let mut bytes = Vec::new();
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(piece)) => {
                    bytes.extend(piece);
                    if begins(coding, &bytes, &page()) {
                        service.goes_on.add_permits(1);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(ended.is_err(), "{coding}: the end of the body is missing");
        assert!(
            decoded(coding, &bytes).is_err(),
            "{coding}: so is that of the encoding"
        );
        assert!(begins(coding, &bytes, &page()), "{coding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_follow_the_encoded_body_over_http2() {
    let (_world, _service, _registered, gateway) = world_with(ROUTES).await;
    let stream = tokio::net::TcpStream::connect(gateway.data()).await;
    let (client, connection) = h2::client::handshake(stream.expect("a connection"))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("ready");
    for (path, sum) in [("page", None), ("trailers", Some("7"))] {
        let request = http::Request::get(format!("http://a/api/users/{path}"))
            .header("accept-encoding", "gzip")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let (answer, _) = client.send_request(request, true).expect("sent");
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.expect("a piece");
            body.flow_control()
                .release_capacity(piece.len())
                .expect("room");
            bytes.extend(piece);
        }
        assert_eq!(decoded("gzip", &bytes).expect("gzip"), page());
        let trailers = body.trailers().await.expect("an end");
        let trailers = trailers.unwrap_or_default();
        let found = trailers
            .get("x-sum")
            .map(|value| value.to_str().expect("ASCII"));
        assert_eq!(found, sum, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_rewritten_before_it_is_compressed() {
    let (world, _service, _registered, gateway) = world_with(
        "
routes:
  /api/users/**:
    service: user-service
    filters:
      - compress: { encodings: [gzip] }
      - rewrite_body: { regex: a page, replacement: the page }
  /kept:
    filters:
      - compress: { encodings: [gzip], min_bytes: 0 }
      - respond: { status: 200, body: kept, content_type: text/plain }
",
    )
    .await;
    let answer = ask(&gateway, "page", "gzip").await;
    assert_eq!(said(&answer, "content-encoding"), Some("gzip"));
    let bytes = answer.bytes().await.expect("a whole body");
    let expected = page().replace("a page", "the page");
    assert_eq!(decoded("gzip", &bytes).expect("gzip"), expected);
    let kept = Client::new().get(gateway.url("/kept"));
    let kept = kept.header("accept-encoding", "gzip").send().await;
    let kept = kept.expect("an answer").bytes().await.expect("a body");
    assert_eq!(decoded("gzip", &kept).expect("gzip"), "kept");
    // The other way round nothing can be compressed, and a line says so.
    world
        .publish(
            "
routes:
  /api/users/**:
    service: user-service
    filters:
      - rewrite_body: { regex: a page, replacement: the page }
      - compress: {}
",
        )
        .await;
    gateway
        .logged(&["`compress` stands behind `rewrite_body`"])
        .await;
}
