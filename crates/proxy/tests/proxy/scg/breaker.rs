//! `CircuitBreaker`: what it counts, and where a request goes instead.

use pailou_upstream::{EndpointSet, EndpointSpec};

use super::{gateway, scripted};
use crate::gateway::Gateway;
use crate::upstream::{Step, Upstream, nobody, ok, response};

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
