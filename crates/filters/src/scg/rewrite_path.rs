//! `RewritePath`: replaces what a regular expression finds in the path.

use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::{edit, failed, path, text};
use crate::{
    Edit, JavaRegex, Next, Replacement, RequestHead, Scope, Step, forwarded_prefix, registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RewritePath",
    "regexp, replacement",
    "Replaces each match of a Java regular expression in the path; `$1` and `${name}` (or `$\\{name}`) are its groups.",
    Shortcut::Fields(&["regexp", "replacement"]),
    compile,
);

/// Cost: a search, and the text of the path if there is a match.
#[derive(Debug)]
struct RewritePath {
    regex: JavaRegex,
    replacement: Replacement,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let regex = text(args, "regexp").and_then(|arg| super::regex(&arg, JavaRegex::anywhere));
    let replacement = args.required("replacement")?;
    let regex = regex?;
    let compiled = super::replacement(&replacement, &regex)?;
    check(&replacement)?;
    edit(RewritePath {
        regex,
        replacement: compiled,
    })
}

/// What can never be a path: a URL, which is 500 in Spring, and characters that
/// no path has, which have no way to be meant.
fn check(replacement: &ScgArg<'_>) -> Option<()> {
    let text = replacement.text();
    let is_bare = |part: &str| part.bytes().any(|byte| byte == b'{' || byte == b'}');
    let mut rest = text;
    let mut plain = String::new();
    // Groups are written in braces.
    while let Some(at) = rest.find("${").or_else(|| rest.find("$\\{")) {
        plain.push_str(&rest[..at]);
        rest = rest[at..].split_once('}').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let problem = if text.starts_with("http://") || text.starts_with("https://") {
        "a URL is not a path: the service is the route's `uri`"
    } else if is_bare(&plain) {
        "a path has no braces, and `RewritePath` knows no variables but its groups (`SetPath` does)"
    } else if has_bad_escape(&plain) {
        "a percent sign in a path has two hex digits after it"
    } else {
        return Some(());
    };
    replacement.fault(problem);
    None
}

fn has_bad_escape(text: &str) -> bool {
    text.match_indices('%').any(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3).unwrap_or_default();
        // A group may follow.
        let ends = text.as_bytes().get(at + 1..).unwrap_or_default();
        let is_open = ends.first() == Some(&b'$');
        let is_escape = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
        !is_open && !is_escape
    })
}

impl Edit for RewritePath {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let before = head.path.clone();
        let after = match self.regex.replace_all(&before, &self.replacement) {
            Ok(std::borrow::Cow::Borrowed(_)) => return Next::Continue,
            Ok(after) => after,
            Err(_) => return failed(),
        };
        path::put(head, &after);
        forwarded_prefix::tell_of(head.headers, &before, &head.path);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::scg::testing::{bound, edit, send};

    fn sent(args: &str, target: &str) -> (String, HeaderMap) {
        let step = edit("RewritePath", args, &[]).expect(args);
        let sent = send(&*step, &bound(&[]), target, HeaderMap::new());
        (sent.target, sent.headers)
    }

    #[test]
    fn every_match_is_replaced() {
        for (args, target, expected) in [
            (r"'/k/?(?<s>.*), /$\{s}'", "/k", "/"),
            (r"'/k/?(?<s>.*), /$\{s}'", "/kblue", "/blue"),
            (r"'/k/?(?<s>.*), /${s}'", "/k/a%20b?q=%20", "/a%20b?q=%20"),
            (r"'/k/(.*), /$1'", "/k/x/y", "/x/y"),
            (
                r"'/k/(?<a>[^/]+)/(?<b>.*), /$\{b}/$\{a}'",
                "/k/x/y/z",
                "/y/z/x",
            ),
            ("'o, 0'", "/foo/oo", "/f00/00"),
            ("'^/k/A, /k/b'", "/k/a", "/k/a"),
            ("'(?i)/K/a, /z'", "/k/A/1", "/z/1"),
            (r"'/k/(?<s>.*), /中/$\{s}'", "/k/x", "/%E4%B8%AD/x"),
            (r"'/k/(?<s>.*), /a b/$\{s}'", "/k/x", "/a%20b/x"),
            (r"'/k/(?<s>.*), /q?x=$\{s}'", "/k/x", "/q?x=x"),
            (r"'/k/(?<s>.*), /q?x=$\{s}'", "/k/x?y=1", "/q?x=x?y=1"),
            (r"'/k/(?<s>.*), //evil.test/$\{s}'", "/k/x", "/evil.test/x"),
            (r"'/pre(?<rest>/?.*), $\{rest}'", "/pre", "/"),
            (r"'/pre(?<rest>/?.*), $\{rest}'", "/pre/a/b", "/a/b"),
            (r"'/k/?(?<s>.*), $\{s}'", "/k/x", "/x"),
            ("{ regexp: /t, replacement: '' }", "/t", "/"),
            ("{ _genkey_1: /y, _genkey_0: /w2 }", "/y/a", "/w2/a"),
            (
                "{ regexp: '/w3/(?<a>.{1,3})(?<b>.*)', replacement: '/${a}-${b}' }",
                "/w3/abcd",
                "/abc-d",
            ),
        ] {
            assert_eq!(sent(args, target).0, expected, "{args} on {target}");
        }
    }

    #[test]
    fn a_prefix_that_went_is_told() {
        let args = r"'/api/?(?<s>.*), /$\{s}'";
        assert_eq!(sent(args, "/api/users").1["x-forwarded-prefix"], "/api");
        assert_eq!(sent(args, "/api").1["x-forwarded-prefix"], "/api");
        assert!(sent(args, "/apiusers").1.is_empty());
        assert!(sent("'/a, /b'", "/a").1.is_empty());
    }

    #[test]
    fn what_spring_answers_with_500_is_refused() {
        for (args, problem) in [
            (r"'/k/(?<x>.*), /$\{y}'", "y"),
            ("'/a(, /b'", "not a Java regular expression"),
            ("/x", "`replacement` is missing"),
            (
                r"'/k/(?<s>.*), http://evil.test/$\{s}'",
                "a URL is not a path",
            ),
            (r"'/k/(?<a>.*), /{x}/$\{a}'", "no variables but its groups"),
            (r"'/k/(?<s>.*), /%zz/$\{s}'", "two hex digits"),
        ] {
            let error = edit("RewritePath", args, &["x"]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
