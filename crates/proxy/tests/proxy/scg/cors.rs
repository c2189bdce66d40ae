//! CORS: preflights, and whom an answer is for.

use crate::client::Answer;
use crate::gateway::Gateway;
use crate::upstream::{Step, Upstream, nobody, ok, response};

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
