//! `RemoveResponseHeader`: removes a response header.

use http::HeaderName;
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, text};
use crate::{Edit, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RemoveResponseHeader",
    "name",
    "Removes a response header.",
    Shortcut::Fields(&["name"]),
    compile,
);

#[derive(Debug)]
struct RemoveResponseHeader(HeaderName);

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let name = text(args, "name")?;
    match fields::removed(&name, fields::is_the_gateways)? {
        Some(name) => edit(RemoveResponseHeader(name)),
        None => Some(Vec::new()),
    }
}

impl Edit for RemoveResponseHeader {
    fn response(&self, head: &mut ResponseHead<'_>) {
        head.headers.remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::steps;
    use crate::scg::testing::{answered, bound, edit, headers};

    #[test]
    fn all_its_values_go() {
        let step = edit("RemoveResponseHeader", "X-A", &[]).expect("legal");
        let before = headers(&[("x-a", "1"), ("x-a", "2"), ("x-b", "3")]);
        let (_, after) = answered(&*step, &bound(&[]), 200, before);
        assert_eq!(after, headers(&[("x-b", "3")]));
    }

    #[test]
    fn what_frames_the_message_stays_and_a_warning_says_so() {
        let (steps, warnings) =
            steps("RemoveResponseHeader", "Content-Length", &[]).expect("legal");
        assert!(
            steps.is_empty() && warnings.contains("is not removed"),
            "{warnings}"
        );
    }
}
