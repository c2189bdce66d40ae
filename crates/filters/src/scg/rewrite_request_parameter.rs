//! `RewriteRequestParameter`: gives a parameter of the query another value.

use pailou_config::{ScgArgs, Shortcut};

use super::{edit, query, text};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RewriteRequestParameter",
    "name, replacement",
    "Gives a parameter one value in the place of those it has, if the query has it; the others stay byte for byte.",
    Shortcut::Fields(&["name", "replacement"]),
    compile,
);

/// The parameter moves to the end, as in Spring.
#[derive(Debug)]
struct RewriteRequestParameter {
    name: String,
    /// `name=replacement`, encoded.
    pair: String,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let name = text(args, "name");
    let replacement = args.required("replacement");
    let (name, replacement) = (name?.text(), replacement?);
    let mut pair = String::new();
    query::encode_value(name, &mut pair);
    pair.push('=');
    query::encode_value(replacement.text(), &mut pair);
    edit(RewriteRequestParameter {
        name: name.to_owned(),
        pair,
    })
}

impl Edit for RewriteRequestParameter {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let query = head.query.as_deref().unwrap_or_default();
        if let Some(mut left) = query::without(query, &self.name) {
            if !left.is_empty() && !left.ends_with('&') {
                left.push('&');
            }
            left.push_str(&self.pair);
            head.query = Some(left.into());
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::scg::testing::{bound, edit, send};

    #[test]
    fn it_has_one_value_if_there_is_one() {
        for (args, target, expected) in [
            ("'k, new'", "/q?k=1", "/q?k=new"),
            ("'k, new'", "/q?k=1&k=2&a=%20", "/q?a=%20&k=new"),
            ("'k, new'", "/q?a=1", "/q?a=1"),
            ("'k, new'", "/q?k", "/q?k=new"),
            ("'k, new'", "/q?a=b+c&k=1", "/q?a=b+c&k=new"),
            ("'k, new'", "/q", "/q"),
            ("'k, a b'", "/q?k=1", "/q?k=a%20b"),
            ("'k, 中'", "/q?k=1", "/q?k=%E4%B8%AD"),
            ("{ name: k, replacement: '' }", "/q?k=1", "/q?k="),
        ] {
            let step = edit("RewriteRequestParameter", args, &[]).expect(args);
            let sent = send(&*step, &bound(&[]), target, HeaderMap::new());
            assert_eq!(sent.target, expected, "{args} on {target}");
        }
        edit("RewriteRequestParameter", "k", &[]).expect_err("no replacement");
    }
}
