//! Each error's status and body.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::raw::exchange;
use crate::support::world::{World, until_status};

async fn problem(url: &str) -> (u16, Value) {
    let response = reqwest::get(url).await.expect("an answer");
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let body: Value = response.json().await.expect("a JSON body");
    assert_eq!(body["status"], status);
    assert_eq!(
        body["request_id"], id,
        "the body and the header name the same request"
    );
    assert!(
        body["cause"].is_string() && body["title"].is_string(),
        "{body}"
    );
    (status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_is_404() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    for path in ["/nothing", "/api/usersx", "/api/user"] {
        let (status, body) = problem(&gateway.url(path)).await;
        assert_eq!(
            (status, body["cause"].as_str()),
            (404, Some("no_route")),
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_eligible_endpoint_is_503_and_names_the_route() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world
        .publish(
            "routes: { /api/users/**: user-service, empty: { path: /empty/**, service: nobody } }",
        )
        .await;
    until_status(&gateway.url("/empty/x"), 503).await;
    let (_, body) = problem(&gateway.url("/empty/x")).await;
    assert_eq!(body["route"], "empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_is_502() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    // A port that nobody listens on: bound, and closed again.
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .local_addr()
        .expect("an address");
    let _dead = world.register("dead-service", closed).await;
    world
        .publish("routes: { /api/users/**: user-service, /dead/**: dead-service }")
        .await;
    until_status(&gateway.url("/dead/x"), 502).await;
    let (_, body) = problem(&gateway.url("/dead/x")).await;
    assert!(
        !body.to_string().contains(&closed.port().to_string()),
        "no address leaks: {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_talks_nonsense_is_502() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
            });
        }
    });
    let _odd = world.register("odd-service", address).await;
    world
        .publish("routes: { /api/users/**: user-service, /odd/**: odd-service }")
        .await;
    until_status(&gateway.url("/odd/x"), 502).await;
    problem(&gateway.url("/odd/x")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_too_slow_is_504() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world
        .publish("routes: { /api/users/**: user-service, slow: { path: /slow-route/**, service: user-service, timeout: 300ms } }")
        .await;
    until_status(&gateway.url("/slow-route/x"), 200).await;
    let (status, body) = problem(&gateway.url("/slow-route/slow/3000")).await;
    assert_eq!(
        (status, body["route"].as_str()),
        (504, Some("slow")),
        "{body}"
    );
    // The instance is not blamed for one slow answer to the point that the service goes away.
    assert_eq!(
        reqwest::get(gateway.url("/api/users/1"))
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_does_wrong_is_a_4xx() {
    let (_world, upstream, _registered, gateway) =
        World::small_with("limits: { body_bytes: 1KiB, header_bytes: 4KiB, header_count: 20, request_line_bytes: 1KiB }").await;
    let long = "x".repeat(2000);
    let many: String = (0..30).map(|n| format!("x-h{n}: v\r\n")).collect();
    let cases: &[(&str, String, &str)] = &[
        ("dot segments above the root with an encoded slash", "GET /api/users/..%2f HTTP/1.1\r\nhost: a\r\n\r\n".into(), "400"),
        ("a backslash", "GET /api/users/..\\x HTTP/1.1\r\nhost: a\r\n\r\n".into(), "400"),
        ("a NUL", "GET /api/users/%00 HTTP/1.1\r\nhost: a\r\n\r\n".into(), "400"),
        ("no host", "GET /api/users/1 HTTP/1.1\r\n\r\n".into(), "400"),
        ("two hosts", "GET /api/users/1 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into(), "400"),
        ("a host with a path", "GET /api/users/1 HTTP/1.1\r\nhost: a/b\r\n\r\n".into(), "400"),
        ("TRACE", "TRACE /api/users/1 HTTP/1.1\r\nhost: a\r\n\r\n".into(), "405"),
        ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n".into(), "405"),
        ("length and chunked", "POST /api/users/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), "400"),
        ("a long request line", format!("GET /api/users/{long} HTTP/1.1\r\nhost: a\r\n\r\n"), "414"),
        ("a long header", format!("GET /api/users/1 HTTP/1.1\r\nhost: a\r\nx-long: {long}{long}{long}\r\n\r\n"), "431"),
        ("many headers", format!("GET /api/users/1 HTTP/1.1\r\nhost: a\r\n{many}\r\n"), "431"),
        ("a declared body that is too large", "POST /api/users/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n".into(), "413"),
        ("a chunked body that grows too large", format!("POST /api/users/echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{long}\r\n0\r\n\r\n"), "413"),
    ];
    for (what, request, status) in cases {
        let answer = exchange(gateway.data(), request.as_bytes(), Duration::from_secs(2)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{what}: expected {status}, got {answer:?}"
        );
    }
    assert_eq!(
        upstream.active(),
        0,
        "nothing of that is left at the upstream"
    );
}
