//! Copies of requests: which are sent, what they look like, and that the request itself never notices.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Version};
use bytes::Bytes;
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_status};

/// A service that keeps what it gets, and answers all of it in one way.
#[derive(Clone)]
struct Shadow {
    seen: Arc<Mutex<Vec<Seen>>>,
    status: StatusCode,
    delay: Duration,
}

#[derive(Clone, Debug)]
struct Seen {
    target: String,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
}

impl Shadow {
    async fn start(status: u16, delay: Duration) -> (Shadow, SocketAddr) {
        let shadow = Shadow {
            seen: Arc::default(),
            status: StatusCode::from_u16(status).expect("a status"),
            delay,
        };
        let (listener, address) = listener().await;
        let app = Router::new().fallback(keep).with_state(shadow.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (shadow, address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic under it").clone()
    }

    async fn until_seen(&self, copies: usize) -> Vec<Seen> {
        until(&format!("{copies} copies"), async || {
            Some(self.seen()).filter(|seen| seen.len() >= copies)
        })
        .await
    }
}

async fn keep(State(shadow): State<Shadow>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body");
    let seen = Seen {
        target: head.uri.to_string(),
        version: head.version,
        headers: head.headers,
        body,
    };
    shadow.seen.lock().expect("no panic under it").push(seen);
    tokio::time::sleep(shadow.delay).await;
    shadow.status
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A mirror that does not behave: it accepts, and says this once something has come; nothing at all if that is empty.
async fn odd(words: &'static str) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut piece = [0; 4096];
            if !words.is_empty() && stream.read(&mut piece).await.is_ok() {
                let _ = stream.write_all(words.as_bytes()).await;
            }
            held.push(stream);
        }
    });
    address
}

fn routes(mirror: &str) -> String {
    format!(
        "routes:\n  /api/users/**:\n    service: user-service\n    filters: [ {{ mirror: {{ name: m, {mirror} }} }} ]\n  \
         /free/**: user-service\n"
    )
}

/// A world in which requests to `/api/users/**` are mirrored so.
async fn mirrored(mirror: &str) -> (World, Upstream, Registered, Gateway) {
    let (world, upstream, registered, gateway) = World::small().await;
    world.publish(&routes(mirror)).await;
    until_status(&gateway.url("/free/1"), 200).await;
    (world, upstream, registered, gateway)
}

async fn copies(gateway: &Gateway, outcome: &str) -> u64 {
    let name = format!("pailou_mirror_copies_total{{mirror=\"m\",outcome=\"{outcome}\"}}");
    gateway.value(&name).await
}

async fn until_counted(gateway: &Gateway, outcome: &str, count: u64) {
    until(&format!("{count} {outcome}"), async || {
        (copies(gateway, outcome).await == count).then_some(())
    })
    .await;
}

async fn answers(gateway: &Gateway, class: &str, agreement: &str) -> u64 {
    let labels = format!("mirror=\"m\",class=\"{class}\",agreement=\"{agreement}\"");
    gateway
        .value(&format!("pailou_mirror_answers_total{{{labels}}}"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_requests_is_copied_as_it_was_sent() {
    let (shadow, address) = Shadow::start(200, Duration::ZERO).await;
    let (_world, upstream, _registered, gateway) = mirrored(&format!(
        "to: 'http://{address}', percent: 30, in_flight: 1000, drop_headers: [Authorization, cookie]"
    ))
    .await;
    let client = Client::new();
    let before = upstream.served();
    for number in 0..1_000 {
        let asked = client
            .post(gateway.url(&format!("/api/users/{number}/read?a=b%20c")))
            .header("authorization", "Bearer secret")
            .header("cookie", "s=1")
            .header("x-request-id", format!("request-{number}"))
            .body(format!("body {number}"));
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(upstream.served() - before, 1_000);
    until("all copies to be answered", async || {
        let seen = shadow.seen().len() as u64;
        (copies(&gateway, "answered").await == seen).then_some(())
    })
    .await;
    let seen = shadow.seen();
    assert!((220..380).contains(&seen.len()), "{}", seen.len());
    for copy in &seen {
        let id = copy.headers["x-request-id"].to_str().expect("ASCII");
        let number = id.strip_prefix("request-").expect("the client's own id");
        assert_eq!(copy.target, format!("/api/users/{number}/read?a=b%20c"));
        assert_eq!(copy.body, format!("body {number}"));
        assert_eq!(copy.headers["x-pailou-mirror"], "1");
        assert_eq!(copy.headers["host"], gateway.data().to_string());
        assert_eq!(copy.headers["x-forwarded-for"], "127.0.0.1");
        for secret in ["authorization", "cookie"] {
            assert!(!copy.headers.contains_key(secret), "{copy:?}");
        }
    }
    assert_eq!(
        answers(&gateway, "2xx", "not_compared").await,
        seen.len() as u64
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_fails_changes_nothing_for_the_request() {
    let gone = listener().await.1;
    for (address, outcome) in [
        (gone, "refused"),
        (odd("").await, "timed_out"),
        (odd("no HTTP at all\r\n\r\n").await, "broken"),
        (
            odd("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await,
            "answered",
        ),
    ] {
        let mirror = format!("to: 'http://{address}', timeout: 5s, compare: true");
        let (_world, upstream, _registered, gateway) = mirrored(&mirror).await;
        let client = Client::new();
        let began = Instant::now();
        for _ in 0..10 {
            let asked = client.post(gateway.url("/api/users/echo")).body("hello");
            let answer = asked.send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{outcome}");
            assert_eq!(answer.text().await.expect("a body"), "hello");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{outcome}: {took:?}");
        until_counted(&gateway, outcome, 10).await;
        let service = gateway.admin_json("/api/v1/services/user-service").await;
        assert_eq!(service["endpoints"][0]["in"], true, "{service}");
        assert_eq!(service["endpoints"][0]["error_answers"], 0, "{service}");
        assert!(upstream.served() >= 10);
        assert_eq!(
            gateway.value("pailou_mirror_in_flight{mirror=\"m\"}").await,
            0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_copies_are_under_way_than_may_be_and_a_shutdown_leaves_them() {
    let hung = odd("").await;
    let mirror = format!("to: 'http://{hung}', timeout: 300s, in_flight: 2");
    let (_world, _upstream, _registered, mut gateway) = mirrored(&mirror).await;
    for _ in 0..10 {
        until_status(&gateway.url("/api/users/1"), 200).await;
    }
    until_counted(&gateway, "too_many", 8).await;
    assert_eq!(
        gateway.value("pailou_mirror_in_flight{mirror=\"m\"}").await,
        2
    );
    let began = Instant::now();
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(8),
        "{took:?}, and the deadline is 10 s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_passes_and_is_not_copied() {
    let (shadow, address) = Shadow::start(200, Duration::ZERO).await;
    let mirror = format!("to: 'http://{address}', body_bytes: 100KiB");
    let (_world, _upstream, _registered, gateway) = mirrored(&mirror).await;
    let client = Client::new();
    let send = async |bytes: usize, chunked: bool| {
        let body = vec![b'x'; bytes];
        let asked = client.post(gateway.url("/api/users/read"));
        let asked = match chunked {
            false => asked.body(body),
            true => {
                let pieces: Vec<_> = body.chunks(10_000).map(<[u8]>::to_vec).collect();
                let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
                asked.body(reqwest::Body::wrap_stream(futures_util::stream::iter(
                    pieces,
                )))
            }
        };
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.text().await.expect("a body"), bytes.to_string());
    };
    for (at, chunked) in [false, true].into_iter().enumerate() {
        let at = at as u64;
        // The second is longer than what is kept for another try.
        send(100 << 10, chunked).await;
        until_counted(&gateway, "answered", at + 1).await;
        send((100 << 10) + 1, chunked).await;
        until_counted(&gateway, "body_too_long", at + 1).await;
    }
    let seen = shadow.seen();
    assert_eq!(seen.len(), 2);
    for copy in seen {
        assert_eq!(copy.body.len(), 100 << 10);
        assert_eq!(copy.headers["content-length"], (100 << 10).to_string());
    }
}

/// The endpoint has the first piece long before the last one has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_streams_without_waiting_and_is_copied_when_it_was_whole() {
    let (shadow, address) = Shadow::start(200, Duration::ZERO).await;
    let mirror = format!("to: 'http://{address}'");
    let (_world, _upstream, _registered, gateway) = mirrored(&mirror).await;
    let head = "POST /api/users/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n";
    let mut whole = TcpStream::connect(gateway.data()).await.expect("connects");
    let first = format!("{head}first");
    whole.write_all(first.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"first") && !answer.ends_with(b"first\r\n") {
        let mut piece = [0; 4096];
        let read = whole.read(&mut piece).await.expect("an answer");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(shadow.seen().is_empty(), "it is not whole yet");
    whole.write_all(b"again").await.expect("sent");
    assert_eq!(shadow.until_seen(1).await[0].body, "firstagain");

    let mut broken = TcpStream::connect(gateway.data()).await.expect("connects");
    broken.write_all(first.as_bytes()).await.expect("sent");
    gateway.in_flight(1).await;
    drop(broken);
    until_counted(&gateway, "body_incomplete", 1).await;
    assert_eq!(shadow.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_copies_under_way_alone() {
    let (shadow, address) = Shadow::start(200, Duration::from_secs(2)).await;
    let mirror = format!("to: 'http://{address}'");
    let (world, _upstream, _registered, gateway) = mirrored(&mirror).await;
    for _ in 0..5 {
        until_status(&gateway.url("/api/users/1"), 200).await;
    }
    shadow.until_seen(5).await;
    let again = routes(&format!("{mirror}, in_flight: 100")).replace("/free/", "/other/");
    world.publish(&again).await;
    until_status(&gateway.url("/other/1"), 200).await;
    until_status(&gateway.url("/api/users/1"), 200).await;
    until_counted(&gateway, "answered", 6).await;
    assert_eq!(copies(&gateway, "cut").await, 0);
    world
        .publish("routes: { /api/users/**: user-service, /last/**: user-service }")
        .await;
    until_status(&gateway.url("/last/1"), 200).await;
    until_status(&gateway.url("/api/users/1"), 200).await;
    assert_eq!(shadow.seen().len(), 6, "nothing is mirrored any more");
    let metrics = gateway.metrics().await;
    assert!(!metrics.contains("mirror=\"m\""), "its series are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compared_and_differences_told() {
    let (shadow, address) = Shadow::start(204, Duration::ZERO).await;
    let mirror = format!("to: 'http://{address}', compare: true, log_percent: 100");
    let (_world, _upstream, _registered, gateway) = mirrored(&mirror).await;
    for (status, count) in [(204, 3), (200, 2), (404, 1)] {
        for _ in 0..count {
            until_status(&gateway.url(&format!("/api/users/status/{status}")), status).await;
        }
    }
    shadow.until_seen(6).await;
    until_counted(&gateway, "answered", 6).await;
    for (agreement, count) in [("same_status", 3), ("same_class", 2), ("different", 1)] {
        until(agreement, async || {
            (answers(&gateway, "2xx", agreement).await == count).then_some(())
        })
        .await;
    }
    let line = gateway
        .logged(&["answered in another way", "/api/users/status/404"])
        .await;
    assert!(line.contains("404") && line.contains("204"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_and_a_tunnel_are_not_copied() {
    let (shadow, address) = Shadow::start(200, Duration::ZERO).await;
    let (_world, _upstream, _registered, gateway) =
        mirrored(&format!("to: 'http://{address}'")).await;
    let client = Client::new();
    for (name, value) in [("x-pailou-mirror", "1"), ("x-number", "2")] {
        let asked = client.get(gateway.url("/api/users/1")).header(name, value);
        assert_eq!(asked.send().await.expect("an answer").status(), 200);
    }
    let upgrade =
        "GET /api/users/1 HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let mut tunnel = TcpStream::connect(gateway.data()).await.expect("connects");
    tunnel.write_all(upgrade.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    tunnel.read_exact(&mut answer).await.expect("an answer");
    until_counted(&gateway, "answered", 1).await;
    let seen = shadow.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["x-number"], "2");
}

/// HTTP/2 names host and scheme in its target. Gates and mirrors send requests of the gateway's own.
#[tokio::test(flavor = "multi_thread")]
async fn gates_and_mirrors_speak_http_2() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let (auth, auth_address) = Shadow::start(200, Duration::ZERO).await;
    let (shadow, address) = Shadow::start(200, Duration::ZERO).await;
    let mut registered = Vec::new();
    for (service, address) in [("auth-service", auth_address), ("next-service", address)] {
        registered.push(world.register(service, address).await);
    }
    world
        .publish(
            "routes:\n  /h2/**:\n    service: user-service\n    strip_prefix: 1\n    filters:\n      \
             - mirror: { service: { name: next-service, protocol: h2c }, name: m }\n      \
             - forward_auth: { service: { name: auth-service, protocol: h2c }, path: /check }\n",
        )
        .await;
    until_status(&gateway.url("/h2/1"), 200).await;
    let asked = Client::new().post(gateway.url("/h2/read")).body("hello");
    let answer = asked.send().await.expect("an answer");
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.text().await.expect("a body")
        ),
        (200, "5".into())
    );
    let asked = &auth.until_seen(2).await[1];
    assert_eq!(asked.version, Version::HTTP_2);
    assert_eq!(asked.target, format!("http://{}/check", gateway.data()));
    let copies = shadow.until_seen(2).await;
    let copy = copies
        .iter()
        .find(|copy| copy.body == "hello")
        .expect("the copy");
    assert_eq!(copy.version, Version::HTTP_2);
    assert_eq!(copy.target, format!("http://{}/read", gateway.data()));
}
