//! What the exchange does for filters of Spring Cloud Gateway.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pailou_upstream::{EndpointSet, EndpointSpec};

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

const BREAKER: &str = "
routes:
  guarded:
    path: /b/**
    service: users
    timeout: 300ms
    filters:
      - AddRequestHeader: X-First, 1
      - AddResponseHeader: X-Before, 1
      - CircuitBreaker: { name: b, fallbackUri: 'forward:/fallback/b', statusCodes: '500', circuitbreaker: { slidingWindowSize: 3, minimumNumberOfCalls: 3, waitDurationInOpenState: 60s } }
      - AddRequestHeader: X-Second, 1
      - AddResponseHeader: X-After, 1
  bare:
    path: /bare
    service: users
    timeout: 300ms
    filters:
      - CircuitBreaker: { name: bare, statusCodes: '500', circuitbreaker: { slidingWindowSize: 2, minimumNumberOfCalls: 2 } }
  fallback:
    path: /fallback/**
    service: others
    filters:
      - FallbackHeaders
      - AddResponseHeader: X-Fallback, 1
";

/// A gateway whose `others` service answers for `users`.
async fn guarded(users: &Upstream, others: &Upstream) -> Gateway {
    let gateway = Gateway::start(BREAKER, &[users.address]).await;
    gateway
        .service("others")
        .update(EndpointSet::of([EndpointSpec::new(others.address)]));
    gateway
}

#[tokio::test]
async fn a_failure_goes_to_the_fallback_as_the_request_was_at_the_breaker() {
    for (script, exception) in [
        (&["500 x"][..], "circuitbreakerstatuscodeexception"),
        (&["close"], "prematurecloseexception"),
        (&["wait"], "responsestatusexception"),
    ] {
        let users = scripted(script).await;
        let others = Upstream::start(|_| ok("instead")).await;
        let gateway = guarded(&users, &others).await;
        let mut client = gateway.connect().await;
        client
            .send("POST /b/x?a=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\npayload")
            .await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "instead"),
            "{script:?}"
        );
        assert_eq!(answer.header("x-before"), Some("1"));
        assert_eq!(answer.header("x-after"), None, "it is behind the breaker");
        assert_eq!(answer.header("x-fallback"), Some("1"));
        let received = others.received();
        assert_eq!(received[0].line(), "post /fallback/b?a=1 http/1.1");
        assert_eq!(received[0].body, b"payload");
        assert_eq!(received[0].header("x-first"), Some("1"));
        assert_eq!(received[0].header("x-second"), None);
        let kind = received[0]
            .header("execution-exception-type")
            .expect("a reason");
        assert!(kind.ends_with(exception), "{kind}");
        // The next one goes well.
        let answer = client.get("/b/x").await;
        assert_eq!(
            (answer.text(), answer.header("x-after")),
            ("at last", Some("1"))
        );
    }
}

/// In Spring each try passes what stands behind `Retry`. A breaker there makes of an answer that is a failure to it no
/// answer, and its fallback hides every failure.
#[tokio::test]
async fn what_a_breaker_takes_for_a_failure_is_not_tried_again_by_a_retry_in_front_of_it() {
    const RETRY: &str = "Retry: 2";
    const BARE: &str = "CircuitBreaker: { name: b, statusCodes: '500' }";
    const FALLBACK: &str =
        "CircuitBreaker: { name: b, statusCodes: '500', fallbackUri: 'forward:/fallback' }";
    for (filters, script, status, requests) in [
        ([RETRY, BARE], &["500 x"][..], 500, 1),
        ([BARE, RETRY], &["500 x"], 200, 2),
        ([RETRY, BARE], &["503 x"], 200, 2),
        ([RETRY, BARE], &["close"], 200, 2),
        ([RETRY, BARE], &["wait"], 200, 2),
        ([RETRY, FALLBACK], &["500 x"], 203, 1),
        ([FALLBACK, RETRY], &["500 x"], 200, 2),
        ([RETRY, FALLBACK], &["503 x"], 200, 2),
        ([RETRY, FALLBACK], &["close"], 203, 1),
        ([FALLBACK, RETRY], &["close"], 200, 2),
        ([RETRY, FALLBACK], &["wait"], 203, 1),
    ] {
        let users = scripted(script).await;
        let [first, second] = filters;
        let routes = format!(
            "routes: {{ any: {{ path: /a, service: users, timeout: 300ms, filters: [ {first}, {second} ] }}, \
             fallback: {{ path: /fallback, filters: [ respond: {{ status: 203 }} ] }} }}"
        );
        let gateway = Gateway::start(&routes, &[users.address]).await;
        let answer = gateway.connect().await.get("/a").await;
        assert_eq!(answer.status, status, "{filters:?} {script:?}");
        assert_eq!(users.received().len(), requests, "{filters:?} {script:?}");
    }
}

#[tokio::test]
async fn a_breakers_own_time_is_told_apart_from_the_routes() {
    let users = scripted(&["wait", "wait"]).await;
    let others = Upstream::start(|_| ok("instead")).await;
    let routes = "
routes:
  bare: { path: /bare, service: users, filters: [ Retry: 1, CircuitBreaker: { name: a, timelimiter: { timeoutDuration: 200ms } } ] }
  guarded: { path: /a, service: users, filters: [ CircuitBreaker: { name: b, timelimiter: { timeoutDuration: 200ms }, fallbackUri: 'forward:/fallback' } ] }
  fallback: { path: /fallback, service: others, filters: [ FallbackHeaders ] }
";
    let gateway = Gateway::start(routes, &[users.address]).await;
    gateway
        .service("others")
        .update(EndpointSet::of([EndpointSpec::new(others.address)]));
    let answer = gateway.connect().await.get("/bare").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (504, "circuit_timeout")
    );
    assert_eq!(users.received().len(), 1, "it is not tried again");
    let answer = gateway.connect().await.get("/a").await;
    assert_eq!((answer.status, answer.text()), (200, "instead"));
    let received = others.received();
    assert_eq!(
        received[0].header("execution-exception-type"),
        Some("java.util.concurrent.timeoutexception")
    );
}

#[tokio::test]
async fn a_dead_service_and_an_open_breaker_lead_to_the_fallback_too() {
    let users = Upstream::start(|_| ok("never")).await;
    let others = Upstream::start(|_| ok("instead")).await;
    let gateway = guarded(&users, &others).await;
    gateway
        .service("users")
        .update(EndpointSet::of([EndpointSpec::new(nobody().await)]));
    let mut client = gateway.connect().await;
    for number in 0..6 {
        let answer = client.get("/b/x").await;
        assert_eq!((answer.status, answer.text()), (200, "instead"), "{number}");
    }
    let kinds = others.received().into_iter().map(|request| {
        let kind = request
            .header("execution-exception-type")
            .unwrap_or_default();
        kind.rsplit('.').next().unwrap_or_default().to_owned()
    });
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(
        kinds.last().map(String::as_str),
        Some("callnotpermittedexception"),
        "{kinds:?}"
    );
    assert_eq!(
        gateway.metric("pailou_breaker_open{breaker=\"b\"}"),
        Some(1.0)
    );
    assert!(users.received().is_empty());
}

#[tokio::test]
async fn without_a_fallback_a_failure_is_the_answer_until_the_breaker_opens() {
    let users = scripted(&["500 x", "close"]).await;
    let gateway = guarded(&users, &users).await;
    let mut client = gateway.connect().await;
    let answer = client.get("/bare").await;
    assert_eq!((answer.status, answer.text()), (500, "not yet"));
    let answer = gateway.connect().await.post("/bare", b"").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (502, "upstream_reset")
    );
    for _ in 0..2 {
        let answer = client.get("/bare").await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (503, "circuit_open")
        );
    }
    assert_eq!(users.received().len(), 2);
    assert_eq!(
        gateway.metric("pailou_breaker_refusals_total{breaker=\"bare\"}"),
        Some(2.0)
    );
}

#[tokio::test]
async fn a_fallback_that_fails_is_not_replaced_and_one_that_is_missing_is_404() {
    let users = Upstream::start(|_| vec![Step::Send(response("500 x", "", "bad"))]).await;
    let others = Upstream::start(|_| vec![Step::Send(response("503 x", "", "worse"))]).await;
    let gateway = guarded(&users, &others).await;
    let answer = gateway.connect().await.get("/b/x").await;
    assert_eq!((answer.status, answer.text()), (503, "worse"));
    let routes = "routes: { any: { path: /b, service: users, filters: [ CircuitBreaker: { statusCodes: 500, fallbackUri: 'forward:/nowhere' } ] } }";
    let gateway = Gateway::start(routes, &[users.address]).await;
    let answer = gateway.connect().await.get("/b").await;
    assert_eq!((answer.status, answer.cause().as_str()), (404, "no_route"));
}

#[tokio::test]
async fn a_clients_own_fault_is_not_counted() {
    let users = Upstream::start(|_| ok("in")).await;
    let filters = "[ CircuitBreaker: { circuitbreaker: { slidingWindowSize: 1, minimumNumberOfCalls: 1 } }, RequestSize: { maxSize: 4B } ]";
    let gateway = gateway(filters, &users).await;
    for _ in 0..3 {
        let mut client = gateway.connect().await;
        client
            .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\n123456\r\n0\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.cause(), "body_too_large");
    }
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
}

#[tokio::test]
async fn an_answer_is_kept_while_it_streams() {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let users = Upstream::start(move |request| {
        let number = count.fetch_add(1, Relaxed);
        match request.line().contains("/chunked") {
            true => vec![Step::Send(
                format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n4\r\n, {number:02}\r\n0\r\n\r\n").into_bytes(),
            )],
            false if request.line().contains("/none") => vec![Step::Send(response("200 OK", "", ""))],
            false => ok(&format!("number {number}")),
        }
    })
    .await;
    let filters = "[ AddResponseHeader: 'X-A, 1', LocalResponseCache: '1m,10KB', AddResponseHeader: 'X-B, 1' ]";
    let gateway = gateway(filters, &users).await;
    let mut client = gateway.connect().await;
    for path in ["/a", "/chunked", "/none"] {
        let first = client.get(path).await;
        let second = client.get(path).await;
        assert_eq!(first.body, second.body, "{path}");
        assert_eq!(first.header("cache-control"), Some("max-age=60"), "{path}");
        for answer in [&first, &second] {
            assert_eq!(answer.head.matches("x-a:").count(), 1, "{path}");
            assert_eq!(answer.head.matches("x-b:").count(), 1, "{path}");
        }
    }
    assert_eq!(asked.load(Relaxed), 3);
    assert_eq!(
        gateway.metric("pailou_response_cache_hits_total"),
        Some(3.0)
    );
    assert_eq!(client.post("/a", b"x").await.text(), "number 3");
}

#[tokio::test]
async fn a_body_that_breaks_or_is_too_long_is_not_kept() {
    let users = Upstream::start(|request| {
        if request.line().contains("/long") {
            return ok(&"x".repeat(20_000));
        }
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
        vec![Step::Send(half), Step::Reset]
    })
    .await;
    let gateway = gateway("[ LocalResponseCache: '1m,10KB' ]", &users).await;
    for _ in 0..2 {
        assert_eq!(
            gateway.connect().await.get("/long").await.body.len(),
            20_000
        );
        let mut client = gateway.connect().await;
        client.send("GET /half HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.head().await.0, 200);
        client.rest().await;
    }
    assert_eq!(
        gateway.metric("pailou_response_cache_hits_total"),
        Some(0.0)
    );
    assert_eq!(users.received().len(), 4);
}
