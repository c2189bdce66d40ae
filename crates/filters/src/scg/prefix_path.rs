//! `PrefixPath`: puts a path in front of the path.

use pailou_config::{ScgArgs, Shortcut};

use super::{edit, failed, path, template::Template, text};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "PrefixPath",
    "prefix",
    "Puts a path in front of the path; `{name}` in it is a variable. Of several in a route the first acts.",
    Shortcut::Fields(&["prefix"]),
    compile,
);

/// Cost: the text of the path.
#[derive(Debug)]
struct PrefixPath(Template);

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let prefix = text(args, "prefix")?;
    edit(PrefixPath(path::template(&prefix, scope)?))
}

impl Edit for PrefixPath {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if std::mem::replace(&mut head.effects.is_prefixed, true) {
            return Next::Continue;
        }
        let Ok(prefix) = self.0.expand(&head.facts.bindings, path::encode_value) else {
            return failed();
        };
        let made = format!("{prefix}{}", head.path);
        path::put(head, &made);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::registry::tests::request_head;
    use crate::scg::testing::{bound, edit, send};

    #[test]
    fn it_stands_in_front() {
        for (prefix, path, joined) in [
            ("/pre", "/k/a", "/pre/k/a"),
            ("/pre/", "/k/a", "/pre/k/a"),
            ("/a b", "/k?x=%20", "/a%20b/k?x=%20"),
            ("/v/{x}", "/q/z", "/v/1%2F2/q/z"),
        ] {
            let step = edit("PrefixPath", prefix, &["x"]).expect(prefix);
            let sent = send(&*step, &bound(&[("x", "1/2")]), path, HeaderMap::new());
            assert_eq!(sent.target, joined, "{prefix} before {path}");
        }
    }

    #[test]
    fn only_the_first_acts() {
        let (one, two) = (
            edit("PrefixPath", "/one", &[]),
            edit("PrefixPath", "/two", &[]),
        );
        let mut headers = HeaderMap::new();
        let mut head = request_head("/x", &mut headers);
        let _ = one.expect("legal").request(&mut head);
        let _ = two.expect("legal").request(&mut head);
        assert_eq!(head.path, "/one/x");
    }

    #[test]
    fn what_spring_answers_with_500_is_refused() {
        for (prefix, problem) in [
            ("pre", "would not begin with `/`"),
            ("/v/{y}", "no predicate of the route binds `{y}`"),
            ("~", "`prefix` is missing"),
            ("{ prefix: '' }", "`prefix` is empty"),
        ] {
            let error = edit("PrefixPath", prefix, &["x"]).expect_err(prefix);
            assert!(error.contains(problem), "{prefix}: {error}");
        }
    }
}
