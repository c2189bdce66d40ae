//! `LocalResponseCache`: which bodies are kept while they stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::gateway;
use crate::upstream::{Step, Upstream, ok, response};

#[tokio::test]
async fn an_answer_is_kept_while_it_streams() {
    let asked = Arc::new(AtomicUsize::new(0));
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
