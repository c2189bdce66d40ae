//! `RemoveJsonAttributesResponseBody`: JSON answers lack some attributes.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use pailou_config::{ScgArgs, Shortcut};

use super::json;
use crate::{Body, RequestHead, ResponseHead, Scope, Step, header, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RemoveJsonAttributesResponseBody",
    "fieldList, deleteRecursively (false)",
    "Removes attributes from the JSON body of a response, at the top or, with `true` at the end, everywhere.",
    Shortcut::ListThenFlag("fieldList", "deleteRecursively"),
    compile,
);

/// The longest body that is read. Spring's default is 256 KB.
const MAX_BYTES: usize = 1 << 20;

const JSON: &[u8] = b"application/json";

/// A body that says that it is JSON and is none may hold what is to be removed:
/// the answer is 502 then, as it is where the body is too long.
///
/// Cost: the whole body in memory, twice while it is cut.
#[derive(Debug)]
struct RemoveJsonAttributes {
    names: Vec<String>,
    deep: bool,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let names: Vec<_> = args
        .list("fieldList")
        .iter()
        .map(|arg| arg.text().to_owned())
        .collect();
    if names.is_empty() {
        args.whole().fault_expected(
            "no attribute is named",
            "names of attributes, separated by commas",
        );
        return None;
    }
    let deep = match args.get("deleteRecursively") {
        Some(flag) => flag.boolean()?,
        None => false,
    };
    Some(vec![Step::Body(Box::new(RemoveJsonAttributes {
        names,
        deep,
    }))])
}

impl Body for RemoveJsonAttributes {
    fn request(&self, head: &mut RequestHead<'_>) {
        header::ask_for_plain_and_all(head.headers);
    }

    fn wants(&self, head: &ResponseHead<'_>) -> Option<usize> {
        let content_type = head.headers.get(CONTENT_TYPE)?.as_bytes();
        let kind = content_type.split(|byte| *byte == b';').next()?;
        kind.trim_ascii()
            .eq_ignore_ascii_case(JSON)
            .then_some(MAX_BYTES)
    }

    fn rewrite(&self, head: &mut ResponseHead<'_>, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        let cut = json::without(&body, &self.names, self.deep);
        if cut.as_deref() == Some(&body[..]) {
            return body;
        }
        header::drop_of_the_body(head.headers);
        let Some(cut) = cut else {
            head.headers.remove(CONTENT_TYPE);
            head.headers.remove(CONTENT_ENCODING);
            head.status = StatusCode::BAD_GATEWAY;
            return Bytes::new();
        };
        Bytes::from(cut)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use crate::registry::tests::{facts, step};
    use crate::scg::testing::headers;
    use crate::{Body, ResponseHead, Step};

    fn body(args: &str) -> Box<dyn Body> {
        match step("RemoveJsonAttributesResponseBody", args).expect(args) {
            Step::Body(body) => body,
            other => panic!("not a body step: {other:?}"),
        }
    }

    fn rewritten(args: &str, text: &'static str, headers: &mut HeaderMap) -> (u16, Bytes) {
        let mut head = ResponseHead {
            facts: facts(),
            note: None,
            status: StatusCode::OK,
            headers,
        };
        let after = body(args).rewrite(&mut head, Bytes::from(text));
        (head.status.as_u16(), after)
    }

    #[test]
    fn attributes_go() {
        const TEXT: &str = r#"{"id":1,"secret":"s","nested":{"secret":"t"},"list":[1,2]}"#;
        for (args, expected) in [
            ("'secret,list'", r#"{"id":1,"nested":{"secret":"t"}}"#),
            ("'secret,true'", r#"{"id":1,"nested":{},"list":[1,2]}"#),
            (
                "{ fieldList: [secret], deleteRecursively: 'true' }",
                r#"{"id":1,"nested":{},"list":[1,2]}"#,
            ),
        ] {
            let mut fields = headers(&[("etag", "1")]);
            let (status, after) = rewritten(args, TEXT, &mut fields);
            assert_eq!((status, &after[..]), (200, expected.as_bytes()), "{args}");
            assert!(fields.is_empty(), "it speaks of another body");
        }
    }

    #[test]
    fn a_body_that_cannot_be_cut_is_kept_back() {
        let mut fields = headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ]);
        let (status, after) = rewritten("secret", "not json", &mut fields);
        assert_eq!((status, after.len()), (502, 0));
        assert!(fields.is_empty());
        assert_eq!(rewritten("secret", "", &mut fields).0, 200);
        assert_eq!(rewritten("secret", "[1]", &mut fields).1, "[1]");
    }

    #[test]
    fn only_json_is_read() {
        for (content_type, is_wanted) in [
            ("application/json", true),
            ("Application/JSON;charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonx", false),
        ] {
            let mut fields = headers(&[("content-type", content_type)]);
            let head = ResponseHead {
                facts: facts(),
                note: None,
                status: StatusCode::OK,
                headers: &mut fields,
            };
            assert_eq!(
                body("secret").wants(&head).is_some(),
                is_wanted,
                "{content_type}"
            );
        }
    }

    #[test]
    fn something_has_to_be_removed() {
        step("RemoveJsonAttributesResponseBody", "true").expect_err("no name");
        step("RemoveJsonAttributesResponseBody", "~").expect_err("no name");
    }
}
