//! `Retry`: which answers are asked for again, where, and when.

use std::time::{Duration, Instant};

use super::{gateway, scripted};
use crate::gateway::Gateway;
use crate::upstream::{Step, Upstream, nobody, ok, response};

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

/// Refused connections are free while there is another endpoint to ask. With one endpoint, and that dead, the tries began anew
/// without an end: the request held a core until its deadline.
#[tokio::test]
async fn tries_at_a_lone_dead_endpoint_have_an_end() {
    let routes = "routes: { any: { path: /**, service: users, filters: [ Retry: 2 ] } }";
    let gateway = Gateway::start(routes, &[nobody().await]).await;
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
