//! The log: every line can be read by a machine, and none tells what it must not.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Gateway, command};
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::raw::exchange;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

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

/// The lines about requests, by the mark that tells them from events.
fn access(gateway: &Gateway) -> Vec<Value> {
    lines(gateway)
        .into_iter()
        .filter(|line| line["event.name"] == "pailou.access")
        .collect()
}

/// The line about the request of this id.
async fn access_of(gateway: &Gateway, id: &str) -> Value {
    let line = gateway.logged(&[id]).await;
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_an_eventful_life_is_json() {
    let (mut world, _upstream, _registered, mut gateway) = World::small().await;
    let url = gateway.url("/api/users/1");
    // A dead instance, documents good and bad, clients good and bad, Nacos gone and back.
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
        if line["event.name"].is_null() {
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
        "r3ferer-s3cret",
    ];
    let response = client
        .post(gateway.url(&format!("/api/users/read?token={}", secrets[0])))
        .header("authorization", secrets[1])
        .header("cookie", format!("session={}", secrets[2]))
        .header("user-agent", "a test")
        .header(
            "referer",
            format!("https://example.com/page?t={}", secrets[4]),
        )
        .header("traceparent", TRACEPARENT)
        .body(secrets[3])
        .send()
        .await
        .expect("an answer");
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(response.status(), 200);
    let line = access_of(&gateway, &id).await;
    let data = gateway.data();
    for (field, expected) in [
        ("event.name", json!("pailou.access")),
        ("http.request.method", json!("POST")),
        ("url.scheme", json!("http")),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(data.port())),
        ("url.path", json!("/api/users/read")),
        ("network.protocol.version", json!("1.1")),
        ("http.response.status_code", json!(200)),
        ("http.request.body.size", json!(11)),
        ("pailou.route", json!("/api/users/**")),
        ("pailou.nacos", json!("default")),
        ("pailou.namespace", json!("public")),
        ("pailou.group", json!("DEFAULT_GROUP")),
        ("pailou.service", json!("user-service")),
        (
            "pailou.upstream.address",
            json!(upstream.address().to_string()),
        ),
        ("pailou.tries", json!(1)),
        ("client.address", json!("127.0.0.1")),
        ("user_agent.original", json!("a test")),
        (
            "http.request.header.referer",
            json!(["https://example.com/page"]),
        ),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("pailou.request.id", json!(id)),
        ("error.type", Value::Null),
        ("pailou.stream", Value::Null),
    ] {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    let seconds = |field: &str| {
        line[field]
            .as_f64()
            .unwrap_or_else(|| panic!("{field}: {line}"))
    };
    let whole = seconds("http.server.request.duration");
    let (first, upstream) = (
        seconds("pailou.first_byte.duration"),
        seconds("pailou.upstream.duration"),
    );
    assert!(
        0.0 < upstream && upstream <= whole && first <= whole,
        "{line}"
    );
    assert!(line["http.response.body.size"].as_u64() > Some(0), "{line}");
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
    let line = access_of(&gateway, &id).await;
    assert_eq!(
        (&line["http.response.status_code"], &line["error.type"]),
        (&404.into(), &"no_route".into()),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_try_is_in_the_access_log_in_a_metric_and_in_a_header_on_demand() {
    let (_world, upstream, _registered, gateway) =
        World::small_with("retry: { tries_header: X-Tries }").await;
    let client = reqwest::Client::new();
    let ask = async |id: &str| {
        let request = client.get(gateway.url("/api/users/1"));
        let answer = request.header("x-request-id", id).send().await;
        let answer = answer.expect("an answer");
        let tries = answer.headers()["x-tries"].to_str().expect("text");
        (answer.status().as_u16(), tries.to_owned())
    };
    let (status, tries) = ask("good").await;
    assert_eq!(status, 200);
    assert!(
        tries.starts_with(&format!("{} 200 ", upstream.address())) && tries.ends_with("ms"),
        "{tries}"
    );
    let line = access_of(&gateway, "good").await;
    assert!(line["pailou.failed_tries"].is_null(), "{line}");

    let address = upstream.address();
    upstream.kill();
    let refused = format!("{address} connect_failed ");
    // Its port takes connections for a moment yet, and resets them.
    until("a refused connection in the header", async || {
        let (status, tries) = ask("bad").await;
        assert_eq!(status, 502);
        tries.contains(&refused).then_some(())
    })
    .await;
    until("a refused connection in the log", async || {
        let lines = access(&gateway);
        let mut tries = lines
            .iter()
            .filter_map(|line| line["pailou.failed_tries"].as_str());
        tries.any(|text| text.contains(&refused)).then_some(())
    })
    .await;
    let metrics = reqwest::get(gateway.probes_url("/metrics"));
    let metrics = metrics.await.expect("an answer").text().await;
    let metrics = metrics.expect("a text");
    let counted = metrics.lines().find_map(|line| {
        line.strip_prefix("pailou_failed_tries_total{reason=\"connect_failed\"} ")
    });
    assert!(counted.is_some_and(|count| count != "0"), "{metrics}");
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
async fn the_access_log_speaks_elastics_names() {
    let (_world, _upstream, _registered, gateway) =
        World::small_with("log: { access_fields: ecs }").await;
    let id = "an-id-of-its-own";
    let request = reqwest::Client::new()
        .get(gateway.url("/api/users/1"))
        .header("x-request-id", id)
        .header("traceparent", TRACEPARENT);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let line = access_of(&gateway, id).await;
    for (field, expected) in [
        ("event.dataset", json!("pailou.access")),
        ("http.request.id", json!(id)),
        ("http.response.status_code", json!(200)),
        ("http.version", json!("1.1")),
        ("client.ip", json!("127.0.0.1")),
        ("url.domain", json!("127.0.0.1")),
        ("trace.id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("pailou.service", json!("user-service")),
    ] {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    assert!(
        line["@timestamp"].is_string() && line["timestamp"].is_null(),
        "{line}"
    );
    assert!(line["event.duration"].as_u64() > Some(1_000), "{line}");
}

/// GoAccess, Fluent Bit, Promtail and the like have a parser for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_speaks_the_combined_format() {
    let (_world, _upstream, _registered, mut gateway) =
        World::small_with("log: { access_format: combined }").await;
    let request = reqwest::Client::new()
        .get(gateway.url("/api/users/combined?token=s3cret"))
        .header("user-agent", "say \"hi\"");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let line = gateway.logged(&["/api/users/combined"]).await;
    exchange(
        gateway.data(),
        b"\x1b nonsense\r\n\r\n",
        Duration::from_secs(2),
    )
    .await;
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());
    let (client, rest) = line
        .split_once(" - - [")
        .unwrap_or_else(|| panic!("{line}"));
    assert_eq!(client, "127.0.0.1");
    let (time, rest) = rest.split_once("] ").unwrap_or_else(|| panic!("{line}"));
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{line}");
    assert!(
        rest.starts_with("\"GET /api/users/combined HTTP/1.1\" 200 "),
        "{line}"
    );
    assert!(rest.ends_with(" \"-\" \"say \\\"hi\\\"\""), "{line}");
    let log = gateway.log();
    assert!(
        log.iter()
            .any(|line| line.contains("] \"-\" 400 0 \"-\" \"-\"")),
        "{log:#?}"
    );
    // The gateway's own events are as they were.
    let events = log.iter().filter(|line| !line.contains(" - - ["));
    for event in events {
        assert!(event.starts_with("{\"timestamp\":"), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_follows_a_template() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("access.log");
    let template = "{{{method}}} {path} {status} {service} {cause} {trace_id} {tries}";
    let more = format!(
        "log: {{ access_format: '{template}', access_file: '{}' }}",
        path.display()
    );
    let (world, _upstream, _registered, mut gateway) = World::small_with(&more).await;
    for path in ["/api/users/1?a=b", "/nowhere"] {
        reqwest::get(gateway.url(path)).await.expect("an answer");
    }
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());
    let lines = || std::fs::read_to_string(&path).expect("a log");
    let expected = "{GET} /api/users/1 200 user-service - - 1\n{GET} /nowhere 404 - no_route - 0\n";
    assert_eq!(lines(), expected);

    // It knows its own lines again.
    let gateway = world.gateway_with(&more).await.ready().await;
    reqwest::get(gateway.url("/again"))
        .await
        .expect("an answer");
    until("the third line", async || {
        (lines().lines().count() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_with_an_unknown_field_is_refused_at_start_by_name() {
    let folder = TempDir::new().expect("a folder");
    let settings =
        "listeners: [{ address: '127.0.0.1:0' }]\nlog:\n  access_format: '{method} {pth}'\n";
    std::fs::write(folder.path().join("gateway.yaml"), settings).expect("a written file");
    let fault = "gateway.yaml:3:18: log.access_format: `{pth}` is no field of the access log; expected one of time, clf_time,";
    for arguments in [
        ["run", "--config", "gateway.yaml"].as_slice(),
        &["check", "gateway.yaml"],
    ] {
        let mut command = command(arguments);
        command.current_dir(folder.path());
        let mut process = Process::spawn("the gateway", &mut command);
        assert!(!process.exited().await.success(), "{arguments:?}");
        let log = process.log();
        let told = log.iter().find(|line| line.contains(fault));
        let told = told.unwrap_or_else(|| panic!("{arguments:?}: {log:#?}"));
        assert!(told.ends_with("did you mean `path`?"), "{told}");
    }
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
