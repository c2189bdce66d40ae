//! `AddRequestParameter`: adds a parameter to the query.

use pailou_config::{ScgArgs, Shortcut};

use super::{
    edit, failed, query,
    template::{Piece, Template},
    text,
};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "AddRequestParameter",
    "name, value",
    "Adds a parameter to the query, after those it has; `{name}` in the value is a variable.",
    Shortcut::Fields(&["name", "value"]),
    compile,
);

/// The rest of the query stays byte for byte.
///
/// Like Spring, this filter encodes the percent signs of the text unless the request
/// itself has escapes. A variable stays one value. In Spring it can begin another
/// parameter.
#[derive(Debug)]
struct AddRequestParameter {
    name: String,
    value: Template,
}

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let name = text(args, "name");
    let value = text(args, "value").and_then(|arg| Template::read(&arg, scope));
    edit(AddRequestParameter {
        name: name?.text().to_owned(),
        value: value?,
    })
}

impl AddRequestParameter {
    fn write(&self, head: &RequestHead<'_>) -> Option<String> {
        let query = head.query.as_deref().unwrap_or_default();
        let keeps_escapes = query.contains('%') || head.path.contains('%');
        let mut all = query.to_owned();
        if !all.is_empty() && !all.ends_with('&') {
            all.push('&');
        }
        query::encode_text(&self.name, keeps_escapes, &mut all);
        all.push('=');
        for piece in self.value.pieces() {
            match piece {
                Piece::Text(text) => query::encode_text(text, keeps_escapes, &mut all),
                Piece::Variable(name) => {
                    query::encode_value(head.facts.bindings.get(name)?, &mut all);
                }
            }
        }
        Some(all)
    }
}

impl Edit for AddRequestParameter {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let Some(query) = self.write(head) else {
            return failed();
        };
        head.query = Some(query.into());
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::scg::testing::{bound, edit, send};

    #[test]
    fn it_comes_after_the_others() {
        for (args, target, expected) in [
            ("'k, v'", "/q", "/q?k=v"),
            ("'k, v'", "/q?", "/q?k=v"),
            ("'k, v'", "/q?a=1", "/q?a=1&k=v"),
            ("'k, v'", "/q?a=1&", "/q?a=1&k=v"),
            ("'k, v'", "/q?q=1;r=2&&x=[", "/q?q=1;r=2&&x=[&k=v"),
            ("'k, {v}'", "/q?a=1", "/q?a=1&k=x%26y%3D1"),
            ("'k, a b'", "/q", "/q?k=a%20b"),
            ("'k, 中'", "/q", "/q?k=%E4%B8%AD"),
            ("'k, a%20b'", "/q", "/q?k=a%2520b"),
            ("'k, a%20b'", "/q?a=%20", "/q?a=%20&k=a%20b"),
            ("'k, a&b'", "/q", "/q?k=a&b"),
        ] {
            let step = edit("AddRequestParameter", args, &["v"]).expect(args);
            let sent = send(&*step, &bound(&[("v", "x&y=1")]), target, HeaderMap::new());
            assert_eq!(sent.target, expected, "{args} on {target}");
        }
        edit("AddRequestParameter", "k", &[]).expect_err("no value");
    }
}
