//! `RedirectTo`: answers with a redirect.

use http::{HeaderValue, StatusCode, header};
use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::{edit, text};
use crate::{Answer, Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg_answer(
    "RedirectTo",
    "status, url, includeRequestParams (false)",
    "Answers with a redirect to a URL, which gets the request's query where `includeRequestParams` is true.",
    Shortcut::Fields(&["status", "url", "includeRequestParams"]),
    compile,
);

#[derive(Debug)]
struct RedirectTo {
    status: StatusCode,
    url: String,
    has_query: bool,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let status = text(args, "status").and_then(|arg| status(&arg));
    let url = text(args, "url").and_then(|arg| url(&arg));
    let has_query = match args.get("includeRequestParams") {
        Some(flag) => flag.boolean(),
        None => Some(false),
    };
    edit(RedirectTo {
        status: status?,
        url: url?,
        has_query: has_query?,
    })
}

fn status(arg: &ScgArg<'_>) -> Option<StatusCode> {
    let status = super::status::read(arg)?;
    if !status.is_redirection() {
        arg.fault_expected(
            format!("{} sends nobody elsewhere", arg.quoted()),
            "a status from 300 to 399",
        );
        return None;
    }
    Some(status)
}

/// Spring takes what `java.net.URL` takes, or a path; both as it stands.
fn url(arg: &ScgArg<'_>) -> Option<String> {
    let text = arg.text();
    let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"{}|\\^\"<>`[]".contains(&byte);
    // An address of IPv6 has brackets.
    let bare = text.replace(['[', ']'], "");
    let (scheme, _) = text.split_once(':').unwrap_or(("", text));
    let is_script = ["javascript", "data"]
        .iter()
        .any(|it| scheme.eq_ignore_ascii_case(it));
    if is_script || !bare.bytes().all(is_legal) {
        arg.fault_expected(
            format!("{} is not a URL", arg.quoted()),
            "a URL without braces and blanks (`RedirectTo` knows no variables)",
        );
        return None;
    }
    Some(text.to_owned())
}

impl Edit for RedirectTo {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let query = head.query.as_deref().filter(|query| !query.is_empty());
        let location = match query.filter(|_| self.has_query) {
            Some(query) => with_query(&self.url, query),
            None => self.url.clone(),
        };
        let mut answer = Answer {
            status: self.status,
            ..Answer::default()
        };
        if let Ok(location) = HeaderValue::try_from(location) {
            answer.headers.insert(header::LOCATION, location);
        }
        Next::Answer(Box::new(answer))
    }
}

/// The URL with more parameters, in front of its fragment.
fn with_query(url: &str, query: &str) -> String {
    let (url, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{query}{fragment}")
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::Next;
    use crate::scg::testing::{bound, edit, send};

    #[test]
    fn the_client_is_sent_there() {
        for (args, target, status, location) in [
            ("'302, https://x.test/p'", "/r?a=1", 302, "https://x.test/p"),
            (
                "'301, https://x.test/, true'",
                "/r?a=1&b=%20c",
                301,
                "https://x.test/?a=1&b=%20c",
            ),
            ("'301, https://x.test/, true'", "/r", 301, "https://x.test/"),
            (
                "'FOUND, https://x.test/p?q=1, true'",
                "/r?a=1",
                302,
                "https://x.test/p?q=1&a=1",
            ),
            ("'308, /local'", "/r", 308, "/local"),
            (
                "{ status: 303, url: 'https://x.test/#f', includeRequestParams: true }",
                "/r?x=1",
                303,
                "https://x.test/?x=1#f",
            ),
            ("'302, http://[::1]:8080/'", "/r", 302, "http://[::1]:8080/"),
        ] {
            let step = edit("RedirectTo", args, &[]).expect(args);
            let sent = send(&*step, &bound(&[]), target, HeaderMap::new());
            let Next::Answer(answer) = sent.next else {
                panic!("it answers");
            };
            assert_eq!(answer.status, status, "{args}");
            assert_eq!(answer.headers["location"], location, "{args}");
        }
    }

    #[test]
    fn what_is_no_redirect_is_refused() {
        for (args, problem) in [
            ("'200, http://x/'", "a status from 300 to 399"),
            ("'302, https://x.test/{v}'", "knows no variables"),
            ("'302, https://x.test/a b'", "is not a URL"),
            ("'302, javascript:alert(1)'", "is not a URL"),
            ("302", "`url` is missing"),
        ] {
            let error = edit("RedirectTo", args, &["v"]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
