//! What clients get to read where the gateway answers with an error of its own.

use std::{fmt::Write as _, path::Path};

use super::kind::{Kind, yaml_text};
use crate::{field::Field, nearest};

/// The shape of the bodies of the gateway's own errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ErrorBodies {
    /// `application/problem+json` (RFC 9457).
    #[default]
    Problem,
    /// The JSON of Spring Cloud Gateway: `timestamp`, `path`, `status`, `error`, `requestId`.
    Scg,
    /// The operator's own.
    Template(ErrorTemplate),
}

/// A text with fields in braces, `{"code": {status}, "msg": "{message}"}`. A brace that no name of a field follows is a brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorTemplate {
    /// As it was written.
    pub text: String,
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The text in pieces.
    pub parts: Vec<ErrorPart>,
    /// How the values of fields are written.
    pub escape: ErrorEscape,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorPart {
    /// As it stands.
    Text(String),
    /// A value.
    Field(ErrorField),
}

/// What a template may say of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorField {
    /// The status: 404.
    Status,
    /// The words for it: `Not Found`.
    Title,
    /// The cause as metrics and logs have it: `no_route`.
    Code,
    /// The cause in a sentence.
    Message,
    /// The value of `X-Request-Id`.
    RequestId,
    /// The path without its query; empty where the request has none that can be read.
    Path,
    /// The method.
    Method,
    /// The id of the route; empty where there is none.
    Route,
    /// The time, as RFC 3339 has it, with milliseconds.
    Time,
    /// The same as milliseconds since 1970.
    TimeMs,
}

impl ErrorBodies {
    /// Reads a shape: its name, a template, or a mapping of `template` and `content_type`.
    pub fn read(field: &Field<'_>) -> Option<ErrorBodies> {
        ErrorBody.read(field, Path::new(""))
    }
}

/// How values are written into a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorEscape {
    /// As JSON escapes texts: `\"`.
    Json,
    /// As HTML and XML do: `&quot;`.
    Markup,
    /// As they are.
    Nothing,
}

const FIELDS: [(&str, ErrorField); 10] = [
    ("status", ErrorField::Status),
    ("title", ErrorField::Title),
    ("code", ErrorField::Code),
    ("message", ErrorField::Message),
    ("request_id", ErrorField::RequestId),
    ("path", ErrorField::Path),
    ("method", ErrorField::Method),
    ("route", ErrorField::Route),
    ("time", ErrorField::Time),
    ("time_ms", ErrorField::TimeMs),
];

/// A longer text is a page, and belongs to a service.
const MAX_BYTES: usize = 16 << 10;
const JSON: &str = "application/json";

impl ErrorEscape {
    fn of(content_type: &str) -> ErrorEscape {
        let kind = content_type.split(';').next().unwrap_or_default();
        let kind = kind.trim().to_ascii_lowercase();
        if kind == JSON || kind.ends_with("+json") {
            ErrorEscape::Json
        } else if kind == "text/html" || kind.ends_with("xml") {
            ErrorEscape::Markup
        } else {
            ErrorEscape::Nothing
        }
    }
}

impl ErrorTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it: a name in braces that no field has, or JSON that would be none.
    pub fn parse(text: &str, content_type: &str) -> Result<ErrorTemplate, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("more than {MAX_BYTES} bytes"));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, after) = (&rest[..at], &rest[at + 1..]);
            literal.push_str(before);
            let Some((name, behind)) = name_in(after) else {
                literal.push('{');
                rest = after;
                continue;
            };
            let known = FIELDS.iter().find(|(field, _)| *field == name);
            let Some((_, field)) = known else {
                return Err(unknown(name));
            };
            if !literal.is_empty() {
                parts.push(ErrorPart::Text(std::mem::take(&mut literal)));
            }
            parts.push(ErrorPart::Field(*field));
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(ErrorPart::Text(literal));
        }
        let template = ErrorTemplate {
            text: text.to_owned(),
            content_type: content_type.to_owned(),
            parts,
            escape: ErrorEscape::of(content_type),
        };
        template.check()?;
        Ok(template)
    }

    /// The text with these values in it.
    pub fn fill<'v>(&self, value: impl Fn(ErrorField) -> std::borrow::Cow<'v, str>) -> String {
        let mut filled = String::with_capacity(self.text.len() + 256);
        for part in &self.parts {
            match part {
                ErrorPart::Text(text) => filled.push_str(text),
                ErrorPart::Field(field) => self.escape.push(&mut filled, &value(*field)),
            }
        }
        filled
    }

    /// JSON must be JSON, whatever the values.
    fn check(&self) -> Result<(), String> {
        if self.escape != ErrorEscape::Json {
            return Ok(());
        }
        let sample = self.fill(|field| match field {
            ErrorField::Status => "404".into(),
            ErrorField::TimeMs => "1764400000000".into(),
            _ => "a \"text\"\\".into(),
        });
        match serde_json::from_str::<serde_json::Value>(&sample) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "is no JSON once its fields have values ({error}); texts need quotes around them"
            )),
        }
    }
}

/// The name at the beginning of a text, and what is behind its closing brace.
fn name_in(text: &str) -> Option<(&str, &str)> {
    let (name, behind) = text.split_once('}')?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!name.is_empty() && name.bytes().all(is_name)).then_some((name, behind))
}

fn unknown(name: &str) -> String {
    let names = FIELDS.map(|(name, _)| name);
    let meant = nearest(name, names).map(|meant| format!("; did you mean `{{{meant}}}`?"));
    format!(
        "`{{{name}}}` is no field of errors{}",
        meant.unwrap_or_default()
    )
}

impl ErrorEscape {
    fn push(self, out: &mut String, value: &str) {
        match self {
            ErrorEscape::Nothing => out.push_str(value),
            ErrorEscape::Markup => value.chars().for_each(|character| match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                other => out.push(other),
            }),
            ErrorEscape::Json => value.chars().for_each(|character| match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                // Writing to a String cannot fail.
                control if control.is_control() => {
                    let _ = write!(out, "\\u{:04x}", u32::from(control));
                }
                other => out.push(other),
            }),
        }
    }
}

/// A name of a shape, a template, or a template with its content type.
pub(super) struct ErrorBody;

impl Kind for ErrorBody {
    type Value = ErrorBodies;

    fn describe(&self) -> String {
        let fields = FIELDS.map(|(name, _)| format!("`{{{name}}}`"));
        format!(
            "`problem`, `scg`, or a template in quotes with {}, or a mapping of `template` and `content_type`",
            fields.join(", ")
        )
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<ErrorBodies> {
        if field.is_mapping() {
            let mut fields = field.mapping()?;
            let template = fields.required("template");
            let kind = fields.optional("content_type");
            fields.finish();
            let kind = match kind {
                Some(kind) => content_type(&kind)?,
                None => JSON.to_owned(),
            };
            return self.template(&template?, &kind);
        }
        match field.string()?.as_str() {
            "problem" => Some(ErrorBodies::Problem),
            "scg" => Some(ErrorBodies::Scg),
            text if text.contains('{') => self.template(field, JSON),
            _ => {
                field.fault_expected(field.quoted(), self.describe());
                None
            }
        }
    }

    fn write(&self, value: &ErrorBodies) -> Option<String> {
        Some(match value {
            ErrorBodies::Problem => "problem".to_owned(),
            ErrorBodies::Scg => "scg".to_owned(),
            ErrorBodies::Template(template) => format!(
                "{{ template: {}, content_type: {} }}",
                yaml_text(&template.text),
                yaml_text(&template.content_type)
            ),
        })
    }
}

impl ErrorBody {
    fn template(&self, field: &Field<'_>, content_type: &str) -> Option<ErrorBodies> {
        match ErrorTemplate::parse(&field.string()?, content_type) {
            Ok(template) => Some(ErrorBodies::Template(template)),
            Err(problem) => {
                field.fault(problem);
                None
            }
        }
    }
}

/// The value of a header.
fn content_type(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    let is_legal = |byte: u8| (b' '..=b'~').contains(&byte);
    if !text.contains('/') || !text.bytes().all(is_legal) {
        field.fault_expected(
            field.quoted(),
            "a content type, such as `text/plain; charset=utf-8`",
        );
        return None;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn value(field: ErrorField) -> Cow<'static, str> {
        match field {
            ErrorField::Status => "404".into(),
            ErrorField::Path => "/a\"\\\u{1}<b>&'é".into(),
            ErrorField::Message => "no route".into(),
            _ => "x".into(),
        }
    }

    #[test]
    fn a_template_is_text_with_fields_in_braces() {
        for (text, kind, filled) in [
            (
                "{\"code\": {status}, \"msg\": \"{message}\", \"data\": {}, \"p\": \"{path}\"}",
                JSON,
                "{\"code\": 404, \"msg\": \"no route\", \"data\": {}, \"p\": \"/a\\\"\\\\\\u0001<b>&'é\"}",
            ),
            ("{status} {path}", "text/plain", "404 /a\"\\\u{1}<b>&'é"),
            (
                "<p id='{path}'>",
                "Text/HTML; charset=utf-8",
                "<p id='/a&quot;\\\u{1}&lt;b&gt;&amp;&#39;é'>",
            ),
            ("nothing of it", "text/plain", "nothing of it"),
            ("{ status }{", "text/plain", "{ status }{"),
        ] {
            let template = ErrorTemplate::parse(text, kind).expect(text);
            assert_eq!(template.fill(value), filled, "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, kind, problem) in [
            ("{\"code\": {statuss}}", JSON, "did you mean `{status}`?"),
            ("{\"msg\": {message}}", JSON, "texts need quotes"),
            (
                "{\"msg\": \"{message}\"",
                "application/x+json",
                "is no JSON",
            ),
            ("{query}", "text/plain", "`{query}` is no field"),
        ] {
            let error = ErrorTemplate::parse(text, kind).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
        let long = "x".repeat(MAX_BYTES + 1);
        assert!(ErrorTemplate::parse(&long, "text/plain").is_err());
    }
}
