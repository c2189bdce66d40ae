//! One line per request.

use std::fmt::Write;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::escape::{cut, escape_into};
use crate::events::RequestDone;
use crate::lines::Lines;

/// A path longer than this is cut in the log: a line has a bound.
const MAX_PATH_BYTES: usize = 1024;
/// The same for a request id, which a client may choose.
const MAX_ID_BYTES: usize = 128;

/// Where access-log lines go: a bounded queue in front of one writer thread, or nowhere. Cheap to clone.
///
/// Writing never blocks: when the queue is full the line is dropped and `pailou_access_log_dropped_total` counts it.
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    out: Option<(Lines, Style)>,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    Json,
}

impl AccessLog {
    /// An access log that keeps nothing and costs nothing.
    pub fn off() -> AccessLog {
        AccessLog::default()
    }

    pub(crate) fn new(lines: Lines, style: Style) -> AccessLog {
        AccessLog {
            out: Some((lines, style)),
        }
    }

    pub(crate) fn write(&self, request: &RequestDone<'_>) {
        if let Some((lines, style)) = &self.out {
            lines.push(line(*style, request).into_bytes());
        }
    }
}

fn line(style: Style, request: &RequestDone<'_>) -> String {
    let mut out = String::with_capacity(384);
    match style {
        Style::Text => text_line(&mut out, request),
        Style::Json => json_line(&mut out, request),
    }
    out.push('\n');
    out
}

fn json_line(out: &mut String, request: &RequestDone<'_>) {
    out.push_str("{\"timestamp\":\"");
    time(out);
    out.push('"');
    for_each_field(request, |name, value| {
        out.push_str(",\"");
        out.push_str(name);
        out.push_str("\":");
        match value {
            Value::Text(text) => {
                out.push('"');
                escape_into(out, text);
                out.push('"');
            }
            Value::Number(number) => number.push_to(out),
        }
    });
    out.push('}');
}

fn text_line(out: &mut String, request: &RequestDone<'_>) {
    time(out);
    for_each_field(request, |name, value| {
        out.push(' ');
        // The first three say what they are by their place, as in every access log.
        if !matches!(name, "method" | "path" | "status") {
            out.push_str(name);
            out.push('=');
        }
        match value {
            Value::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                out.push('"');
                escape_into(out, text);
                out.push('"');
            }
            Value::Text(text) => escape_into(out, text),
            Value::Number(number) => number.push_to(out),
        }
    });
}

enum Value<'a> {
    Text(&'a str),
    Number(Number),
}

#[derive(Clone, Copy)]
enum Number {
    Whole(u64),
    Milliseconds(f64),
}

impl Number {
    fn push_to(self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Number::Whole(number) => write!(out, "{number}"),
            Number::Milliseconds(number) => write!(out, "{number:.3}"),
        };
    }
}

/// Hands out the fields in the order of the line; what is not known is left out.
fn for_each_field(request: &RequestDone<'_>, mut field: impl FnMut(&'static str, Value<'_>)) {
    // The query may carry secrets: whatever the caller passes, only the path is written.
    let path = request.path.split('?').next().unwrap_or_default();
    field("method", Value::Text(cut(request.method, 32)));
    field("path", Value::Text(cut(path, MAX_PATH_BYTES)));
    field(
        "status",
        Value::Number(Number::Whole(request.status.into())),
    );
    let milliseconds = request.duration.as_secs_f64() * 1000.0;
    field(
        "duration_ms",
        Value::Number(Number::Milliseconds(milliseconds)),
    );
    if let Some(route) = request.route {
        field("route", Value::Text(route.route()));
        field("service", Value::Text(route.service()));
    }
    let mut address = String::new();
    if let Some(upstream) = request.upstream {
        // Writing to a String cannot fail.
        let _ = write!(address, "{upstream}");
        field("upstream", Value::Text(&address));
    }
    field("tries", Value::Number(Number::Whole(request.tries.into())));
    if let Some(cause) = request.cause {
        field("cause", Value::Text(cause));
    }
    if let Some(client) = request.client {
        address.clear();
        // Writing to a String cannot fail.
        let _ = write!(address, "{client}");
        field("client", Value::Text(&address));
    }
    field("bytes_in", Value::Number(Number::Whole(request.bytes_in)));
    field("bytes_out", Value::Number(Number::Whole(request.bytes_out)));
    field(
        "request_id",
        Value::Text(cut(request.request_id, MAX_ID_BYTES)),
    );
}

fn time(out: &mut String) {
    // It fails only when the sink does, and a String does not.
    let _ = SystemTime.format_time(&mut Writer::new(out));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Metrics;

    fn request<'a>(path: &'a str, id: &'a str) -> RequestDone<'a> {
        RequestDone {
            route: None,
            method: "GET",
            path,
            status: 502,
            cause: Some("connect_refused"),
            request_id: id,
            client: Some("192.0.2.7".parse().unwrap()),
            upstream: Some("127.0.0.1:8081".parse().unwrap()),
            tries: 2,
            duration: Duration::from_micros(1500),
            bytes_in: 3,
            bytes_out: 4,
        }
    }

    #[test]
    fn the_json_line_is_json_with_every_known_field() {
        let metrics = Metrics::new();
        let route = metrics.route("users", "DEFAULT_GROUP@@user-service");
        let mut done = request("/api/\"users\"\r\n?token=secret", "id\u{1b}[2J");
        done.route = Some(&route);
        let line = line(Style::Json, &done);
        assert!(
            line.ends_with("}\n") && line.matches('\n').count() == 1,
            "{line}"
        );
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let timestamp = value["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with('Z'), "{timestamp}");
        assert_eq!(value["path"], "/api/\"users\"\r\n");
        assert_eq!(value["status"], 502);
        assert_eq!(value["duration_ms"], 1.5);
        assert_eq!(value["route"], "users");
        assert_eq!(value["service"], "DEFAULT_GROUP@@user-service");
        assert_eq!(value["upstream"], "127.0.0.1:8081");
        assert_eq!(value["cause"], "connect_refused");
        assert_eq!(value["tries"], 2);
        assert!(
            !line.contains("secret") && !line.contains('\u{1b}'),
            "{line}"
        );
    }

    #[test]
    fn the_text_line_escapes_and_quotes() {
        let line = line(Style::Text, &request("/a b\n", "x=1"));
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "GET \"/a b\\n\" 502 duration_ms=1.500 upstream=127.0.0.1:8081 tries=2 cause=connect_refused \
             client=192.0.2.7 bytes_in=3 bytes_out=4 request_id=\"x=1\"\n"
        );
    }

    #[test]
    fn a_long_path_is_cut() {
        let path = "/x".repeat(5000);
        assert!(line(Style::Json, &request(&path, "id")).len() < 2048);
    }
}
