//! gRPC: its deadlines, and the gateway's own errors as its clients read them
//! (the protocol: gRPC over HTTP/2).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pailou_filters::Answer;

use crate::cause::{self, Cause};

const CONTENT_TYPE: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The longest deadline that a client can ask for: eight digits of hours.
const MAX_DIGITS: usize = 8;

/// Whether the request is a gRPC call. gRPC-Web is another protocol, whose
/// clients read HTTP.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let value = value.as_bytes();
    let (Some(name), after) = (
        value.get(..CONTENT_TYPE.len()),
        value.get(CONTENT_TYPE.len()),
    ) else {
        return false;
    };
    name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
        && matches!(after, None | Some(b'+' | b';' | b' '))
}

/// How long the client gives its call (`grpc-timeout`). A malformed value is left to
/// the endpoint, which refuses it.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (unit, digits) = (
        text.chars().last()?,
        text.get(..text.len().checked_sub(1)?)?,
    );
    let is_number = (1..=MAX_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok()).flatten()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 3600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Counts the messages of a body as its pieces pass. A message is a byte of flags, four bytes of length, and its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Messages {
    begun: u32,
    /// Bytes that are left of the message.
    left: u32,
    /// How many bytes of the next prefix have come, and the length as far as it has come.
    prefix: u8,
    length: u32,
}

impl Messages {
    const PREFIX: u8 = 5;

    /// Takes the next piece. Once there are several messages, pieces are not read any more.
    pub(crate) fn pass(&mut self, mut piece: &[u8]) {
        while let (false, [first, rest @ ..]) = (self.are_many(), piece) {
            if self.left > 0 {
                let taken = piece.len().min(self.left as usize);
                self.left -= taken as u32;
                piece = &piece[taken..];
                continue;
            }
            // The flags are shifted out by the length.
            self.length = self.length << 8 | u32::from(*first);
            self.prefix += 1;
            piece = rest;
            if self.prefix == Messages::PREFIX {
                self.begun += 1;
                self.left = self.length;
                self.prefix = 0;
            }
        }
    }

    /// Whether it is more than one.
    pub(crate) fn are_many(&self) -> bool {
        self.begun > 1
    }
}

/// A problem as a gRPC client reads it. The HTTP status is 200, and the trailers,
/// which stand in the head, say what happened.
pub(crate) fn refusal(cause: Cause, answer: &cause::Answer) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(STATUS, HeaderValue::from(status(cause, answer.status)));
    // The words of causes are plain ASCII, and so need no escapes.
    let message = format!("{}: {}", answer.cause, answer.detail);
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert(MESSAGE, message);
    }
    Answer {
        status: StatusCode::OK,
        headers,
        ..Answer::default()
    }
}

/// The gRPC status, by gRPC's table (http-grpc-status-mapping), or by the cause if
/// that says more.
fn status(cause: Cause, http: u16) -> u16 {
    const UNKNOWN: u16 = 2;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match cause {
        Cause::TotalTimeout
        | Cause::ResponseTimeout
        | Cause::CircuitTimeout
        | Cause::ReadTimeout => DEADLINE_EXCEEDED,
        Cause::BodyTooLarge | Cause::HeadTooLarge => RESOURCE_EXHAUSTED,
        _ => match http {
            400 | 431 => INTERNAL,
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502..=504 => UNAVAILABLE,
            _ => UNKNOWN,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).expect("a value"),
        )])
    }

    #[test]
    fn a_call_is_known_by_its_type() {
        for (content_type, is_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC;charset=x", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
            ("", false),
        ] {
            let headers = headers("content-type", content_type);
            assert_eq!(is_call(&headers), is_grpc, "{content_type}");
        }
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let message = |text: &str| {
            let mut bytes = vec![1];
            bytes.extend((text.len() as u32).to_be_bytes());
            bytes.extend(text.as_bytes());
            bytes
        };
        let long = "x".repeat(70_000);
        for (texts, are_many) in [
            (vec![], false),
            (vec![""], false),
            (vec![long.as_str()], false),
            (vec!["", ""], true),
            (vec![long.as_str(), "y"], true),
            (vec!["a", "b", "c"], true),
        ] {
            let body: Vec<u8> = texts.iter().flat_map(|text| message(text)).collect();
            for size in [1, 3, 5, 7, 65_536, 1 << 20] {
                let mut messages = Messages::default();
                body.chunks(size).for_each(|piece| messages.pass(piece));
                assert_eq!(messages.are_many(), are_many, "{} by {size}", texts.len());
            }
        }
    }

    #[test]
    fn a_deadline_has_up_to_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("2M", Some(Duration::from_secs(120))),
            ("1H", Some(Duration::from_secs(3600))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("0m", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1x", None),
            ("1.5S", None),
        ] {
            assert_eq!(timeout(&headers("grpc-timeout", text)), expected, "{text}");
        }
    }

    #[test]
    fn causes_become_statuses() {
        for (cause, expected) in [
            (Cause::NoRoute, 12),
            (Cause::ServiceEmpty, 14),
            (Cause::ConnectFailed, 14),
            (Cause::TotalTimeout, 4),
            (Cause::ResponseTimeout, 4),
            (Cause::BodyTooLarge, 8),
            (Cause::MalformedHead, 13),
            (Cause::Panic, 2),
        ] {
            let answer = cause.answer();
            let said = refusal(cause, &answer);
            assert_eq!(said.headers[STATUS], expected.to_string(), "{cause:?}");
            assert_eq!(said.status, StatusCode::OK);
        }
    }
}
