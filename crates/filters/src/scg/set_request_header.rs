//! `SetRequestHeader`: gives a request header one value.

use http::HeaderName;
use pailou_config::{ScgArgs, Shortcut};

use super::{
    edit, failed,
    fields::{self, Value},
};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "SetRequestHeader",
    "name, value",
    "Gives a request header one value, in the place of those it had; `{name}` in it is a variable.",
    Shortcut::Fields(&["name", "value"]),
    compile,
);

#[derive(Debug)]
struct SetRequestHeader {
    name: HeaderName,
    value: Value,
}

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let (name, value) = fields::name_and_value(args, scope, fields::request_name)?;
    edit(SetRequestHeader { name, value })
}

impl Edit for SetRequestHeader {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let Some(value) = self.value.of(head.facts) else {
            return failed();
        };
        head.headers.insert(&self.name, value);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use crate::Next;
    use crate::scg::testing::{bound, edit, headers, send, values};

    #[test]
    fn the_value_is_the_only_one() {
        let step = edit("SetRequestHeader", "'X-A, {v}'", &["v"]).expect("legal");
        let before = headers(&[("x-a", "1"), ("x-a", "2"), ("x-b", "3")]);
        let sent = send(&*step, &bound(&[("v", "5")]), "/", before);
        assert_eq!(values(&sent.headers, "x-a"), ["5"]);
        assert_eq!(values(&sent.headers, "x-b"), ["3"]);
    }

    #[test]
    fn what_the_gateway_told_of_itself_may_be_set() {
        for name in ["X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-IP"] {
            let step = edit("SetRequestHeader", &format!("'{name}, x'"), &[]).expect(name);
            let sent = send(
                &*step,
                &bound(&[]),
                "/",
                headers(&[("x-forwarded-proto", "http")]),
            );
            assert_eq!(values(&sent.headers, name), ["x"]);
        }
    }

    #[test]
    fn a_variable_of_another_pattern_is_an_error() {
        let step = edit("SetRequestHeader", "'X-A, {v}'", &["v"]).expect("legal");
        let sent = send(&*step, &bound(&[]), "/", headers(&[]));
        assert!(matches!(sent.next, Next::Answer(answer) if answer.status == 500));
    }
}
