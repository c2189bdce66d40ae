//! `RemoveRequestHeader`: removes a request header.

use http::HeaderName;
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, text};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RemoveRequestHeader",
    "name",
    "Removes a request header.",
    Shortcut::Fields(&["name"]),
    compile,
);

#[derive(Debug)]
struct RemoveRequestHeader(HeaderName);

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let name = text(args, "name")?;
    // Without the client's Host the endpoint still gets its own.
    match fields::removed(&name, |name| name == http::header::HOST)? {
        Some(name) => edit(RemoveRequestHeader(name)),
        None => Some(Vec::new()),
    }
}

impl Edit for RemoveRequestHeader {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        head.headers.remove(&self.0);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::steps;
    use crate::scg::testing::{bound, edit, headers, send, values};

    #[test]
    fn all_its_values_go() {
        let step = edit("RemoveRequestHeader", "x-a", &[]).expect("legal");
        let before = headers(&[("x-a", "1"), ("x-a", "2"), ("x-b", "3")]);
        let sent = send(&*step, &bound(&[]), "/", before);
        assert!(!sent.headers.contains_key("x-a"));
        assert_eq!(values(&sent.headers, "x-b"), ["3"]);
    }

    #[test]
    fn what_frames_the_message_stays_and_a_warning_says_so() {
        for name in ["Content-Length", "Connection", "Host"] {
            let (steps, warnings) = steps("RemoveRequestHeader", name, &[]).expect(name);
            assert!(steps.is_empty(), "{name}");
            assert!(warnings.contains("is not removed"), "{name}: {warnings}");
        }
    }
}
