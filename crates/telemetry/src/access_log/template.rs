//! A line by a template: text with fields in braces.

use std::fmt::Write;
use std::sync::LazyLock;

use thiserror::Error;

use super::field::{Field, Unit, Value};
use super::time;
use crate::escape::escape_into;
use crate::events::RequestDone;

/// The format of Apache and nginx that most programs can read. There is no user; and no query, which may carry secrets.
const COMBINED: &str =
    "{client} - - [{clf_time}] \"{request}\" {status} {bytes_out} \"{referrer}\" \"{user_agent}\"";

/// The most parts of a template: a line has a bound.
const MAX_PARTS: usize = 128;
const MAX_BYTES: usize = 4096;

/// Stands where nothing is known.
const UNKNOWN: &str = "-";

/// What nginx notes when the client went away before it got an answer.
const CLIENT_CLOSED_REQUEST: &str = "499";

/// How a line of the access log looks: text with fields in braces, `{method} {path} {status}`. `{{` and `}}` are braces.
///
/// What is not known of a request is `-`. Quotes, backslashes and control characters in values are escaped as in JSON, so that a
/// field between quotes can be taken apart again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(Field),
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateFault {
    /// A name in braces is not one of [`FIELDS`](super::FIELDS).
    #[error("`{{{0}}}` is no field of the access log")]
    UnknownField(String),
    /// A brace has no partner.
    #[error("`{0}` has no partner; two of them stand for one")]
    LoneBrace(char),
    /// A line is one line.
    #[error("the template has a control character")]
    ControlCharacter,
    /// It says the same of every request.
    #[error("the template has no field")]
    NoField,
    /// It is longer than 4096 bytes, or has more than 128 parts.
    #[error("the template is too long")]
    TooLong,
}

impl AccessTemplate {
    /// The combined log format.
    pub fn combined() -> &'static AccessTemplate {
        static TEMPLATE: LazyLock<AccessTemplate> = LazyLock::new(|| {
            AccessTemplate::parse(COMBINED).expect("the fields of this template are known")
        });
        &TEMPLATE
    }

    /// Reads a template.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str) -> Result<AccessTemplate, TemplateFault> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(TemplateFault::ControlCharacter);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let brace = if rest[at..].starts_with('{') {
                '{'
            } else {
                '}'
            };
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push(brace);
                rest = after;
                continue;
            }
            let end = rest
                .find(['{', '}'])
                .filter(|end| rest[*end..].starts_with('}'));
            let (Some(end), '{') = (end, brace) else {
                return Err(TemplateFault::LoneBrace(brace));
            };
            let name = &rest[..end];
            let unknown = || TemplateFault::UnknownField(name.to_owned());
            let field = Field::named(name).ok_or_else(unknown)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field(field));
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if text.len() > MAX_BYTES || parts.len() > MAX_PARTS {
            return Err(TemplateFault::TooLong);
        }
        let has_field = parts.iter().any(|part| matches!(part, Part::Field(_)));
        has_field
            .then_some(AccessTemplate { parts })
            .ok_or(TemplateFault::NoField)
    }

    pub(super) fn write(&self, out: &mut String, request: &RequestDone<'_>) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Field(Field::Time) => time::rfc3339(out),
                Part::Field(Field::ClfTime) => time::clf(out),
                Part::Field(Field::Request) => request_line(out, request),
                Part::Field(Field::Status) if request.status == 0 => {
                    out.push_str(CLIENT_CLOSED_REQUEST);
                }
                Part::Field(field) => push(out, *field, field.value(request)),
            }
        }
    }

    /// Whether a file that begins so has such lines, by its first field and the text around that.
    pub(super) fn begins(&self, head: &[u8]) -> bool {
        let mut parts = self.parts.iter().peekable();
        let mut rest = head;
        if let Some(Part::Literal(text)) = parts.peek() {
            let Some(after) = rest.strip_prefix(text.as_bytes()) else {
                // Of a file that is shorter nothing else is known.
                return text.as_bytes().starts_with(head);
            };
            rest = after;
            parts.next();
        }
        let (Some(Part::Field(field)), next) = (parts.next(), parts.next()) else {
            return false;
        };
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let value = match next {
            Some(Part::Literal(text)) => match find(line, text.as_bytes()) {
                Some(end) => &line[..end],
                // It may end beyond what was read.
                None if line.len() == rest.len() => line,
                None => return false,
            },
            _ => line,
        };
        fits(*field, value)
    }
}

/// Whether the field can have that value.
fn fits(field: Field, value: &[u8]) -> bool {
    let all = |is_legal: fn(&u8) -> bool| value.iter().all(is_legal);
    if value.is_empty() || all(|byte| *byte == b'-') {
        return !value.is_empty();
    }
    match field {
        Field::Time => time::begins_with_date(value),
        Field::ClfTime => time::begins_with_clf(value),
        Field::Client | Field::Endpoint => {
            all(|byte| byte.is_ascii_hexdigit() || b".:[]".contains(byte))
        }
        Field::Method => all(u8::is_ascii_alphabetic),
        Field::Status
        | Field::Port
        | Field::Tries
        | Field::BytesIn
        | Field::BytesOut
        | Field::Whole(_)
        | Field::FirstByte(_)
        | Field::Upstream(_) => all(|byte| byte.is_ascii_digit() || *byte == b'.'),
        _ => !value.iter().any(u8::is_ascii_control),
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The first line of a request, without its query.
fn request_line(out: &mut String, request: &RequestDone<'_>) {
    if request.method.is_empty() {
        return out.push_str(UNKNOWN);
    }
    push(out, Field::Method, Field::Method.value(request));
    out.push(' ');
    push(out, Field::Path, Field::Path.value(request));
    out.push_str(match request.version {
        "" => "",
        "1.0" => " HTTP/1.0",
        "2" => " HTTP/2.0",
        _ => " HTTP/1.1",
    });
}

/// Writes a value as text.
pub(super) fn push(out: &mut String, field: Field, value: Value<'_>) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Nothing => out.write_str(UNKNOWN),
        Value::Number(number) => write!(out, "{number}"),
        Value::Duration(duration) => {
            let seconds = duration.as_secs_f64();
            match field {
                Field::Whole(Unit::Seconds)
                | Field::FirstByte(Unit::Seconds)
                | Field::Upstream(Unit::Seconds) => write!(out, "{seconds:.3}"),
                _ => write!(out, "{:.3}", seconds * 1e3),
            }
        }
        Value::Ip(ip) => write!(out, "{ip}"),
        Value::Address(address) => write!(out, "{address}"),
        Value::Text(text) => {
            escape_into(out, &text);
            Ok(())
        }
    };
}
