//! Each error's status and body.

use std::time::Duration;

use pailou_filters::{Edit, Next, RequestHead, ResponseHead};
use pailou_upstream::{EndpointSet, EndpointSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, nobody, ok, read_head, response};

#[tokio::test]
async fn no_route_is_404_and_keeps_the_connection() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let routes = "routes: { only: { path: /only, service: users } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    let answer = client.get("/other").await;
    assert_eq!(answer.status, 404);
    let problem = answer.problem();
    assert_eq!(problem["cause"], "no_route");
    assert_eq!(problem["title"], "Not Found");
    assert_eq!(problem["status"], 404);
    assert_eq!(
        problem["request_id"].as_str(),
        answer.header("x-request-id")
    );
    assert!(problem.get("route").is_none());
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    assert_eq!(client.get("/only").await.status, 200);
    assert_eq!(gateway.metric("cause=\"no_route\""), Some(1.0));
}

#[tokio::test]
async fn no_endpoint_is_503_with_the_reason() {
    let gateway = Gateway::start(
        "routes: { any: { path: /**, service: users }, other: { path: /other, service: unheard-of } }",
        &[],
    )
    .await;
    let mut client = gateway.connect().await;
    let answer = client.get("/").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (503, "service_empty")
    );
    assert_eq!(answer.problem()["route"], "any");
    assert_eq!(client.get("/other").await.cause(), "service_unknown");
    let mut disabled = EndpointSpec::new(nobody().await);
    disabled.enabled = false;
    gateway.service("users").update(EndpointSet::of([disabled]));
    assert_eq!(client.get("/").await.cause(), "no_eligible_endpoint");
}

#[tokio::test]
async fn a_refused_connection_is_502() {
    let gateway = Gateway::start(ANY, &[nobody().await]).await;
    let answer = gateway.connect().await.get("/").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (502, "connect_failed")
    );
    assert!(
        !answer.text().contains("127.0.0.1"),
        "no address leaks: {}",
        answer.text()
    );
}

#[tokio::test]
async fn a_broken_endpoint_is_502() {
    let upstream = Upstream::start(|request| match request.line() {
        "get /garbage http/1.1" => vec![Step::Send(b"hello\r\n\r\n".to_vec()), Step::Close],
        _ => vec![Step::Close],
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let answer = gateway.connect().await.get("/garbage").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (502, "upstream_malformed")
    );
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let answer = gateway.connect().await.post("/", b"x").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (502, "upstream_reset")
    );
}

#[tokio::test]
async fn a_silent_endpoint_is_504_and_says_so_in_time() {
    let upstream = Upstream::start(|_| vec![Step::Wait(Duration::from_secs(60))]).await;
    let routes = "routes: { any: { path: /**, service: users, timeout: 300ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    let begun = tokio::time::Instant::now();
    let answer = client.get("/").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (504, "response_timeout")
    );
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(290) && took < Duration::from_secs(2),
        "{took:?}"
    );
    assert!(client.is_closed().await);
    let answer = gateway.connect().await.post("/", b"with a body").await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (504, "response_timeout")
    );
}

#[tokio::test]
async fn an_answer_that_stops_is_cut() {
    let upstream = Upstream::start(|_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec()),
            Step::Wait(Duration::from_secs(60)),
        ]
    })
    .await;
    let routes = "routes: { any: { path: /**, service: users, read_timeout: 300ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.0, 200);
    assert_eq!(client.rest().await, b"abc");
    until("the cause is counted", || {
        gateway.metric("cause=\"read_timeout\"") == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn an_exchange_has_an_end_if_the_route_says_so() {
    let piece = || {
        [
            Step::Send(b"1\r\nx\r\n".to_vec()),
            Step::Wait(Duration::from_millis(50)),
        ]
    };
    let upstream = Upstream::start(move |_| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        std::iter::once(Step::Send(head))
            .chain((0..200).flat_map(|_| piece()))
            .collect()
    })
    .await;
    let routes = "routes: { any: { path: /**, service: users, total_timeout: 400ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.0, 200);
    assert!(
        !client.rest().await.ends_with(b"0\r\n\r\n"),
        "the answer is not whole"
    );
    until("the cause is counted", || {
        gateway.metric("cause=\"total_timeout\"") == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn a_head_request_gets_an_error_without_a_body() {
    let gateway = Gateway::start("routes: { only: { path: /only, service: users } }", &[]).await;
    let mut client = gateway.connect().await;
    client.send("HEAD /other HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (status, head) = client.head().await;
    assert_eq!(status, 404);
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
    assert_eq!(
        client.get("/other").await.status,
        404,
        "no body was in between"
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_no_fault_of_the_endpoint() {
    let upstream = Upstream::start(|_| vec![Step::Wait(Duration::from_secs(60))]).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request arrived", || upstream.received().len() == 1).await;
    assert_eq!(gateway.serving.in_flight(), 1);
    drop(client);
    until("it is given up", || {
        gateway.metric("cause=\"client_gone\"") == Some(1.0)
    })
    .await;
    until("nothing is in flight", || gateway.serving.in_flight() == 0).await;
    let view = serde_json::to_string(&gateway.service("users").view()).expect("JSON");
    assert!(!view.contains("client"), "{view}");
}

/// A filter with a fault in it.
#[derive(Debug)]
struct Faulty;

impl Edit for Faulty {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        assert!(!head.path.starts_with("/request"), "a fault in a filter");
        Next::Continue
    }

    fn response(&self, head: &mut ResponseHead<'_>) {
        assert!(!head.headers.contains_key("x-fault"), "a fault in a filter");
    }
}

#[tokio::test]
async fn a_panic_in_a_filter_costs_its_request_alone() {
    let upstream = Upstream::start(|request| {
        let fault = if request.line().contains("/response") {
            "x-fault: 1\r\n"
        } else {
            ""
        };
        vec![Step::Send(response("200 OK", fault, "ok"))]
    })
    .await;
    let gateway = Gateway::with_filters(&[], ANY, &[upstream.address], || {
        vec![pailou_filters::Step::Edit(Box::new(Faulty))]
    })
    .await;
    let mut other = gateway.connect().await;
    assert_eq!(other.get("/").await.status, 200);
    for path in ["/request", "/response"] {
        let answer = gateway.connect().await.get(path).await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (500, "panic"),
            "{path}"
        );
    }
    assert_eq!(
        other.get("/").await.status,
        200,
        "other connections do not notice"
    );
    assert_eq!(gateway.metric("cause=\"panic\""), Some(2.0));
    until("nothing is left in flight", || {
        gateway.serving.in_flight() == 0
    })
    .await;
    assert_eq!(gateway.metric("pailou_requests_in_flight"), Some(0.0));
}

#[tokio::test]
async fn an_answer_before_the_upload_ends_is_read_whole() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let refusal = response("403 Forbidden", "connection: close\r\n", "no");
        let _ = stream.write_all(&refusal).await;
        // It goes on reading for a while, as careful servers do.
        let mut waste = vec![0; 65536];
        let _ = tokio::time::timeout(Duration::from_millis(200), async {
            while stream.read(&mut waste).await.is_ok_and(|read| read > 0) {}
        })
        .await;
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n")
        .await;
    client.send(vec![b'a'; 2_000_000]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
}

/// The head, the first bytes and the end of the connection came at once. The
/// engine threw away what it had not written: the client saw no answer at all.
#[tokio::test]
async fn what_came_before_an_answer_broke_reaches_the_client() {
    let upstream = Upstream::start(|_| {
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
        vec![Step::Send(half), Step::Close]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    for _ in 0..20 {
        let mut client = gateway.connect().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let (status, _) = client.head().await;
        assert_eq!(status, 200);
        assert_eq!(client.rest().await, b"half");
    }
}
