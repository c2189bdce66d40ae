//! Replaces text in the body of a response.

use bytes::Bytes;
use http::header;
use pailou_config::Field;
use regex::bytes::{Regex, RegexBuilder};

use crate::list::elements;
use crate::{Body, RequestHead, ResponseHead, header as fields, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::body(
    "rewrite_body",
    "{ regex: 'http://(\\w+)', replacement: 'https://$1', max_bytes: 1MiB, content_types: [text/, application/json] }",
    "Replaces each match in the bodies of these types. A body longer than `max_bytes` is 502.",
    compile,
);

const DEFAULT_MAX_BYTES: u64 = 1 << 20;

/// The largest `max_bytes`. A longer text should not be rewritten by a gateway.
const MOST_BYTES: u64 = 64 << 20;

/// Beginnings of content types whose bodies are text.
const TEXTS: [&str; 5] = [
    "text/",
    "application/json",
    "application/xml",
    "application/javascript",
    "application/xhtml+xml",
];

/// A stream of events has no end to wait for.
const EVENTS: &[u8] = b"text/event-stream";

/// Compiled size of the expression.
const MAX_REGEX_BYTES: usize = 256 << 10;

/// Matches are searched in bytes, so that a body that is not UTF-8 passes.
/// The endpoint is asked for a body without compression; one that it compresses
/// all the same is left alone.
///
/// Cost: the whole body in memory, twice while it is rewritten.
#[derive(Debug)]
struct RewriteBody {
    regex: Regex,
    replacement: Vec<u8>,
    max_bytes: usize,
    content_types: Vec<String>,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Body>> {
    let mut fields = field.mapping()?;
    let regex = fields.required("regex").and_then(|field| regex(&field));
    let replacement = fields
        .required("replacement")
        .and_then(|field| field.string());
    let max_bytes = match fields.optional("max_bytes") {
        Some(size) => size.size(1..=MOST_BYTES),
        None => Some(DEFAULT_MAX_BYTES),
    };
    let content_types = match fields.optional("content_types") {
        Some(list) => list.string_list(),
        None => Some(TEXTS.map(str::to_owned).to_vec()),
    };
    fields.finish();
    Some(Box::new(RewriteBody {
        regex: regex?,
        replacement: replacement?.into_bytes(),
        max_bytes: usize::try_from(max_bytes?).ok()?,
        content_types: content_types?,
    }))
}

fn regex(field: &Field<'_>) -> Option<Regex> {
    let text = field.string()?;
    let compiled = RegexBuilder::new(&text).size_limit(MAX_REGEX_BYTES).build();
    match compiled {
        Ok(regex) if regex.is_match(b"") => {
            field.fault("the expression matches nothing at all, everywhere");
            None
        }
        Ok(regex) => Some(regex),
        Err(error) => {
            field.fault(format!("not a regular expression: {error}"));
            None
        }
    }
}

impl Body for RewriteBody {
    fn request(&self, head: &mut RequestHead<'_>) {
        fields::ask_for_plain_and_all(head.headers);
    }

    fn wants(&self, head: &ResponseHead<'_>) -> Option<usize> {
        let content_type = head.headers.get(header::CONTENT_TYPE)?.as_bytes();
        let begins = |with: &[u8]| {
            content_type.len() >= with.len()
                && content_type[..with.len()].eq_ignore_ascii_case(with)
        };
        let is_text = self
            .content_types
            .iter()
            .any(|beginning| begins(beginning.as_bytes()));
        let is_plain = elements(head.headers, &header::CONTENT_ENCODING)
            .all(|coding| coding.eq_ignore_ascii_case(b"identity"));
        (is_text && is_plain && !begins(EVENTS)).then_some(self.max_bytes)
    }

    fn rewrite(&self, head: &mut ResponseHead<'_>, body: Bytes) -> Bytes {
        let rewritten = self.regex.replace_all(&body, self.replacement.as_slice());
        let std::borrow::Cow::Owned(rewritten) = rewritten else {
            return body;
        };
        fields::drop_of_the_body(head.headers);
        Bytes::from(rewritten)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;
    use crate::Step;
    use crate::registry::tests::facts;
    use crate::registry::tests::{request_head, step};

    fn compiled(args: &str) -> Result<Box<dyn Body>, String> {
        match step("rewrite_body", args)? {
            Step::Body(body) => Ok(body),
            other => panic!("not a body step: {other:?}"),
        }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    name.parse().expect("a name"),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn every_match_is_replaced() {
        for (args, body, expected) in [
            (
                r"{ regex: 'http://(\w+)', replacement: 'https://$1' }",
                "a http://b c http://d",
                "a https://b c https://d",
            ),
            ("{ regex: 你, replacement: 好 }", "你x你", "好x好"),
            ("{ regex: x+, replacement: '' }", "axxb", "ab"),
            ("{ regex: x+, replacement: y }", "ab", "ab"),
        ] {
            let step = compiled(args).expect(args);
            let mut headers = headers(&[("etag", "\"1\"")]);
            let mut head = ResponseHead {
                facts: facts(),
                note: None,
                status: StatusCode::OK,
                headers: &mut headers,
            };
            let rewritten = step.rewrite(&mut head, Bytes::from(body));
            assert_eq!(rewritten, expected, "{args}");
            let is_same = body == expected;
            assert_eq!(headers.contains_key("etag"), is_same, "{args}");
        }
    }

    #[test]
    fn only_plain_text_is_wanted() {
        let step = compiled("{ regex: a, replacement: b, max_bytes: 10 }").expect("legal");
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[("content-type", "text/html; charset=utf-8")], true),
            (&[("content-type", "Application/JSON")], true),
            (&[("content-type", "text/event-stream")], false),
            (&[("content-type", "image/png")], false),
            (
                &[("content-type", "text/plain"), ("content-encoding", "gzip")],
                false,
            ),
            (
                &[
                    ("content-type", "text/plain"),
                    ("content-encoding", "identity"),
                ],
                true,
            ),
            (&[], false),
        ];
        for (fields, wanted) in cases {
            let mut headers: HeaderMap = fields
                .iter()
                .map(|(name, value)| {
                    let value = HeaderValue::from_str(value).expect("a value");
                    (name.parse().expect("a name"), value)
                })
                .collect();
            let head = ResponseHead {
                facts: facts(),
                note: None,
                status: StatusCode::OK,
                headers: &mut headers,
            };
            assert_eq!(step.wants(&head), wanted.then_some(10), "{fields:?}");
        }
    }

    #[test]
    fn the_endpoint_is_asked_for_plain_text_and_all_of_it() {
        let step = compiled("{ regex: a, replacement: b }").expect("legal");
        let mut headers = headers(&[("accept-encoding", "gzip, br"), ("range", "bytes=0-1")]);
        step.request(&mut request_head("/", &mut headers));
        assert_eq!(headers["accept-encoding"], "identity");
        assert!(!headers.contains_key("range"));
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (args, problem) in [
            ("{ regex: '(', replacement: b }", "not a regular expression"),
            ("{ regex: 'a*', replacement: b }", "matches nothing at all"),
            (
                "{ regex: '(\\w{200}){200}', replacement: b }",
                "not a regular",
            ),
            ("{ regex: a }", "`replacement` is missing"),
            ("{ regex: a, replacement: b, max_bytes: 1GiB }", "1GiB"),
            ("{ regex: a, replacement: b, limit: 1 }", "unknown key"),
        ] {
            let error = compiled(args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
