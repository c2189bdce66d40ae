//! Answers with a redirect.

use http::{HeaderValue, StatusCode, header};
use pailou_config::Field;

use crate::{Answer, Edit, Next, RequestHead, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::answer(
    "redirect",
    "{ status: 308, to: 'https://shop.example{target}' }",
    "Answers with a redirect; `{target}` in `to` is path and query, `{path}` the path alone. `status` is 302 unless set.",
    compile,
);

/// The statuses that send a client elsewhere (RFC 9110 section 15.4).
const STATUSES: &[(&str, StatusCode)] = &[
    ("301", StatusCode::MOVED_PERMANENTLY),
    ("302", StatusCode::FOUND),
    ("303", StatusCode::SEE_OTHER),
    ("307", StatusCode::TEMPORARY_REDIRECT),
    ("308", StatusCode::PERMANENT_REDIRECT),
];

/// Path and query are those that would be forwarded at this place of the
/// chain. They are encoded, so that they cannot lead elsewhere.
///
/// Cost: the text of the location.
#[derive(Debug)]
struct Redirect {
    status: StatusCode,
    to: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Path,
    Target,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let mut fields = field.mapping()?;
    let status = match fields.optional("status") {
        Some(status) => status.one_of(STATUSES),
        None => Some(StatusCode::FOUND),
    };
    let to = fields.required("to").and_then(|field| location(&field));
    fields.finish();
    Some(Box::new(Redirect {
        status: status?,
        to: to?,
    }))
}

fn location(field: &Field<'_>) -> Option<Vec<Piece>> {
    let text = field.string()?;
    let is_absolute = text.starts_with("https://") || text.starts_with("http://");
    let is_path = text.starts_with('/') && !text.starts_with("//");
    if !is_absolute && !is_path && !text.starts_with("{path}") && !text.starts_with("{target}") {
        field.fault_expected(
            "not a place to go to",
            "a URL with `https://` or `http://`, or a path that begins with one `/`",
        );
        return None;
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        field.fault_expected(
            "a character that a URL cannot have",
            "visible ASCII; escape others as `%XX`",
        );
        return None;
    }
    pieces(&text).or_else(|| {
        field.fault_expected(
            "braces that are no placeholder",
            "`{target}`, `{path}`, or braces escaped as `%7B` and `%7D`",
        );
        None
    })
}

/// The text between placeholders, and these; nothing if there is another brace.
fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        pieces.push(Piece::Text(rest.get(..open)?.to_owned()));
        let (name, after) = rest.get(open..)?.strip_prefix('{')?.split_once('}')?;
        pieces.push(match name {
            "path" => Piece::Path,
            "target" => Piece::Target,
            _ => return None,
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Some(pieces)
}

impl Edit for Redirect {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let mut to = String::new();
        for piece in &self.to {
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Path => to.push_str(&head.path),
                Piece::Target => to.push_str(&head.target()),
            }
        }
        let mut answer = Answer {
            status: self.status,
            ..Answer::default()
        };
        if let Ok(to) = HeaderValue::from_str(&to) {
            answer.headers.insert(header::LOCATION, to);
        }
        Next::Answer(Box::new(answer))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::{compiled, request_head};

    fn location(args: &str, path: &str, query: Option<&str>) -> (u16, String) {
        let edit = compiled("redirect", args).expect(args);
        let mut headers = HeaderMap::new();
        let mut head = request_head(path, &mut headers);
        head.query = query.map(Into::into);
        let Next::Answer(answer) = edit.request(&mut head) else {
            panic!("a redirect answers");
        };
        let to = answer.headers.get("location").expect("a location");
        (
            answer.status.as_u16(),
            to.to_str().expect("ASCII").to_owned(),
        )
    }

    #[test]
    fn the_location_is_made_of_the_request() {
        for (args, path, query, status, expected) in [
            ("{ to: /new }", "/old", Some("a=b"), 302, "/new"),
            (
                "{ status: 308, to: 'https://b.example{target}' }",
                "/a/%E4",
                Some("c=d"),
                308,
                "https://b.example/a/%E4?c=d",
            ),
            (
                "{ status: 301, to: 'https://b.example{target}#x' }",
                "/a",
                None,
                301,
                "https://b.example/a#x",
            ),
            ("{ to: '/v2{path}' }", "/a", Some("c"), 302, "/v2/a"),
            (
                "{ status: 307, to: '{path}?moved' }",
                "/a",
                None,
                307,
                "/a?moved",
            ),
        ] {
            let found = location(args, path, query);
            assert_eq!(found, (status, expected.to_owned()), "{args}");
        }
    }

    #[test]
    fn what_is_no_redirect_is_refused() {
        for (args, problem) in [
            ("{ status: 200, to: /a }", "200"),
            ("{ status: 302 }", "`to` is missing"),
            ("{ to: '' }", "not a place to go to"),
            ("{ to: //evil.example }", "not a place to go to"),
            ("{ to: 'javascript:alert(1)' }", "not a place to go to"),
            ("{ to: '/a b' }", "a character"),
            ("{ to: '/a{host}' }", "no placeholder"),
            ("{ to: '/a}' }", "no placeholder"),
            ("{ to: /a, permanent: true }", "unknown key"),
            ("/a", "expected a mapping"),
        ] {
            let error = compiled("redirect", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
