//! What stands behind `Retry` and acts for each try: circuit breakers and limits.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::gateway::Gateway;
use crate::upstream::{Step, Upstream, ok, response};

/// An endpoint that ends so many connections without an answer, and answers then.
async fn failing(times: usize) -> Upstream {
    let requests = AtomicUsize::new(0);
    Upstream::start(move |_| match requests.fetch_add(1, Relaxed) < times {
        true => vec![Step::Reset],
        false => ok("in"),
    })
    .await
}

async fn gateway(filters: &str, users: &Upstream) -> Gateway {
    let routes =
        format!("routes: {{ any: {{ path: /**, service: users, filters: [ {filters} ] }} }}");
    Gateway::start(&routes, &[users.address]).await
}

async fn ask(gateway: &Gateway) -> (u16, String) {
    let answer = gateway.connect().await.get("/").await;
    let cause = match answer.status {
        200 => String::new(),
        _ => answer.cause(),
    };
    (answer.status, cause)
}

const RETRY: &str = "Retry: 2";
const BREAKER: &str = "CircuitBreaker: { name: b, circuitbreaker: { slidingWindowSize: 3, minimumNumberOfCalls: 3 } }";

#[tokio::test]
async fn a_breaker_behind_a_retry_counts_each_try() {
    for (filters, is_open) in [([RETRY, BREAKER], true), ([BREAKER, RETRY], false)] {
        let users = failing(3).await;
        let gateway = gateway(&filters.join(", "), &users).await;
        assert_eq!(
            ask(&gateway).await,
            (502, "upstream_reset".into()),
            "{filters:?}"
        );
        assert_eq!(users.received().len(), 3);
        let expected = match is_open {
            true => (503, "circuit_open".into()),
            false => (200, String::new()),
        };
        assert_eq!(ask(&gateway).await, expected, "{filters:?}");
    }
}

#[tokio::test]
async fn a_breaker_behind_a_retry_may_refuse_the_next_try() {
    let users = failing(9).await;
    let filters = "Retry: 9, CircuitBreaker: { name: b, circuitbreaker: { slidingWindowSize: 2, minimumNumberOfCalls: 2 } }";
    let gateway = gateway(filters, &users).await;
    assert_eq!(ask(&gateway).await, (503, "circuit_open".into()));
    assert_eq!(users.received().len(), 2);
    assert_eq!(
        gateway.metric("pailou_breaker_open{breaker=\"b\"}"),
        Some(1.0)
    );
    assert_eq!(
        gateway.metric("pailou_breaker_refusals_total{breaker=\"b\"}"),
        Some(1.0)
    );
}

/// A lone endpoint that refuses connections is asked again by `Retry`, and each refusal is a failure.
#[tokio::test]
async fn refused_connections_count_where_the_same_endpoint_is_asked_again() {
    let users = failing(0).await;
    let gateway = gateway(&[RETRY, BREAKER].join(", "), &users).await;
    gateway
        .service("users")
        .update(pailou_upstream::EndpointSet::of([
            pailou_upstream::EndpointSpec::new(crate::upstream::nobody().await),
        ]));
    assert_eq!(ask(&gateway).await, (502, "connect_failed".into()));
    assert_eq!(
        gateway.metric("pailou_breaker_open{breaker=\"b\"}"),
        Some(1.0)
    );
}

#[tokio::test]
async fn an_answer_that_is_no_failure_to_the_breaker_counts_as_a_success_of_its_try() {
    let requests = AtomicUsize::new(0);
    let users = Upstream::start(move |_| match requests.fetch_add(1, Relaxed) {
        0 | 1 => vec![Step::Send(response("503 x", "", "not yet"))],
        _ => vec![Step::Reset],
    })
    .await;
    let filters = "Retry: 2, CircuitBreaker: { name: b, circuitbreaker: { slidingWindowSize: 3, minimumNumberOfCalls: 3, failureRateThreshold: 34 } }";
    let gateway = gateway(filters, &users).await;
    // Two successes and a failure: 33 %. Then one of three is a success.
    assert_eq!(ask(&gateway).await.0, 502);
    assert_eq!(
        gateway.metric("pailou_breaker_open{breaker=\"b\"}"),
        Some(0.0)
    );
    assert_eq!(ask(&gateway).await.0, 503);
    assert_eq!(
        gateway.metric("pailou_breaker_open{breaker=\"b\"}"),
        Some(1.0)
    );
}

/// The breaker's own time runs anew with each try behind `Retry`, and is one for all tries in front of it.
#[tokio::test]
async fn a_breakers_time_is_one_of_a_try_behind_a_retry() {
    const SLOW: &str = "CircuitBreaker: { name: b, timelimiter: { timeoutDuration: 1500ms } }";
    for (filters, status) in [([RETRY, SLOW], 200), ([SLOW, RETRY], 504)] {
        let requests = AtomicUsize::new(0);
        let users = Upstream::start(move |_| {
            let said = match requests.fetch_add(1, Relaxed) {
                0 => "503 x",
                _ => "200 OK",
            };
            vec![
                Step::Wait(Duration::from_secs(1)),
                Step::Send(response(said, "", "in")),
            ]
        })
        .await;
        let gateway = gateway(&filters.join(", "), &users).await;
        assert_eq!(ask(&gateway).await.0, status, "{filters:?}");
    }
}

#[tokio::test]
async fn a_limit_behind_a_retry_counts_each_try() {
    const LIMIT: &str = "RequestRateLimiter: { key-resolver: host, redis-rate-limiter.replenishRate: 1, redis-rate-limiter.requestedTokens: 1000, redis-rate-limiter.burstCapacity: 2000 }";
    const MARK: &str = "AddResponseHeader: 'X-First, 1'";
    for (filters, status, tries) in [
        ([MARK, "Retry: 5", LIMIT], 429, 2),
        ([MARK, LIMIT, "Retry: 5"], 200, 4),
    ] {
        let users = failing(3).await;
        let gateway = gateway(&filters.join(", "), &users).await;
        let answer = gateway.connect().await.get("/").await;
        assert_eq!(answer.status, status, "{filters:?}");
        assert_eq!(users.received().len(), tries, "{filters:?}");
        assert_eq!(answer.header("x-first"), Some("1"));
        let left = answer.header("x-ratelimit-remaining");
        assert!(left.is_some_and(|left| left.len() <= 4), "{left:?}");
        assert_eq!(
            answer.head.matches("x-ratelimit-remaining").count(),
            1,
            "{filters:?}"
        );
    }
}

/// What filters made of the request is sent by each try alike, whatever acts for each try between them.
#[tokio::test]
async fn each_try_sends_the_same_head() {
    let users = failing(2).await;
    let filters =
        format!("Retry: 3, AddRequestHeader: 'X-A, 1', {BREAKER}, AddRequestHeader: 'X-A, 2'");
    let gateway = gateway(&filters, &users).await;
    assert_eq!(ask(&gateway).await.0, 200);
    let heads: Vec<_> = users
        .received()
        .iter()
        .map(|request| request.head.matches("x-a:").count())
        .collect();
    assert_eq!(heads, [2, 2, 2]);
}
