//! What a line can say of a request: names and values.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::ServiceLabels;
use crate::escape::cut;
use crate::events::RequestDone;

/// What is longer is cut in the log: a line has a bound.
const MAX_PATH_BYTES: usize = 1024;
const MAX_TEXT_BYTES: usize = 512;
const MAX_HOST_BYTES: usize = 255;
const MAX_ID_BYTES: usize = 128;
const MAX_METHOD_BYTES: usize = 32;

/// One thing that a line can say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    ClfTime,
    Client,
    Method,
    Scheme,
    Host,
    Port,
    Path,
    Version,
    Request,
    Status,
    BytesIn,
    BytesOut,
    Whole(Unit),
    FirstByte(Unit),
    Upstream(Unit),
    Route,
    Nacos,
    Namespace,
    Group,
    Service,
    Endpoint,
    Tries,
    FailedTries,
    Cause,
    Stream,
    User,
    UserAgent,
    Referrer,
    TraceId,
    RequestId,
}

/// In which unit a text has a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
}

use Field::*;
use Unit::{Milliseconds, Seconds};

/// Each field by its name in templates and in text.
const NAMED: [(&str, Field); 34] = [
    ("time", Time),
    ("clf_time", ClfTime),
    ("client", Client),
    ("method", Method),
    ("scheme", Scheme),
    ("host", Host),
    ("port", Port),
    ("path", Path),
    ("version", Version),
    ("request", Request),
    ("status", Status),
    ("bytes_in", BytesIn),
    ("bytes_out", BytesOut),
    ("duration_ms", Whole(Milliseconds)),
    ("duration_s", Whole(Seconds)),
    ("first_byte_ms", FirstByte(Milliseconds)),
    ("first_byte_s", FirstByte(Seconds)),
    ("upstream_ms", Upstream(Milliseconds)),
    ("upstream_s", Upstream(Seconds)),
    ("route", Route),
    ("nacos", Nacos),
    ("namespace", Namespace),
    ("group", Group),
    ("service", Service),
    ("upstream", Endpoint),
    ("tries", Tries),
    ("failed_tries", FailedTries),
    ("cause", Cause),
    ("stream", Stream),
    ("user", User),
    ("user_agent", UserAgent),
    ("referrer", Referrer),
    ("trace_id", TraceId),
    ("request_id", RequestId),
];

/// The names of the fields that a template can have, in braces.
pub static FIELDS: [&str; NAMED.len()] = crate::words::words(&NAMED);

/// What a request says for a field.
pub(super) enum Value<'a> {
    /// It is not known, or there is none.
    Nothing,
    Text(Cow<'a, str>),
    Number(u64),
    Duration(Duration),
    Ip(IpAddr),
    Address(SocketAddr),
}

impl Field {
    /// The field of that name.
    pub(super) fn named(name: &str) -> Option<Field> {
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, field)| *field)
    }

    /// Its value; `Nothing` for the two times and the request line, which the text writes by itself.
    pub(super) fn value<'a>(self, request: &RequestDone<'a>) -> Value<'a> {
        match self {
            Time | ClfTime | Field::Request => Value::Nothing,
            Client => request.client.map_or(Value::Nothing, Value::Ip),
            Method => text(cut(request.method, MAX_METHOD_BYTES)),
            Scheme => text(request.scheme),
            Host => request.host.map_or(Value::Nothing, |host| {
                bytes(split_port(host).0, MAX_HOST_BYTES)
            }),
            Port => port(request.host).map_or(Value::Nothing, |port| Value::Number(port.into())),
            Path => text(cut(without_query(request.path), MAX_PATH_BYTES)),
            Version => text(request.version),
            Status => match request.status {
                0 => Value::Nothing,
                status => Value::Number(status.into()),
            },
            BytesIn => Value::Number(request.bytes_in),
            BytesOut => Value::Number(request.bytes_out),
            Whole(_) => Value::Duration(request.duration),
            FirstByte(_) => request.first_byte.map_or(Value::Nothing, Value::Duration),
            Upstream(_) => {
                let upstream = request.upstream_duration;
                upstream.map_or(Value::Nothing, Value::Duration)
            }
            Route => text(request.route.map_or("", |route| route.route())),
            Nacos => of_service(request, |labels| &labels.nacos),
            Namespace => of_service(request, |labels| &labels.namespace),
            Group => of_service(request, |labels| &labels.group),
            Service => of_service(request, |labels| &labels.service),
            Endpoint => request.upstream.map_or(Value::Nothing, Value::Address),
            Tries => Value::Number(request.tries.into()),
            FailedTries => failed_tries(request),
            Cause => text(request.cause.unwrap_or_default()),
            Stream => text(request.stream.map_or("", |stream| stream.word())),
            User => text(cut(request.user.unwrap_or_default(), MAX_TEXT_BYTES)),
            UserAgent => request
                .user_agent
                .map_or(Value::Nothing, |agent| bytes(agent, MAX_TEXT_BYTES)),
            Referrer => request.referrer.map_or(Value::Nothing, |referrer| {
                let end = referrer.iter().position(|byte| matches!(byte, b'?' | b'#'));
                bytes(&referrer[..end.unwrap_or(referrer.len())], MAX_TEXT_BYTES)
            }),
            TraceId => text(request.trace_id.unwrap_or_default()),
            RequestId => text(cut(request.request_id, MAX_ID_BYTES)),
        }
    }
}

/// The tries that failed, one after the other. They are bounded, as tries are.
fn failed_tries<'a>(request: &RequestDone<'a>) -> Value<'a> {
    let tries = request.failed_tries.iter().map(ToString::to_string);
    match tries.collect::<Vec<_>>() {
        none if none.is_empty() => Value::Nothing,
        tries => Value::Text(Cow::Owned(tries.join(", "))),
    }
}

/// What is empty is not there.
fn text(text: &str) -> Value<'_> {
    match text {
        "" => Value::Nothing,
        text => Value::Text(Cow::Borrowed(text)),
    }
}

fn of_service<'a>(request: &RequestDone<'a>, part: fn(&'a ServiceLabels) -> &'a str) -> Value<'a> {
    text(request.route.map_or("", |route| part(route.service())))
}

fn bytes(bytes: &[u8], most: usize) -> Value<'_> {
    match String::from_utf8_lossy(&bytes[..bytes.len().min(most)]) {
        text if text.is_empty() => Value::Nothing,
        text => Value::Text(text),
    }
}

/// The query may carry secrets: whatever the caller passes, only the path is written.
fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

fn port(host: Option<&[u8]>) -> Option<u16> {
    std::str::from_utf8(split_port(host?).1).ok()?.parse().ok()
}

/// A host without the brackets of an IPv6 address, and its port.
fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    if let Some(rest) = host.strip_prefix(b"[")
        && let Some(end) = rest.iter().position(|byte| *byte == b']')
    {
        let port = rest[end + 1..].strip_prefix(b":");
        return (&rest[..end], port.unwrap_or_default());
    }
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) => (&host[..colon], &host[colon + 1..]),
        None => (host, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_its_port_are_two_fields() {
        for (host, name, expected) in [
            ("api.example.com", "api.example.com", None),
            ("api.example.com:8443", "api.example.com", Some(8443)),
            ("[2001:db8::1]:80", "2001:db8::1", Some(80)),
            ("[::1]", "::1", None),
            ("a:b", "a", None),
            ("[::1", "[:", Some(1)),
            ("", "", None),
        ] {
            let (found, _) = split_port(host.as_bytes());
            assert_eq!(found, name.as_bytes(), "{host}");
            assert_eq!(port(Some(host.as_bytes())), expected, "{host}");
        }
    }
}
