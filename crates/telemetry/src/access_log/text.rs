//! A line for people.

use super::field::{Field, Unit, Value};
use super::template::push;
use super::time;
use crate::escape::escape_into;
use crate::events::RequestDone;

/// What stands where in every access log, so that it needs no name.
const PLACED: [Field; 3] = [Field::Method, Field::Path, Field::Status];

/// What follows by name, where it is known.
const NAMED: [(&str, Field); 19] = [
    ("duration_ms", Field::Whole(Unit::Milliseconds)),
    ("upstream_ms", Field::Upstream(Unit::Milliseconds)),
    ("stream", Field::Stream),
    ("host", Field::Host),
    ("route", Field::Route),
    ("nacos", Field::Nacos),
    ("namespace", Field::Namespace),
    ("group", Field::Group),
    ("service", Field::Service),
    ("upstream", Field::Endpoint),
    ("tries", Field::Tries),
    ("failed_tries", Field::FailedTries),
    ("cause", Field::Cause),
    ("client", Field::Client),
    ("user", Field::User),
    ("bytes_in", Field::BytesIn),
    ("bytes_out", Field::BytesOut),
    ("trace_id", Field::TraceId),
    ("request_id", Field::RequestId),
];

/// What goes without saying.
const USUAL: [(Field, &str); 3] = [
    (Field::Nacos, "default"),
    (Field::Namespace, "public"),
    (Field::Group, "DEFAULT_GROUP"),
];

pub(super) fn write(out: &mut String, request: &RequestDone<'_>) {
    time::rfc3339(out);
    for field in PLACED {
        out.push(' ');
        quoted(out, field, field.value(request));
    }
    for (name, field) in NAMED {
        let value = field.value(request);
        let is_usual = matches!(&value, Value::Text(text) if USUAL.contains(&(field, text)));
        if is_usual || matches!(value, Value::Nothing) {
            continue;
        }
        for part in [" ", name, "="] {
            out.push_str(part);
        }
        quoted(out, field, value);
    }
}

fn quoted(out: &mut String, field: Field, value: Value<'_>) {
    match value {
        Value::Text(text) if text.contains([' ', '"', '=']) => {
            out.push('"');
            escape_into(out, &text);
            out.push('"');
        }
        value => push(out, field, value),
    }
}

/// Whether a file that begins so has such lines: they begin with the date.
pub(super) fn begins(head: &[u8]) -> bool {
    time::begins_with_date(head)
}
