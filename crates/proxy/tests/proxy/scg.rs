//! What the exchange does for filters of Spring Cloud Gateway.

mod breaker;
mod cache;
mod cors;
mod retry;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::gateway::Gateway;
use crate::upstream::{Step, Upstream, ok, response};

/// A gateway with one route to `users`, with these filters.
async fn gateway(filters: &str, users: &Upstream) -> Gateway {
    let routes = format!("routes: {{ any: {{ path: /**, service: users, filters: {filters} }} }}");
    Gateway::start(&routes, &[users.address]).await
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
