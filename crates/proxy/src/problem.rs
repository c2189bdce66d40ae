//! The bodies of error answers, in the shape that the settings ask for.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use pailou_config::{Compat, ErrorBodies, ErrorField};
use pailou_filters::ErrorShape;
use pailou_telemetry::now_rfc3339;
use serde_json::json;

use crate::cause::{Cause, title};
use crate::request_id::RequestId;

/// What an error answer says. It never has an address in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) status: u16,
    /// Why, in one word.
    pub(crate) cause: &'a str,
    pub(crate) detail: &'a str,
    pub(crate) request_id: &'a str,
    /// Without the query; empty where the request has none that can be read.
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    pub(crate) route: Option<&'a str>,
}

/// The shapes of error bodies: the usual one, and those of routes that have one of their own.
#[derive(Debug)]
pub(crate) struct Shape {
    usual: ErrorShape,
    /// Spring Cloud Gateway 5.0 ends times in another way.
    compat: Compat,
}

impl Shape {
    pub(crate) fn new(bodies: ErrorBodies, compat: Compat) -> Shape {
        Shape {
            usual: ErrorShape::new(bodies),
            compat,
        }
    }

    /// What `Content-Type` says of the bodies; `own` is the shape of the route.
    pub(crate) fn content_type(&self, own: Option<&ErrorShape>) -> HeaderValue {
        own.unwrap_or(&self.usual).content_type()
    }

    /// The body of an error answer; `own` is the shape of the route.
    pub(crate) fn body(&self, own: Option<&ErrorShape>, said: &Said<'_>) -> Vec<u8> {
        match own.unwrap_or(&self.usual).bodies() {
            ErrorBodies::Problem => problem(said),
            ErrorBodies::Scg => scg(said, self.compat),
            ErrorBodies::Template(template) => template.fill(|field| value(said, field)),
        }
        .into_bytes()
    }

    /// A whole answer for a connection that is closed after it, past the engine.
    pub(crate) fn bare(&self, cause: Cause, request_id: &RequestId) -> Vec<u8> {
        let answer = cause.answer();
        let request_id = request_id.as_str();
        let said = Said {
            status: answer.status,
            cause: answer.cause,
            detail: answer.detail,
            request_id,
            ..Said::default()
        };
        let body = self.body(None, &said);
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: ",
            answer.status,
            title(answer.status)
        )
        .into_bytes();
        bytes.extend_from_slice(self.content_type(None).as_bytes());
        let rest = format!(
            "\r\ncontent-length: {}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        bytes.extend_from_slice(rest.as_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

fn problem(said: &Said<'_>) -> String {
    let mut problem = json!({
        "type": "about:blank",
        "title": title(said.status),
        "status": said.status,
        "detail": said.detail,
        "cause": said.cause,
        "request_id": said.request_id,
    });
    if let Some(route) = said.route {
        problem["route"] = route.into();
    }
    problem.to_string()
}

/// The keys of Spring Boot's error attributes, in their order.
fn scg(said: &Said<'_>, compat: Compat) -> String {
    let end = match compat {
        Compat::V4 => "+00:00",
        Compat::V5 => "Z",
    };
    let text = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "{{\"timestamp\":\"{}{end}\",\"path\":{},\"status\":{},\"error\":{},\"requestId\":{}}}",
        milliseconds(&now_rfc3339()),
        text(said.path),
        said.status,
        text(title(said.status)),
        text(said.request_id),
    )
}

/// A time without what is finer than milliseconds, and without its zone, which is UTC.
fn milliseconds(time: &str) -> &str {
    const LENGTH: usize = "2026-11-29T06:35:12.123".len();
    time.get(..LENGTH).unwrap_or(time)
}

fn value<'v>(said: &Said<'v>, field: ErrorField) -> Cow<'v, str> {
    match field {
        ErrorField::Status => said.status.to_string().into(),
        ErrorField::Title => title(said.status).into(),
        ErrorField::Code => said.cause.into(),
        ErrorField::Message => said.detail.into(),
        ErrorField::RequestId => said.request_id.into(),
        ErrorField::Path => said.path.into(),
        ErrorField::Method => said.method.into(),
        ErrorField::Route => said.route.unwrap_or_default().into(),
        ErrorField::Time => format!("{}Z", milliseconds(&now_rfc3339())).into(),
        ErrorField::TimeMs => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.unwrap_or_default().as_millis().to_string().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use pailou_config::ErrorTemplate;

    use super::*;

    fn said() -> Said<'static> {
        Said {
            status: 502,
            cause: "connect_failed",
            detail: "the endpoint refused the connection",
            request_id: "id-1",
            path: "/a",
            method: "GET",
            route: Some("a \"route\""),
        }
    }

    fn read(bytes: &[u8]) -> serde_json::Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn a_problem_says_what_happened_and_where() {
        let shape = Shape::new(ErrorBodies::Problem, Compat::V4);
        assert_eq!(
            read(&shape.body(None, &said())),
            json!({
                "type": "about:blank",
                "title": "Bad Gateway",
                "status": 502,
                "detail": "the endpoint refused the connection",
                "cause": "connect_failed",
                "request_id": "id-1",
                "route": "a \"route\"",
            })
        );
    }

    #[test]
    fn springs_shape_has_its_keys_in_its_order() {
        for (compat, end) in [(Compat::V4, "+00:00"), (Compat::V5, "Z")] {
            let shape = Shape::new(ErrorBodies::Scg, compat);
            assert_eq!(shape.content_type(None), "application/json");
            let body = String::from_utf8(shape.body(None, &said())).expect("UTF-8");
            let (time, rest) = body.split_at(body.find("\",").expect("a time"));
            let time = time.strip_prefix("{\"timestamp\":\"").expect("a time");
            assert_eq!(
                time.len(),
                "2026-11-22T04:26:21.779".len() + end.len(),
                "{time}"
            );
            assert!(time.ends_with(end), "{time}");
            assert_eq!(
                rest,
                "\",\"path\":\"/a\",\"status\":502,\"error\":\"Bad Gateway\",\"requestId\":\"id-1\"}"
            );
        }
    }

    #[test]
    fn a_template_gets_every_field() {
        let text = r#"{"s":{status},"t":"{title}","c":"{code}","m":"{message}","i":"{request_id}","p":"{path}","v":"{method}","r":"{route}","at":"{time}","ms":{time_ms}}"#;
        let template = ErrorTemplate::parse(text, "application/json").expect("a template");
        let shape = Shape::new(ErrorBodies::Template(template), Compat::V4);
        let mut body = read(&shape.body(None, &said()));
        let at = body["at"].take();
        assert_eq!(
            at.as_str().map(str::len),
            Some("2026-11-22T04:26:21.779Z".len())
        );
        assert!(body["ms"].take().as_u64() > Some(1_600_000_000_000));
        assert_eq!(
            body,
            json!({
                "s": 502, "t": "Bad Gateway", "c": "connect_failed", "m": "the endpoint refused the connection",
                "i": "id-1", "p": "/a", "v": "GET", "r": "a \"route\"", "at": null, "ms": null,
            })
        );
    }

    #[test]
    fn a_route_may_have_a_shape_of_its_own() {
        let shape = Shape::new(ErrorBodies::Problem, Compat::V5);
        let own = ErrorShape::new(ErrorBodies::Scg);
        assert_eq!(shape.content_type(Some(&own)), "application/json");
        let body = read(&shape.body(Some(&own), &said()));
        assert_eq!(body["requestId"], "id-1");
        assert!(body["timestamp"].as_str().expect("a time").ends_with('Z'));
    }

    #[test]
    fn a_bare_answer_is_a_whole_response() {
        let template =
            ErrorTemplate::parse("{status} {code} [{path}]", "text/plain").expect("a template");
        for (bodies, kind) in [
            (ErrorBodies::Problem, "application/problem+json"),
            (ErrorBodies::Template(template), "text/plain"),
        ] {
            let shape = Shape::new(bodies, Compat::V4);
            let bytes = shape.bare(Cause::HeadTimeout, &RequestId::new());
            let text = String::from_utf8(bytes).expect("ASCII");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(
                head.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
                "{head}"
            );
            for line in [
                format!("content-length: {}\r\n", body.len()),
                format!("content-type: {kind}\r\n"),
            ] {
                assert!(head.contains(&line), "{head}");
            }
            assert!(body.contains("head_timeout"), "{body}");
            assert!(!body.contains("\"route\""), "no route is known: {body}");
        }
    }
}
