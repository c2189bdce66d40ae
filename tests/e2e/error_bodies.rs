//! The shape of the gateway's own errors.

use std::time::Duration;

use serde_json::Value;

use crate::support::gateway::{Gateway, run};
use crate::support::raw::exchange;
use crate::support::world::{World, until_status};

const ROUTES: &str = "
routes:
  /api/users/**: user-service
  /empty/**: nobody
  /slow/**: { service: user-service, timeout: 200ms, strip_prefix: 1 }
  /dead/**: { to: 'http://127.0.0.1:1' }
  /limited/**: { service: user-service, filters: [ rate_limit: { key: route, requests: 1, per: 1h } ] }
";

/// Requests, and the statuses that they are answered with.
const ERRORS: [(&str, u16); 8] = [
    ("GET /none/x?secret=1 HTTP/1.1\r\nhost: a\r\n\r\n", 404),
    ("GET /empty/x HTTP/1.1\r\nhost: a\r\n\r\n", 503),
    ("GET /dead/x HTTP/1.1\r\nhost: a\r\n\r\n", 502),
    ("GET /slow/slow/3000 HTTP/1.1\r\nhost: a\r\n\r\n", 504),
    ("GET /limited/x HTTP/1.1\r\nhost: a\r\n\r\n", 429),
    (
        "POST /api/users/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n",
        413,
    ),
    ("TRACE /api/users/1 HTTP/1.1\r\nhost: a\r\n\r\n", 405),
    // The head is never whole, so that this is answered past the engine.
    ("GET /api/users/1 HTTP/1.1\r\nhost: a\r\n", 408),
];

async fn gateway(world: &World, errors: &str) -> Gateway {
    let more = format!("limits: {{ body_bytes: 1KiB, header_timeout: 1s }}\nerrors: {errors}");
    let gateway = world.gateway_with(&more).await.ready().await;
    world.publish(ROUTES).await;
    until_status(&gateway.url("/limited/x"), 429).await;
    gateway
}

/// Head and body of each of the errors.
async fn errors(gateway: &Gateway) -> Vec<(u16, String, String)> {
    let mut all = Vec::new();
    for (request, status) in ERRORS {
        let answer = exchange(gateway.data(), request.as_bytes(), Duration::from_secs(4)).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        all.push((status, head.to_ascii_lowercase(), body.to_owned()));
    }
    all
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let line = head.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the header").trim_start_matches(": ")
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_springs_keys_under_a_setting() {
    let (world, _upstream, _registered, first) = World::small().await;
    drop(first);
    let gateway = gateway(&world, "scg").await;
    for (status, head, body) in errors(&gateway).await {
        assert_eq!(header(&head, "content-type"), "application/json", "{head}");
        let error: Value = serde_json::from_str(&body).expect("JSON");
        let keys: Vec<_> = error.as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 5, "{body}");
        assert_eq!(error["status"], status, "{body}");
        assert_eq!(error["requestId"], header(&head, "x-request-id"), "{body}");
        let time = error["timestamp"].as_str().expect("a time");
        assert!(time.ends_with("+00:00"), "{time}");
    }
    let answer = reqwest::get(gateway.url("/none/x?secret=1")).await;
    let body = answer.expect("an answer").text().await.expect("a body");
    assert!(
        body.contains(
            "\"path\":\"/none/x\",\"status\":404,\"error\":\"Not Found\",\"requestId\":\""
        ),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_follow_a_template_and_values_are_escaped() {
    let (world, _upstream, _registered, first) = World::small().await;
    drop(first);
    let template = r#"'{"code": {status}, "why": "{code}", "msg": "{message}", "data": {}, "id": "{request_id}", "path": "{path}", "route": "{route}", "at": "{time}"}'"#;
    let gateway = gateway(&world, template).await;
    for (status, head, body) in errors(&gateway).await {
        assert_eq!(header(&head, "content-type"), "application/json", "{head}");
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(error["code"], status, "{body}");
        assert_eq!(error["id"], header(&head, "x-request-id"), "{body}");
        assert!(
            error["msg"].as_str().is_some_and(|text| text.len() > 5),
            "{body}"
        );
    }
    let client = reqwest::Client::new();
    let asked = client
        .get(gateway.url("/limited/a'%22b"))
        .header("host", "a");
    let answer = asked.send().await.expect("an answer");
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
    let error: Value = answer.json().await.expect("JSON");
    assert_eq!(error["path"], "/limited/a'%22b");
    assert_eq!(error["route"], "/limited/**");
    assert_eq!(error["why"], "rate_limited");

    // What a service answers passes as it is.
    let answer = reqwest::get(gateway.url("/api/users/status/404")).await;
    let body = answer.expect("an answer").text().await.expect("a body");
    assert!(!body.contains("\"why\""), "{body}");
}

/// Of three routes to nobody one says nothing, and two have a shape of their own; so has a route in Spring's form.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_have_errors_of_its_own() {
    let (world, _upstream, _registered, first) = World::small().await;
    drop(first);
    let more = "errors: '{\"all\": {status}}'\nroutes: [ { data_id: pailou-routes.yaml }, { data_id: spring.yaml } ]";
    let gateway = world.gateway_with(more).await.ready().await;
    world
        .publish(
            "
routes:
  /usual/**: nobody
  /spring/**: { service: nobody, filters: [ errors: scg ] }
  /page/**: { service: nobody, filters: [ errors: { template: '<b>{status} {route}</b>', content_type: text/html } ] }
  /limited/**: { service: user-service, filters: [ rate_limit: { key: route, requests: 1, per: 1h }, errors: problem ] }
",
        )
        .await;
    world
        .publish_as(
            "spring.yaml",
            "spring.cloud.gateway.routes: [ { id: s, uri: 'lb://nobody', predicates: [ Path=/s/** ], filters: [ { name: errors, args: { shape: scg } } ] } ]",
        )
        .await;
    until_status(&gateway.url("/limited/x"), 429).await;
    until_status(&gateway.url("/s/x"), 503).await;
    for (path, status, kind, piece) in [
        ("/none", 404, "application/json", "{\"all\": 404}"),
        ("/usual/x", 503, "application/json", "{\"all\": 503}"),
        ("/spring/x", 503, "application/json", "\"requestId\""),
        ("/s/x", 503, "application/json", "\"requestId\""),
        ("/page/x", 503, "text/html", "<b>503 /page/**</b>"),
        // A step's own answer has it too, wherever the filter stands.
        (
            "/limited/x",
            429,
            "application/problem+json",
            "\"cause\":\"rate_limited\"",
        ),
    ] {
        let answer = reqwest::get(gateway.url(path)).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], kind, "{path}");
        let body = answer.text().await.expect("a body");
        assert!(body.contains(piece), "{path}: {body}");
    }
}

#[test]
fn a_template_that_would_be_no_json_is_found_before_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for (errors, problem) in [
        ("'{\"msg\": {message}}'", "texts need quotes"),
        ("'{\"msg\": \"{mesage}\"}'", "did you mean `{message}`?"),
        ("springs", "`problem`, `scg`"),
        ("{ content_type: text/plain }", "`template` is missing"),
        ("{ template: x, content_type: plain }", "a content type"),
    ] {
        let text = format!("errors: {errors}\n");
        std::fs::write(folder.path().join("gateway.yaml"), text).expect("a file");
        let (status, out, err) = run(&["check", "gateway.yaml"], folder.path());
        assert!(!status.success(), "{errors}");
        assert!(
            format!("{out}{err}").contains(problem),
            "{errors}: {out}{err}"
        );
    }
    std::fs::write(
        folder.path().join("gateway.yaml"),
        "errors: { template: '{status} {title}', content_type: text/plain }\n",
    )
    .expect("a file");
    let (status, out, _) = run(
        &["run", "--print-config", "--config", "gateway.yaml"],
        folder.path(),
    );
    assert!(status.success());
    let line = "errors: { template: \"{status} {title}\", content_type: text/plain }";
    assert!(out.contains(line), "{out}");
}
