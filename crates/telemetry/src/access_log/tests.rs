use std::time::Duration;

use super::*;
use crate::events::StreamKind;
use crate::{Metrics, RouteMetrics, ServiceLabels};

fn request<'a>(path: &'a str, id: &'a str) -> RequestDone<'a> {
    RequestDone {
        method: "GET",
        scheme: "https",
        version: "1.1",
        host: Some(b"api.example.com:8443"),
        path,
        status: 502,
        cause: Some("connect_failed"),
        request_id: id,
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        client: Some("192.0.2.7".parse().unwrap()),
        user_agent: Some(b"curl/8 \"x\""),
        referrer: Some(b"https://example.com/a?token=secret"),
        upstream: Some("127.0.0.1:8081".parse().unwrap()),
        tries: 2,
        duration: Duration::from_micros(1500),
        first_byte: Some(Duration::from_micros(1250)),
        upstream_duration: Some(Duration::from_micros(750)),
        bytes_in: 3,
        bytes_out: 4,
        ..RequestDone::default()
    }
}

fn route(metrics: &Metrics) -> std::sync::Arc<RouteMetrics> {
    let service = ServiceLabels {
        nacos: "east".into(),
        namespace: "public".into(),
        group: "DEFAULT_GROUP".into(),
        service: "user-service".into(),
    };
    metrics.route("users", &service)
}

fn json(fields: AccessFields, request: &RequestDone<'_>) -> serde_json::Value {
    let line = Layout::Json(fields).line(request);
    assert!(
        line.ends_with("}\n") && line.matches('\n').count() == 1,
        "{line}"
    );
    assert!(!line.contains("secret"), "{line}");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn the_json_line_has_opentelemetrys_names() {
    let metrics = Metrics::new();
    let route = route(&metrics);
    let mut done = request("/api/\"users\"\r\n?token=secret", "id\u{1b}[2J");
    done.route = Some(&route);
    done.stream = Some(StreamKind::EventStream);
    let mut value = json(AccessFields::Otel, &done);
    let timestamp = value["timestamp"].take();
    assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
    let expected = serde_json::json!({
        "timestamp": null,
        "event.name": "pailou.access",
        "http.request.method": "GET",
        "url.scheme": "https",
        "server.address": "api.example.com",
        "server.port": 8443,
        "url.path": "/api/\"users\"\r\n",
        "network.protocol.version": "1.1",
        "http.response.status_code": 502,
        "http.server.request.duration": 0.0015,
        "pailou.first_byte.duration": 0.00125,
        "pailou.upstream.duration": 0.00075,
        "pailou.stream": "event_stream",
        "pailou.route": "users",
        "pailou.nacos": "east",
        "pailou.namespace": "public",
        "pailou.group": "DEFAULT_GROUP",
        "pailou.service": "user-service",
        "pailou.upstream.address": "127.0.0.1:8081",
        "pailou.tries": 2,
        "error.type": "connect_failed",
        "client.address": "192.0.2.7",
        "http.request.body.size": 3,
        "http.response.body.size": 4,
        "user_agent.original": "curl/8 \"x\"",
        "http.request.header.referer": ["https://example.com/a"],
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "pailou.request.id": "id\u{1b}[2J",
    });
    assert_eq!(value, expected);
}

#[test]
fn the_json_line_has_elastics_names() {
    let mut value = json(AccessFields::Ecs, &request("/a", "id"));
    assert!(value["@timestamp"].take().is_string());
    let expected = serde_json::json!({
        "@timestamp": null,
        "event.dataset": "pailou.access",
        "ecs.version": "8.11.0",
        "http.request.method": "GET",
        "url.scheme": "https",
        "url.domain": "api.example.com",
        "url.port": 8443,
        "url.path": "/a",
        "http.version": "1.1",
        "http.response.status_code": 502,
        "event.duration": 1_500_000,
        "pailou.first_byte.duration": 1_250_000,
        "pailou.upstream.duration": 750_000,
        "pailou.upstream.address": "127.0.0.1:8081",
        "pailou.tries": 2,
        "error.type": "connect_failed",
        "client.ip": "192.0.2.7",
        "http.request.body.bytes": 3,
        "http.response.body.bytes": 4,
        "user_agent.original": "curl/8 \"x\"",
        "http.request.referrer": "https://example.com/a",
        "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "http.request.id": "id",
    });
    assert_eq!(value, expected);
}

#[test]
fn what_is_not_known_is_left_out_of_json() {
    let value = json(AccessFields::Otel, &RequestDone::default());
    let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "event.name",
        "http.request.body.size",
        "http.response.body.size",
        "http.server.request.duration",
        "pailou.tries",
        "timestamp",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn bytes_that_are_no_text_do_not_break_a_line() {
    let done = RequestDone {
        user_agent: Some(b"a\xff\x00\x1b[2J\"\n"),
        host: Some(b"\xff\xfe"),
        referrer: Some(b"?"),
        ..request("/a", "id")
    };
    let value = json(AccessFields::Otel, &done);
    assert_eq!(value["user_agent.original"], "a\u{fffd}\0\u{1b}[2J\"\n");
    assert!(value["http.request.header.referer"].is_null());
    for layout in [
        Layout::Text,
        Layout::Template(AccessTemplate::combined().clone()),
    ] {
        let line = layout.line(&done);
        assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn the_text_line_escapes_quotes_and_leaves_out_the_usual() {
    let metrics = Metrics::new();
    let route = route(&metrics);
    let mut done = request("/a b\n", "x=1");
    done.route = Some(&route);
    let line = Layout::Text.line(&done);
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.ends_with('Z'), "{time}");
    assert_eq!(
        rest,
        "GET \"/a b\\n\" 502 duration_ms=1.500 upstream_ms=0.750 host=api.example.com route=users nacos=east \
         service=user-service upstream=127.0.0.1:8081 tries=2 cause=connect_failed client=192.0.2.7 bytes_in=3 bytes_out=4 \
         trace_id=4bf92f3577b34da6a3ce929d0e0e4736 request_id=\"x=1\"\n"
    );
}

/// Programs that read Apache's and nginx's logs read these.
#[test]
fn the_combined_line_is_what_people_parse() {
    let combined = Layout::Template(AccessTemplate::combined().clone());
    let line = combined.line(&request("/api/users/1?token=secret", "id"));
    let (client, rest) = line.split_once('[').unwrap();
    let (time, rest) = rest.split_once(']').unwrap();
    assert_eq!(client, "192.0.2.7 - - ");
    assert_eq!((time.len(), &time[20..]), (26, " +0000"), "{time}");
    assert_eq!(
        rest,
        " \"GET /api/users/1 HTTP/1.1\" 502 4 \"https://example.com/a\" \"curl/8 \\\"x\\\"\"\n"
    );
    let refused = RequestDone {
        status: 400,
        ..RequestDone::default()
    };
    let line = combined.line(&refused);
    assert!(line.ends_with("] \"-\" 400 0 \"-\" \"-\"\n"), "{line}");
    let gone = combined.line(&RequestDone::default());
    assert!(gone.contains(" 499 "), "{gone}");
}

#[test]
fn a_template_says_what_it_is_told_to() {
    for (template, expected) in [
        ("{method}\t{path}\t{status}", "GET\t/a\t502"),
        ("{{{status}}}", "{502}"),
        ("{{}}{status}", "{}502"),
        (
            "{request_id} {duration_s} {first_byte_ms} {upstream_s}",
            "id 0.002 1.250 0.001",
        ),
        (
            "{route}|{service}|{stream}|{host}:{port}",
            "-|-|-|api.example.com:8443",
        ),
        ("\"{user_agent}\"", "\"curl/8 \\\"x\\\"\""),
        ("{scheme}{version}{tries}", "https1.12"),
    ] {
        let parsed =
            AccessTemplate::parse(template).unwrap_or_else(|fault| panic!("{template}: {fault}"));
        let line = Layout::Template(parsed).line(&request("/a", "id"));
        assert_eq!(line, format!("{expected}\n"), "{template}");
    }
    for name in FIELDS {
        assert!(
            AccessTemplate::parse(&format!("{{{name}}}")).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn a_template_that_cannot_be_meant_is_refused_by_name() {
    let long = "{path}".repeat(700);
    for (template, expected) in [
        ("{metod} {path}", "`{metod}` is no field of the access log"),
        ("{ path }", "`{ path }` is no field of the access log"),
        ("{} {path}", "`{}` is no field of the access log"),
        ("{path", "`{` has no partner; two of them stand for one"),
        ("{pa{th}}", "`{` has no partner; two of them stand for one"),
        ("path}", "`}` has no partner; two of them stand for one"),
        ("{path}\n", "the template has a control character"),
        ("path", "the template has no field"),
        ("", "the template has no field"),
        ("combinde", "the template has no field"),
        (&long, "the template is too long"),
    ] {
        let fault = AccessTemplate::parse(template).unwrap_err();
        assert_eq!(fault.to_string(), expected, "{template}");
    }
}

#[test]
fn a_long_request_makes_a_line_with_a_bound() {
    let (path, agent) = ("/x".repeat(5000), vec![b'y'; 60_000]);
    let done = RequestDone {
        user_agent: Some(&agent),
        referrer: Some(&agent),
        host: Some(&agent),
        ..request(&path, &path)
    };
    for layout in [Layout::Text, Layout::Json(AccessFields::Otel)] {
        assert!(layout.line(&done).len() < 4096);
    }
}

#[test]
fn an_access_log_is_told_by_how_its_first_line_begins() {
    let template = |text: &str| AccessFormat::Template(AccessTemplate::parse(text).unwrap());
    let done = request("/a", "id");
    let formats = [
        template("{client} {method} \"{path}\""),
        template("[{clf_time}] {status}"),
        template("at {time}: {path}"),
        template("{duration_ms};{status}"),
        template("{path}"),
        AccessFormat::Template(AccessTemplate::combined().clone()),
    ];
    // Its own lines, whole, and cut where the look ends.
    for format in &formats {
        let AccessFormat::Template(template) = format else {
            unreachable!("all of them are templates");
        };
        for done in [done, RequestDone::default()] {
            let line = Layout::Template(template.clone()).line(&done);
            let head = &line.as_bytes()[..line.len().min(64)];
            assert!(is_ours(format, head), "{format:?}: {line}");
        }
        for layout in [
            Layout::Text,
            Layout::Json(AccessFields::Otel),
            Layout::Json(AccessFields::Ecs),
            Layout::Template(AccessTemplate::combined().clone()),
        ] {
            let line = layout.line(&done);
            assert!(
                is_ours(format, &line.as_bytes()[..64]),
                "{format:?}: {line}"
            );
        }
    }
    for head in [
        "routes: {}\n",
        "listeners:\n  - a",
        "pailou-snapshot/1\n",
        "#!/bin/sh\n",
    ] {
        for format in formats.iter().take(4).chain([&AccessFormat::Auto]) {
            assert!(!is_ours(format, head.as_bytes()), "{format:?}: {head}");
        }
    }
}

#[test]
fn every_name_of_a_field_is_on_the_page() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/observability.md");
    let page = std::fs::read_to_string(page).unwrap();
    for name in FIELDS.into_iter().chain(json::names()) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
