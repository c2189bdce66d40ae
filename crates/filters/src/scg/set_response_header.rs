//! `SetResponseHeader`: gives a response header one value.

use http::HeaderName;
use pailou_config::{ScgArgs, Shortcut};

use super::{
    edit,
    fields::{self, Value},
};
use crate::{Edit, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "SetResponseHeader",
    "name, value",
    "Gives a response header one value, in the place of those it had; `{name}` in it is a variable.",
    Shortcut::Fields(&["name", "value"]),
    compile,
);

#[derive(Debug)]
struct SetResponseHeader {
    name: HeaderName,
    value: Value,
}

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let (name, value) = fields::name_and_value(args, scope, fields::response_name)?;
    edit(SetResponseHeader { name, value })
}

impl Edit for SetResponseHeader {
    fn response(&self, head: &mut ResponseHead<'_>) {
        if let Some(value) = self.value.of(head.facts) {
            head.headers.insert(&self.name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::steps;
    use crate::scg::testing::{answered, bound, edit, headers, values};

    #[test]
    fn the_value_is_the_only_one() {
        let step = edit("SetResponseHeader", "'X-A, {v}'", &["v"]).expect("legal");
        let before = headers(&[("x-a", "1"), ("x-a", "2")]);
        let (_, after) = answered(&*step, &bound(&[("v", "5")]), 200, before);
        assert_eq!(values(&after, "x-a"), ["5"]);
    }

    #[test]
    fn the_gateways_own_header_is_said_to_be_so() {
        let (_, warnings) = steps("SetResponseHeader", "'X-Request-Id, 1'", &[]).expect("legal");
        assert!(warnings.contains("written by the gateway"), "{warnings}");
    }
}
