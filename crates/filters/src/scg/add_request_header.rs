//! `AddRequestHeader`: adds a value to a request header.

use http::HeaderName;
use pailou_config::{ScgArgs, Shortcut};

use super::{
    edit, failed,
    fields::{self, Value},
};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "AddRequestHeader",
    "name, value",
    "Adds a value to a request header, after those it has; `{name}` in it is a variable.",
    Shortcut::Fields(&["name", "value"]),
    compile,
);

#[derive(Debug)]
struct AddRequestHeader {
    name: HeaderName,
    value: Value,
}

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let (name, value) = fields::name_and_value(args, scope, fields::request_name)?;
    edit(AddRequestHeader { name, value })
}

impl Edit for AddRequestHeader {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let Some(value) = self.value.of(head.facts) else {
            return failed();
        };
        head.headers.append(&self.name, value);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{bound, edit, headers, send, values};

    #[test]
    fn the_value_comes_after_those_there_are() {
        for (args, value) in [
            ("'X-A, {v}'", "a b"),
            ("'X-A, a b  c '", "a b  c"),
            ("'X-A,1=2'", "1=2"),
            ("'X-A, ${v}'", "$a b"),
            ("'X-A, {v:def}'", "a b"),
            ("{ value: v, name: X-A }", "v"),
            ("{ Name: X-A, VALUE: 'a,b, c' }", "a,b, c"),
            ("{ name: X-A, value: 中文 }", "中文"),
            ("'X-A, a, b'", "a"),
        ] {
            let step = edit("AddRequestHeader", args, &["v"]).expect(args);
            let sent = send(
                &*step,
                &bound(&[("v", "a b")]),
                "/",
                headers(&[("x-a", "0")]),
            );
            assert_eq!(values(&sent.headers, "x-a"), ["0", value], "{args}");
        }
    }
}
