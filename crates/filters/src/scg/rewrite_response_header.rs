//! `RewriteResponseHeader`: replaces what a regular expression finds in a response header.

use http::{HeaderName, HeaderValue, header};
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, regex, text};
use crate::{Edit, JavaRegex, Replacement, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RewriteResponseHeader",
    "name, regexp, replacement",
    "Replaces each match of a Java regular expression in the values of a response header.",
    Shortcut::Fields(&["name", "regexp", "replacement"]),
    compile,
);

#[derive(Debug)]
struct RewriteResponseHeader {
    name: HeaderName,
    regex: JavaRegex,
    replacement: Replacement,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let name = text(args, "name").and_then(|arg| fields::response_name(&arg));
    let regex = text(args, "regexp").and_then(|arg| regex(&arg, JavaRegex::anywhere));
    let replacement = args.required("replacement")?;
    if replacement.text().chars().any(char::is_control) {
        replacement.fault("a header value cannot have line breaks or control characters");
        return None;
    }
    let (name, regex) = (name?, regex?);
    let replacement = super::replacement(&replacement, &regex)?;
    edit(RewriteResponseHeader {
        name,
        regex,
        replacement,
    })
}

impl RewriteResponseHeader {
    /// The value that takes the place of this one. One that is no UTF-8, and one
    /// whose search takes too long, stays.
    fn rewritten(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let text = std::str::from_utf8(value.as_bytes()).ok()?;
        let rewritten = self.regex.replace_all(text, &self.replacement).ok()?;
        HeaderValue::from_bytes(rewritten.as_bytes()).ok()
    }
}

impl Edit for RewriteResponseHeader {
    fn response(&self, head: &mut ResponseHead<'_>) {
        if let header::Entry::Occupied(mut entry) = head.headers.entry(&self.name) {
            for value in entry.iter_mut() {
                if let Some(rewritten) = self.rewritten(value) {
                    *value = rewritten;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{answered, bound, edit, headers, values};

    #[test]
    fn each_value_is_rewritten() {
        for (args, before, after) in [
            (
                "'X-A, password=[^&]+, password=***'",
                &["/42?user=ford&password=omg!what&flag=true", "password=q"][..],
                &["/42?user=ford&password=***&flag=true", "password=***"][..],
            ),
            (
                r"'X-A, (?<k>\w+)=(\d), $\{k}:$2'",
                &["a=1;b=2"],
                &["a:1;b:2"],
            ),
            ("'X-A, x, y'", &[], &[]),
            (
                "{ name: X-A, regexp: x+, replacement: '' }",
                &["axxb", "xx"],
                &["ab", ""],
            ),
        ] {
            let step = edit("RewriteResponseHeader", args, &[]).expect(args);
            let fields: Vec<_> = before.iter().map(|value| ("x-a", *value)).collect();
            let (_, found) = answered(&*step, &bound(&[]), 200, headers(&fields));
            assert_eq!(values(&found, "x-a"), after, "{args}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (args, problem) in [
            ("'X-A, x'", "`replacement` is missing"),
            ("'X-A, (, y'", "not a Java regular expression"),
            ("'X-A, x, $1'", "not a replacement"),
            ("'Content-Length, 1, 2'", "no filter may set it"),
            (
                "{ name: a, regexp: b, replacement: \"a\\nb\" }",
                "line breaks",
            ),
        ] {
            let error = edit("RewriteResponseHeader", args, &[]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
