//! What the exchange does for filters of Spring Cloud Gateway.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::client::Answer;
use crate::gateway::Gateway;
use crate::upstream::{Step, Upstream, nobody, ok, response};

/// A gateway with one route to `users`, with these filters.
async fn gateway(filters: &str, users: &Upstream) -> Gateway {
    let routes = format!("routes: {{ any: {{ path: /**, service: users, filters: {filters} }} }}");
    Gateway::start(&routes, &[users.address]).await
}

#[tokio::test]
async fn a_status_without_a_body_ends_the_body() {
    let users = Upstream::start(|_| ok("a body")).await;
    let gateway = gateway("[ SetStatus: 204 ]", &users).await;
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    assert_eq!(gateway.metric("cause=\"client_gone\"").unwrap_or(0.0), 0.0);
}

#[tokio::test]
async fn a_body_is_too_large_by_its_length_or_while_it_streams() {
    let users = Upstream::start(|_| ok("in")).await;
    let gateway = gateway("[ RequestSize: { maxSize: 10B } ]", &users).await;
    let answer = gateway.connect().await.post("/", b"1234567890").await;
    assert_eq!(answer.status, 200);
    let answer = gateway.connect().await.post("/", b"12345678901").await;
    assert_eq!((answer.status, answer.text()), (413, ""));
    let message = answer.header("errormessage").expect("a reason");
    assert!(message.contains("request size is 11 b"), "{message}");
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n78901\r\n0\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn a_path_that_a_filter_made_is_one_that_a_client_may_send() {
    let users = Upstream::start(|_| ok("in")).await;
    let filters = "[ RewritePath: '/k/(?<a>.*), /base/${a}/x', RewritePath: 'dot, .' ]";
    let gateway = gateway(filters, &users).await;
    for (path, status, sent) in [
        ("/k/a%20b?q=%20&&", 200, Some("/base/a%20b/x?q=%20&&")),
        ("/k//a/", 200, Some("/base/a/x")),
        ("/k/dotdot", 200, Some("/x")),
        ("/k/dotdot;v=1", 400, None),
        ("/k/dotdot/dotdot/dotdot", 400, None),
    ] {
        let answer = gateway.connect().await.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        if let Some(sent) = sent {
            let received = users.received();
            let line = received.last().expect("a request").line().to_owned();
            assert_eq!(line, format!("get {sent} http/1.1"), "{path}");
        }
    }
}

#[tokio::test]
async fn the_endpoint_gets_the_host_that_the_route_says() {
    let users = Upstream::start(|_| ok("in")).await;
    for (filters, host) in [
        ("[ PreserveHostHeader ]", "gateway.test"),
        (
            "[ SetRequestHostHeader: set.test, PreserveHostHeader ]",
            "set.test",
        ),
    ] {
        let gateway = gateway(filters, &users).await;
        assert_eq!(gateway.connect().await.get("/").await.status, 200);
        let received = users.received();
        let sent = received.last().expect("a request");
        assert_eq!(sent.header("host"), Some(host), "{filters}");
    }
}

#[tokio::test]
async fn the_response_half_runs_backwards_and_an_answer_passes_what_was_before_it() {
    let users =
        Upstream::start(|_| vec![Step::Send(response("200 OK", "x-o: up\r\n", "in"))]).await;
    let order = "[ AddResponseHeader: 'X-O, x', RemoveResponseHeader: X-O ]";
    let order = gateway(order, &users).await;
    let answer = order.connect().await.get("/").await;
    assert_eq!(answer.header("x-o"), Some("x"));
    let filters = "[ AddResponseHeader: 'X-A, 1', RedirectTo: '302, https://x.test/', AddResponseHeader: 'X-B, 1' ]";
    let gateway = gateway(filters, &users).await;
    let answer = gateway.connect().await.get("/").await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some("https://x.test/"));
    assert_eq!(
        (answer.header("x-a"), answer.header("x-b")),
        (Some("1"), None)
    );
}

/// An endpoint that answers its requests one after the other as it is told, and
/// with 200 then.
async fn scripted(script: &'static [&'static str]) -> Upstream {
    let requests = AtomicUsize::new(0);
    Upstream::start(move |_| match script.get(requests.fetch_add(1, Relaxed)) {
        None => ok("at last"),
        Some(&"close") => vec![Step::Reset],
        Some(&"wait") => vec![Step::Wait(Duration::from_secs(60))],
        Some(status) => vec![Step::Send(response(status, "", "not yet"))],
    })
    .await
}

#[tokio::test]
async fn what_a_retry_filter_rejects_is_asked_for_again() {
    let cases: &[(&str, &'static [&'static str], &str, u16, usize)] = &[
        ("3", &["500 x", "503 x"], "GET", 200, 3),
        ("3", &["500 x", "500 x", "500 x", "500 x"], "GET", 500, 4),
        ("3", &["404 x"], "GET", 404, 1),
        ("3", &["500 x"], "POST", 500, 1),
        ("3", &["500 x"], "HEAD", 500, 1),
        ("3", &["close"], "GET", 200, 2),
        ("3", &["close"], "PUT", 502, 1),
        (
            "{ retries: 2, methods: 'GET,POST' }",
            &["502 x", "close"],
            "POST",
            200,
            3,
        ),
        (
            "{ exceptions: java.lang.IllegalStateException }",
            &["close"],
            "GET",
            502,
            1,
        ),
        (
            "{ retries: 1, statuses: NOT_FOUND, series: '' }",
            &["404 x", "500 x"],
            "GET",
            500,
            2,
        ),
    ];
    for (args, script, method, status, requests) in cases {
        let users = scripted(script).await;
        let gateway = gateway(&format!("[ Retry: {args} ]"), &users).await;
        let mut client = gateway.connect().await;
        let body = if *method == "POST" || *method == "PUT" {
            "hello"
        } else {
            ""
        };
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        let (found, _) = client.head().await;
        assert_eq!(found, *status, "{args} {script:?} {method}");
        let received = users.received();
        assert_eq!(received.len(), *requests, "{args} {script:?} {method}");
        assert!(
            received
                .iter()
                .all(|request| request.body == body.as_bytes())
        );
    }
}

#[tokio::test]
async fn a_body_that_is_not_at_hand_is_not_sent_again() {
    let users = scripted(&["503 x"]).await;
    let gateway = gateway("[ Retry: { methods: POST } ]", &users).await;
    let body = vec![b'x'; 1 << 20];
    let answer = gateway.connect().await.post("/", &body).await;
    assert_eq!((answer.status, answer.text()), (503, "not yet"));
    assert_eq!(users.received().len(), 1);
}

#[tokio::test]
async fn each_try_has_the_whole_time() {
    let users = scripted(&["wait"]).await;
    let routes =
        "routes: { any: { path: /**, service: users, timeout: 300ms, filters: [ Retry: 1 ] } }";
    let gateway = Gateway::start(routes, &[users.address]).await;
    let answer = gateway.connect().await.get("/").await;
    assert_eq!((answer.status, answer.text()), (200, "at last"));
    assert_eq!(users.received().len(), 2);
}

#[tokio::test]
async fn a_retry_waits_as_it_is_told() {
    let users = scripted(&["500 x", "500 x"]).await;
    let filters = "[ Retry: { backoff: { firstBackoff: 50ms, maxBackoff: 80ms } } ]";
    let gateway = gateway(filters, &users).await;
    let began = Instant::now();
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
    assert!(
        began.elapsed() >= Duration::from_millis(130),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn another_endpoint_is_asked_first() {
    for _ in 0..4 {
        let bad = Upstream::start(|_| vec![Step::Send(response("500 x", "", "bad"))]).await;
        let good = Upstream::start(|_| ok("good")).await;
        let routes = "routes: { any: { path: /**, service: users, filters: [ Retry: 1 ] } }";
        let gateway = Gateway::start(routes, &[bad.address, good.address]).await;
        assert_eq!(gateway.connect().await.get("/").await.text(), "good");
    }
}

const CORS: &str = "
routes:
  c:
    path: /c
    match: { methods: [GET] }
    service: users
    filters:
      - Cors: { '/**': { allowedOrigins: 'https://ok.test', allowedMethods: [GET, POST], allowCredentials: true } }
      - DedupeResponseHeader: Vary, RETAIN_UNIQUE
  other:
    path: /other
    service: users
";

async fn preflight(gateway: &Gateway, path: &str, origin: &str, method: &str) -> Answer {
    let mut client = gateway.connect().await;
    client
        .send(format!(
            "OPTIONS {path} HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\naccess-control-request-method: {method}\r\n\r\n"
        ))
        .await;
    client.answer().await
}

#[tokio::test]
async fn a_preflight_is_answered_before_a_method_is_asked_for() {
    let users = Upstream::start(|_| ok("in")).await;
    let gateway = Gateway::start(CORS, &[users.address]).await;
    let answer = preflight(&gateway, "/c", "https://ok.test", "GET").await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://ok.test")
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("get,post")
    );
    let answer = preflight(&gateway, "/c", "https://evil.test", "GET").await;
    assert_eq!((answer.status, answer.text()), (403, ""));
    assert!(users.received().is_empty());
    // Nobody takes a POST there; and a route without settings asks its service.
    assert_eq!(
        preflight(&gateway, "/c", "https://ok.test", "POST")
            .await
            .status,
        404
    );
    assert_eq!(
        preflight(&gateway, "/other", "https://ok.test", "GET")
            .await
            .text(),
        "in"
    );
}

#[tokio::test]
async fn an_answer_says_whom_it_is_for_also_when_it_is_an_error_of_the_gateway() {
    let users = Upstream::start(|_| {
        let own = "access-control-allow-origin: *\r\nvary: Accept\r\n";
        vec![Step::Send(response("200 OK", own, "in"))]
    })
    .await;
    let dead = nobody().await;
    for (endpoint, status) in [(users.address, 200), (dead, 502)] {
        let gateway = Gateway::start(CORS, &[endpoint]).await;
        let mut client = gateway.connect().await;
        client
            .send("GET /c HTTP/1.1\r\nhost: a\r\norigin: https://ok.test\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.head.matches("access-control-allow-origin").count(),
            1
        );
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("https://ok.test")
        );
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true")
        );
    }
}

/// Refused connections are free while there is another endpoint to ask. With one endpoint, and that dead, the tries began anew
/// without an end: the request held a core until its deadline.
#[tokio::test]
async fn tries_at_a_lone_dead_endpoint_have_an_end() {
    let routes = "routes: { any: { path: /**, service: users, filters: [ Retry: 2 ] } }";
    let gateway = Gateway::start(routes, &[crate::upstream::nobody().await]).await;
    let began = Instant::now();
    let answer = gateway.connect().await.get("/").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (502, "connect_failed")
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}
