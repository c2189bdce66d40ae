//! Answers with a fixed response.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pailou_config::Field;

use crate::{Answer, Edit, Next, RequestHead, header as fields, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::answer(
    "respond",
    "{ status: 503, body: 'closed', content_type: text/plain, headers: { retry-after: '60' } }",
    "Answers with this response. `status` is 200 unless set, the body empty, its type `text/plain; charset=utf-8`.",
    compile,
);

/// A longer text belongs into a service.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Cost: a copy of the header map; the body is shared.
#[derive(Debug)]
struct Respond(Answer);

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let mut fields = field.mapping()?;
    let status = match fields.optional("status") {
        Some(status) => status.integer(200..=599),
        None => Some(200),
    };
    let body = match fields.optional("body") {
        Some(body) => body_text(&body),
        None => Some(String::new()),
    };
    let content_type = match fields.optional("content_type") {
        Some(content_type) => fields::value(&content_type),
        None => Some(HeaderValue::from_static("text/plain; charset=utf-8")),
    };
    let more = match fields.optional("headers") {
        Some(headers) => more_headers(&headers),
        None => Some(Vec::new()),
    };
    fields.finish();
    let (status, body) = (u16::try_from(status?).ok()?, body?);
    let mut answer = Answer {
        status: StatusCode::from_u16(status).ok()?,
        ..Answer::default()
    };
    if !body.is_empty() {
        let (type_, none) = (content_type?, matches!(status, 204 | 205 | 304));
        if none {
            field.fault(format!("a response {status} has no body"));
            return None;
        }
        answer.headers.insert(header::CONTENT_TYPE, type_);
    }
    answer.headers.extend(more?);
    answer.body = Bytes::from(body);
    Some(Box::new(Respond(answer)))
}

fn body_text(field: &Field<'_>) -> Option<String> {
    let body = field.string()?;
    if body.len() > MAX_BODY_BYTES {
        field.fault_expected(
            format!("a body of {} bytes", body.len()),
            format!("at most {MAX_BODY_BYTES} bytes"),
        );
        return None;
    }
    Some(body)
}

fn more_headers(field: &Field<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let entries = field.entries()?;
    let count = entries.len();
    let headers: Vec<_> = entries
        .into_iter()
        .filter_map(|(key, field)| {
            let name = fields::name_of(&key.text, &field, fields::Way::Response);
            Some((name?, fields::value(&field)?))
        })
        .collect();
    (headers.len() == count).then_some(headers)
}

impl Edit for Respond {
    fn request(&self, _head: &mut RequestHead<'_>) -> Next {
        Next::Answer(Box::new(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::{compiled, request_head};

    fn answer(args: &str) -> Answer {
        let edit = compiled("respond", args).expect(args);
        match edit.request(&mut request_head("/", &mut HeaderMap::new())) {
            Next::Answer(answer) => *answer,
            next => panic!("it answers: {next:?}"),
        }
    }

    #[test]
    fn it_answers_what_it_is_told() {
        let answer = answer(
            "{ status: 503, body: closed, content_type: text/html, headers: { Retry-After: '60' } }",
        );
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body, "closed");
        assert_eq!(answer.headers["content-type"], "text/html");
        assert_eq!(answer.headers["retry-after"], "60");
    }

    #[test]
    fn nothing_is_an_empty_200() {
        let answer = answer("{}");
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        assert!(answer.headers.is_empty());
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for (args, problem) in [
            ("{ status: 101 }", "101"),
            ("{ status: 600 }", "600"),
            ("{ status: 204, body: x }", "has no body"),
            (
                "{ headers: { content-length: '1' } }",
                "no filter may change it",
            ),
            ("{ headers: { 'a b': x } }", "not a header name"),
            ("{ content_type: \"a\\nb\" }", "not a header value"),
            ("{ text: x }", "unknown key"),
        ] {
            let error = compiled("respond", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
        let long = format!("{{ body: {} }}", "a".repeat(MAX_BODY_BYTES + 1));
        compiled("respond", &long).expect_err("too long");
    }
}
