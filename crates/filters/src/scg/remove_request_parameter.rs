//! `RemoveRequestParameter`: removes a parameter from the query.

use pailou_config::{ScgArgs, Shortcut};

use super::{edit, query, text};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RemoveRequestParameter",
    "name",
    "Removes a parameter from the query; the others stay byte for byte.",
    Shortcut::Fields(&["name"]),
    compile,
);

#[derive(Debug)]
struct RemoveRequestParameter(String);

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let name = text(args, "name")?;
    edit(RemoveRequestParameter(name.text().to_owned()))
}

impl Edit for RemoveRequestParameter {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let query = head.query.as_deref().unwrap_or_default();
        if let Some(left) = query::without(query, &self.0) {
            head.query = (!left.is_empty()).then(|| left.into());
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::scg::testing::{bound, edit, send};

    #[test]
    fn only_that_parameter_goes() {
        let step = edit("RemoveRequestParameter", "k", &[]).expect("legal");
        for (target, expected) in [
            ("/q?k=1&a=2", "/q?a=2"),
            ("/q?k=1", "/q"),
            ("/q", "/q"),
            ("/q?", "/q?"),
            ("/q?a=%7e&b=x/y:z@&k", "/q?a=%7e&b=x/y:z@"),
            ("/q?a=b=c&u=http://x/y?z", "/q?a=b=c&u=http://x/y?z"),
        ] {
            let sent = send(&*step, &bound(&[]), target, HeaderMap::new());
            assert_eq!(sent.target, expected, "{target}");
        }
    }
}
