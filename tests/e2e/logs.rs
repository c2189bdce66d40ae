//! The log: every line can be read by a machine, and none tells what it must not.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::gateway::{Gateway, command};
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::raw::exchange;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

/// Every line so far, parsed.
fn lines(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log().into_iter();
    log.map(|line| {
        let value: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.is_object(), "{line}");
        value
    })
    .collect()
}

/// The lines about requests.
fn access(gateway: &Gateway) -> Vec<Value> {
    lines(gateway)
        .into_iter()
        .filter(|line| line["request_id"].is_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_an_eventful_life_is_json() {
    let (mut world, _upstream, _registered, mut gateway) = World::small().await;
    let url = gateway.url("/api/users/1");
    // A dead instance, documents good and bad, clients good and bad, the registry gone and back.
    let dead = Upstream::start("dead");
    let _dead = world.register("user-service", dead.address()).await;
    until_answered_by(&url, "dead").await;
    dead.kill();
    until("an ejection", async || {
        let _ = reqwest::get(&url).await;
        gateway
            .log()
            .iter()
            .any(|line| line.contains("ejected"))
            .then_some(())
    })
    .await;
    world
        .publish("routes: { \"quoted \\\"id\\\"\": { path: relative, service: x } }")
        .await;
    gateway.logged(&["refused"]).await;
    world
        .publish("routes: { /api/users/**: user-service, /next/**: user-service }")
        .await;
    until_status(&gateway.url("/next/x"), 200).await;
    for odd in [
        "GET /api/users/\"quoted\" HTTP/1.1\r\nhost: a\r\nuser-agent: \"a\\b\"\r\nconnection: close\r\n\r\n",
        "GET /api/users/\u{e9}\u{4f60} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET /api/users/%00 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /api/users/1 HTTP/1.1\r\nhost: a\r\nx-request-id: \"},{\"\r\nconnection: close\r\n\r\n",
        "\u{1b}[2J nonsense\r\n\r\n",
    ] {
        exchange(gateway.data(), odd.as_bytes(), Duration::from_secs(2)).await;
    }
    world.kill_registry().await;
    gateway.logged(&["a session was lost"]).await;
    world.restart_registry().await;
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());

    let lines = lines(&gateway);
    assert!(access(&gateway).len() >= 5, "the requests are among them");
    for line in &lines {
        let time = line["timestamp"].as_str();
        assert!(time.is_some_and(|time| time.ends_with('Z')), "{line}");
        if line["request_id"].is_null() {
            assert!(
                line["level"].is_string() && line["message"].is_string(),
                "{line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_tells_what_was_asked_and_not_the_query() {
    let (_world, upstream, _registered, gateway) = World::small().await;
    let client = reqwest::Client::new();
    let secrets = [
        "qu3ry-s3cret",
        "h3ader-s3cret",
        "c00kie-s3cret",
        "b0dy-s3cret",
    ];
    let response = client
        .post(gateway.url(&format!("/api/users/read?token={}", secrets[0])))
        .header("authorization", secrets[1])
        .header("cookie", format!("session={}", secrets[2]))
        .body(secrets[3])
        .send()
        .await
        .expect("an answer");
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(response.status(), 200);
    gateway.logged(&[&id]).await;
    let all = access(&gateway);
    let line = all
        .iter()
        .find(|line| line["request_id"] == id)
        .expect("its line");
    assert_eq!(
        (
            &line["method"],
            &line["path"],
            &line["status"],
            &line["route"]
        ),
        (
            &"POST".into(),
            &"/api/users/read".into(),
            &200.into(),
            &"/api/users/**".into()
        ),
        "{line}"
    );
    assert_eq!(line["upstream"], upstream.address().to_string(), "{line}");
    assert_eq!(
        (&line["tries"], &line["bytes_in"]),
        (&1.into(), &11.into()),
        "{line}"
    );
    let log = gateway.log().join("\n");
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} was told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_says_why_in_the_access_log() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let answer = reqwest::get(gateway.url("/nowhere"))
        .await
        .expect("an answer");
    let id = answer.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let line = gateway.logged(&[&id]).await;
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&line["status"], &line["cause"]),
        (&404.into(), &"no_route".into()),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_can_be_off() {
    let (_world, _upstream, _registered, mut gateway) =
        World::small_with("log: { access: false }").await;
    let answer = reqwest::get(gateway.url("/nowhere"))
        .await
        .expect("an answer");
    let id = answer.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    // The log is complete when the process has ended.
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());
    assert!(
        gateway.log().iter().all(|line| !line.contains(&id)),
        "{:#?}",
        gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_text_nothing_that_a_client_sends_reaches_the_terminal() {
    let world = World::new().await;
    world.publish("routes: {}").await;
    let data = format!("127.0.0.1:{}", free_port());
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("gateway.yaml"), world.settings("")).expect("a written file");
    let mut command = command(&["run", "--config", "gateway.yaml"]);
    command
        .current_dir(folder.path())
        .env("PAILOU_LOG_FORMAT", "text")
        .env("PAILOU_LISTENERS", &data);
    let mut process = Process::spawn("the gateway", &mut command);
    until_status(&format!("http://{data}/x"), 404).await;
    let address = data.parse().expect("an address");
    for odd in [
        "GET /\u{1b}[2J HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /\u{9b}2J HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET /%1b[2J HTTP/1.1\r\nhost: a\r\n\r\n",
        "\u{1b}]0;title\u{7} / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \u{1b}[2J\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-request-id: a\u{1b}[2J\r\nconnection: close\r\n\r\n",
    ] {
        exchange(address, odd.as_bytes(), Duration::from_secs(2)).await;
    }
    process.signal("-TERM");
    assert!(process.exited().await.success());
    let log = process.log();
    assert!(
        log.iter()
            .any(|line| line.contains("listening") && !line.starts_with('{')),
        "{log:#?}"
    );
    for line in &log {
        assert!(
            !line.chars().any(char::is_control),
            "{}",
            line.escape_debug()
        );
    }
}
