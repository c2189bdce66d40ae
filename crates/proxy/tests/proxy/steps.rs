//! A route's steps: what answers, waits, or changes a body.

use std::time::Duration;

use pailou_upstream::{EndpointSet, EndpointSpec};

use crate::gateway::{Gateway, until};
use crate::upstream::{Received, Step, Upstream, nobody, ok, response};

const GATED: &str = "
routes:
  gated:
    path: /**
    service: users
    filters:
      - set_response_header: { name: x-outer, value: 'yes' }
      - forward_auth: { service: auth, path: /check, copy_headers: [x-user], timeout: 300ms }
      - set_response_header: { name: x-inner, value: 'yes' }
";

/// A gateway whose `auth` service has these endpoints too.
async fn gated(users: &Upstream, auth: &[std::net::SocketAddr]) -> Gateway {
    gated_by(GATED, users, auth).await
}

async fn gated_by(routes: &str, users: &Upstream, auth: &[std::net::SocketAddr]) -> Gateway {
    let gateway = Gateway::start(routes, &[users.address]).await;
    let specs = auth.iter().map(|address| EndpointSpec::new(*address));
    gateway.service("auth").update(EndpointSet::of(specs));
    gateway
}

fn by_cookie(request: &Received) -> Vec<Step> {
    match request.header("cookie") {
        Some("good") => vec![Step::Send(response("200 OK", "x-user: 7\r\n", ""))],
        Some("slow") => vec![Step::Wait(Duration::from_secs(60))],
        Some("broken") => vec![Step::Send(b"nonsense\r\n\r\n".to_vec())],
        Some("fault") => vec![Step::Send(response("500 Oops", "", "x"))],
        _ => vec![Step::Send(response(
            "401 Unauthorized",
            "www-authenticate: x\r\n",
            "who?",
        ))],
    }
}

fn get(cookie: &str) -> String {
    format!("GET /a?b=c HTTP/1.1\r\nhost: a\r\nx-user: forged\r\ncookie: {cookie}\r\n\r\n")
}

#[tokio::test]
async fn a_gate_lets_pass_what_the_service_allows() {
    let users = Upstream::start(|_| ok("in")).await;
    let auth = Upstream::start(by_cookie).await;
    let gateway = gated(&users, &[auth.address]).await;
    let mut client = gateway.connect().await;
    client.send(get("good")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "in"));
    assert_eq!(answer.header("x-inner"), Some("yes"));
    let asked = auth.received();
    assert_eq!(asked[0].line(), "get /check http/1.1");
    assert_eq!(asked[0].header("x-forwarded-uri"), Some("/a?b=c"));
    assert_eq!(asked[0].header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked[0].header("x-user"), None, "the client's own word");
    assert_eq!(users.received()[0].header("x-user"), Some("7"));
    assert_eq!(users.received()[0].head.matches("x-user").count(), 1);
}

#[tokio::test]
async fn a_gates_refusal_is_the_answer_and_passes_the_steps_before_it() {
    let users = Upstream::start(|_| ok("in")).await;
    let auth = Upstream::start(by_cookie).await;
    let gateway = gated(&users, &[auth.address]).await;
    let mut client = gateway.connect().await;
    client.send(get("bad")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (401, "who?"));
    assert_eq!(answer.header("www-authenticate"), Some("x"));
    assert_eq!(answer.header("x-outer"), Some("yes"));
    assert_eq!(answer.header("x-inner"), None, "it was not passed");
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    assert!(users.received().is_empty());
    // The connection serves the next request, with a body too.
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncookie: good\r\ncontent-length: 5\r\n\r\nhello")
        .await;
    assert_eq!(client.answer().await.text(), "in");
    assert_eq!(users.received()[0].body, b"hello");
}

#[tokio::test]
async fn a_gate_that_gets_no_word_stays_closed() {
    let users = Upstream::start(|_| ok("in")).await;
    let auth = Upstream::start(by_cookie).await;
    let gateway = gated(&users, &[auth.address]).await;
    for (cookie, cause) in [
        ("slow", "gate_timeout"),
        ("broken", "gate_failed"),
        ("fault", "gate_failed"),
    ] {
        let mut client = gateway.connect().await;
        client.send(get(cookie)).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (503, cause),
            "{cookie}"
        );
        assert_eq!(answer.header("x-outer"), None, "a problem passes no step");
    }
    // Nobody there at all, and an endpoint that is gone.
    for auth in [vec![], vec![nobody().await]] {
        let gateway = gated(&users, &auth).await;
        let mut client = gateway.connect().await;
        client.send(get("good")).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (503, "gate_failed")
        );
    }
    assert!(users.received().is_empty());
}

#[tokio::test]
async fn a_gate_that_fails_open_lets_pass_what_nobody_judged() {
    let users = Upstream::start(|_| ok("in")).await;
    let auth = Upstream::start(by_cookie).await;
    let routes = GATED.replace("path: /check", "path: /check, fail_open: true");
    let gateway = gated_by(&routes, &users, &[auth.address]).await;
    for (cookie, status, opened) in [
        ("good", 200, 0.0),
        ("bad", 401, 0.0),
        ("slow", 200, 1.0),
        ("broken", 200, 2.0),
    ] {
        let mut client = gateway.connect().await;
        client.send(get(cookie)).await;
        assert_eq!(client.answer().await.status, status, "{cookie}");
        let counted = gateway.metric("pailou_gates_opened_total");
        assert_eq!(counted, Some(opened), "{cookie}");
    }
    // What the service would have said of the user is not the client's to say.
    assert_eq!(users.received()[2].header("x-user"), None);
}

#[tokio::test]
async fn a_gate_tries_another_endpoint_when_one_is_gone() {
    let users = Upstream::start(|_| ok("in")).await;
    let auth = Upstream::start(by_cookie).await;
    let gateway = gated(&users, &[nobody().await, auth.address]).await;
    for _ in 0..4 {
        let mut client = gateway.connect().await;
        client.send(get("good")).await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_wait_at_a_gate() {
    let users = Upstream::start(|_| ok("in")).await;
    let auth = Upstream::start(by_cookie).await;
    let routes = GATED.replace("300ms", "60s");
    let gateway = Gateway::start(&routes, &[users.address]).await;
    let specs = EndpointSet::of([EndpointSpec::new(auth.address)]);
    gateway.service("auth").update(specs);
    let mut client = gateway.connect().await;
    client.send(get("slow")).await;
    until("the gate is asked", || !auth.received().is_empty()).await;
    drop(client);
    until("the request is over", || {
        gateway.metric("cause=\"client_gone\"") == Some(1.0)
    })
    .await;
    assert_eq!(gateway.serving.in_flight(), 0);
}

#[tokio::test]
async fn a_filter_answers_in_the_place_of_a_service() {
    let gateway = Gateway::start(
        "
routes:
  /old/**: { filters: [ { redirect: { status: 308, to: 'https://new.example{target}' } } ] }
  /closed: { filters: [ { respond: { status: 503, body: closed, headers: { retry-after: '60' } } } ] }
  /empty: { filters: [ { respond: { status: 204 } } ] }
",
        &[],
    )
    .await;
    let mut client = gateway.connect().await;
    let answer = client.get("/old/a%C3%A4?b=//evil").await;
    assert_eq!(answer.status, 308);
    assert_eq!(
        answer.header("location"),
        Some("https://new.example/old/a%c3%a4?b=//evil")
    );
    let answer = client.get("/closed").await;
    assert_eq!((answer.status, answer.text()), (503, "closed"));
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(client.get("/empty").await.status, 204);
    client
        .send("HEAD /closed HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let (status, head) = client.head().await;
    assert_eq!(status, 503);
    assert!(head.contains("content-length: 6"), "{head}");
    assert_eq!(client.get("/empty").await.status, 204, "nothing was left");
}

const REWRITTEN: &str = "
routes:
  any:
    path: /**
    service: users
    filters:
      - rewrite_body: { regex: 'http://([a-z]+)', replacement: 'https://$1', max_bytes: 1000 }
      - rewrite_body: { regex: 'internal', replacement: 'public' }
";

fn typed(content_type: &str, body: &str) -> Vec<Step> {
    let fields = format!("content-type: {content_type}\r\netag: \"1\"\r\n");
    vec![Step::Send(response("200 OK", &fields, body))]
}

#[tokio::test]
async fn a_body_is_rewritten_by_each_step() {
    let users = Upstream::start(|request| match request.line() {
        line if line.contains("/chunks") => vec![Step::Send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n\
              7\r\nhttp://\r\n8\r\ninternal\r\n0\r\nx-trailer: 1\r\n\r\n"
                .to_vec(),
        )],
        line if line.contains("/image") => typed("image/png", "http://internal"),
        line if line.contains("/head") => typed("text/html", ""),
        _ => typed("text/html", "<a href=http://internal>"),
    })
    .await;
    let gateway = Gateway::start(REWRITTEN, &[users.address]).await;
    let mut client = gateway.connect().await;
    let answer = client.get("/").await;
    assert_eq!(answer.text(), "<a href=https://public>");
    assert_eq!(answer.header("etag"), None, "it was of the other bytes");
    assert_eq!(client.get("/chunks").await.text(), "https://public");
    let image = client.get("/image").await;
    assert_eq!(image.text(), "http://internal");
    assert_eq!(image.header("etag"), Some("\"1\""));
    client.send("HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (status, head) = client.head().await;
    assert_eq!(status, 200);
    assert!(!head.contains("content-length"), "{head}");
    assert_eq!(client.get("/").await.text(), "<a href=https://public>");
    let received = users.received();
    assert_eq!(received[0].header("accept-encoding"), Some("identity"));
    assert!(received.iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn a_body_that_is_too_long_or_breaks_is_an_answer_of_its_own() {
    let users = Upstream::start(|request| match request.line() {
        line if line.contains("/long") => typed("text/html", &"a".repeat(1001)),
        line if line.contains("/chunks") => vec![Step::Send(
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n\
                 3e9\r\n{}\r\n0\r\n\r\n",
                "a".repeat(1001)
            )
            .into_bytes(),
        )],
        line if line.contains("/cut") => vec![
            Step::Send(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 9\r\n\r\nab"
                    .to_vec(),
            ),
            Step::Close,
        ],
        _ => typed("text/html", "internal"),
    })
    .await;
    let gateway = Gateway::start(REWRITTEN, &[users.address]).await;
    for (path, status, cause) in [
        ("/long", 502, "upstream_too_large"),
        ("/chunks", 502, "upstream_too_large"),
        ("/cut", 502, "upstream_reset"),
    ] {
        let answer = gateway.connect().await.get(path).await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (status, cause),
            "{path}"
        );
    }
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
    assert_eq!(gateway.metric("cause=\"upstream_too_large\""), Some(2.0));
}
