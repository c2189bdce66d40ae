//! A line as one JSON object, with the names that log pipelines know.

use std::fmt::Write;

use super::AccessFields;
use super::field::{Field, Unit, Value};
use super::time;
use crate::escape::escape_into;
use crate::events::RequestDone;

/// How a line begins: with the time, by one name or the other.
const OTEL: &str = "{\"timestamp\":\"";
const ECS: &str = "{\"@timestamp\":\"";

/// What tells a line from the gateway's own events.
const OTEL_MARK: &str = "\",\"event.name\":\"pailou.access\"";
const ECS_MARK: &str = "\",\"event.dataset\":\"pailou.access\",\"ecs.version\":\"8.11.0\"";

/// The field, and its names in both schemas. What neither has a name for is called `pailou.` something.
const KEYS: [(Field, &str, &str); 28] = [
    (Field::Method, "http.request.method", "http.request.method"),
    (Field::Scheme, "url.scheme", "url.scheme"),
    (Field::Host, "server.address", "url.domain"),
    (Field::Port, "server.port", "url.port"),
    (Field::Path, "url.path", "url.path"),
    (Field::Version, "network.protocol.version", "http.version"),
    (
        Field::Status,
        "http.response.status_code",
        "http.response.status_code",
    ),
    (
        Field::Whole(Unit::Seconds),
        "http.server.request.duration",
        "event.duration",
    ),
    (
        Field::FirstByte(Unit::Seconds),
        "pailou.first_byte.duration",
        "pailou.first_byte.duration",
    ),
    (
        Field::Upstream(Unit::Seconds),
        "pailou.upstream.duration",
        "pailou.upstream.duration",
    ),
    (Field::Stream, "pailou.stream", "pailou.stream"),
    (Field::Route, "pailou.route", "pailou.route"),
    (Field::Nacos, "pailou.nacos", "pailou.nacos"),
    (Field::Namespace, "pailou.namespace", "pailou.namespace"),
    (Field::Group, "pailou.group", "pailou.group"),
    (Field::Service, "pailou.service", "pailou.service"),
    (
        Field::Endpoint,
        "pailou.upstream.address",
        "pailou.upstream.address",
    ),
    (Field::Tries, "pailou.tries", "pailou.tries"),
    (
        Field::FailedTries,
        "pailou.failed_tries",
        "pailou.failed_tries",
    ),
    (Field::Cause, "error.type", "error.type"),
    (Field::Client, "client.address", "client.ip"),
    (Field::User, "user.id", "user.id"),
    (
        Field::BytesIn,
        "http.request.body.size",
        "http.request.body.bytes",
    ),
    (
        Field::BytesOut,
        "http.response.body.size",
        "http.response.body.bytes",
    ),
    (
        Field::UserAgent,
        "user_agent.original",
        "user_agent.original",
    ),
    (
        Field::Referrer,
        "http.request.header.referer",
        "http.request.referrer",
    ),
    (Field::TraceId, "trace_id", "trace.id"),
    (Field::RequestId, "pailou.request.id", "http.request.id"),
];

/// Writes the line; what is not known is left out.
pub(super) fn write(out: &mut String, fields: AccessFields, request: &RequestDone<'_>) {
    let (begin, mark) = match fields {
        AccessFields::Otel => (OTEL, OTEL_MARK),
        AccessFields::Ecs => (ECS, ECS_MARK),
    };
    out.push_str(begin);
    time::rfc3339(out);
    out.push_str(mark);
    for (field, otel, ecs) in KEYS {
        let value = field.value(request);
        if matches!(value, Value::Nothing) {
            continue;
        }
        let key = match fields {
            AccessFields::Otel => otel,
            AccessFields::Ecs => ecs,
        };
        for part in [",\"", key, "\":"] {
            out.push_str(part);
        }
        // In OpenTelemetry a header is a list.
        let is_list = field == Field::Referrer && fields == AccessFields::Otel;
        out.push_str(if is_list { "[" } else { "" });
        push(out, fields, value);
        out.push_str(if is_list { "]" } else { "" });
    }
    out.push('}');
}

fn push(out: &mut String, fields: AccessFields, value: Value<'_>) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Nothing => Ok(()),
        Value::Number(number) => write!(out, "{number}"),
        Value::Duration(duration) => match fields {
            AccessFields::Otel => write!(out, "{:.6}", duration.as_secs_f64()),
            AccessFields::Ecs => write!(out, "{}", duration.as_nanos()),
        },
        Value::Ip(ip) => write!(out, "\"{ip}\""),
        Value::Address(address) => write!(out, "\"{address}\""),
        Value::Text(text) => {
            out.push('"');
            escape_into(out, &text);
            out.write_char('"')
        }
    };
}

/// Every name that a line can have.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().flat_map(|(_, otel, ecs)| [*otel, *ecs])
}

/// Whether a file that begins so has such lines.
pub(super) fn begins(head: &[u8]) -> bool {
    [OTEL, ECS]
        .iter()
        .any(|begin| head.starts_with(begin.as_bytes()) || begin.as_bytes().starts_with(head))
}
