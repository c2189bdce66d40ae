//! `AddResponseHeader`: adds a value to a response header.

use http::HeaderName;
use pailou_config::{ScgArgs, Shortcut};

use super::{
    edit,
    fields::{self, Value},
};
use crate::{Edit, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "AddResponseHeader",
    "name, value, override (true)",
    "Adds a value to a response header, after those it has; only if it has none where `override` is false. `{name}` in it is a variable.",
    Shortcut::Fields(&["name", "value", "override"]),
    compile,
);

#[derive(Debug)]
struct AddResponseHeader {
    name: HeaderName,
    value: Value,
    /// Whether it is added beside values that there are.
    overrides: bool,
}

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let field = fields::name_and_value(args, scope, fields::response_name);
    let overrides = match args.get("override") {
        Some(flag) => flag.boolean()?,
        None => true,
    };
    let (name, value) = field?;
    edit(AddResponseHeader {
        name,
        value,
        overrides,
    })
}

impl Edit for AddResponseHeader {
    fn response(&self, head: &mut ResponseHead<'_>) {
        let mut values = head.headers.get_all(&self.name).iter();
        let is_absent = values.all(|value| value.as_bytes().trim_ascii().is_empty());
        if !self.overrides && !is_absent {
            return;
        }
        if let Some(value) = self.value.of(head.facts) {
            head.headers.append(&self.name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{answered, bound, edit, headers, values};

    #[test]
    fn it_is_added_unless_it_must_not() {
        for (args, before, after) in [
            ("'X-A, {v}'", Some("up"), &["up", "7"][..]),
            ("'X-A, {v}'", None, &["7"]),
            ("'X-A, gw, true'", Some("up"), &["up", "gw"]),
            ("'X-A, gw, false'", Some("up"), &["up"]),
            ("'X-A, gw, false'", None, &["gw"]),
            (
                "{ name: X-A, value: gw, override: 'false' }",
                Some("up"),
                &["up"],
            ),
        ] {
            let step = edit("AddResponseHeader", args, &["v"]).expect(args);
            let fields: Vec<_> = before.iter().map(|value| ("x-a", *value)).collect();
            let (_, after_all) = answered(&*step, &bound(&[("v", "7")]), 200, headers(&fields));
            assert_eq!(values(&after_all, "x-a"), after, "{args} after {before:?}");
        }
    }
}
