//! `AddRequestHeadersIfNotPresent`: request headers for those who have not sent them.

use http::HeaderName;
use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::{
    edit, failed,
    fields::{self, Value},
};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "AddRequestHeadersIfNotPresent",
    "name:value, …",
    "Adds each of these request headers, unless the request has it and it is not empty; `{name}` in a value is a variable.",
    Shortcut::List("keyValues"),
    compile,
);

#[derive(Debug)]
struct AddRequestHeadersIfNotPresent(Vec<(HeaderName, Value)>);

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let items = args.list("keyValues");
    if items.is_empty() {
        args.whole()
            .fault_expected("no header is given", "`name:value`, separated by commas");
        return None;
    }
    let read: Vec<_> = items.iter().filter_map(|item| field(item, scope)).collect();
    if read.len() < items.len() {
        return None;
    }
    // A name that is given twice gets both values.
    edit(AddRequestHeadersIfNotPresent(read))
}

fn field(item: &ScgArg<'_>, scope: &Scope<'_>) -> Option<(HeaderName, Value)> {
    let Some((name, value)) = item.text().split_once(':') else {
        item.fault_expected(item.quoted(), "`name:value`");
        return None;
    };
    let name = fields::name_of(name.trim(), item)?;
    Some((name, Value::of_text(value, item, scope)?))
}

impl Edit for AddRequestHeadersIfNotPresent {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let is_absent = |(name, _): &&(HeaderName, Value)| {
            let mut values = head.headers.get_all(name).iter();
            values.all(|value| value.as_bytes().trim_ascii().is_empty())
        };
        let absent: Vec<_> = self.0.iter().filter(is_absent).collect();
        for (name, value) in absent {
            let Some(value) = value.of(head.facts) else {
                return failed();
            };
            head.headers.append(name, value);
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{bound, edit, headers, send, values};

    #[test]
    fn only_what_is_missing_is_added() {
        let step = edit(
            "AddRequestHeadersIfNotPresent",
            "'X-A:1,X-B:{v},X-C:http://c'",
            &["v"],
        );
        let step = step.expect("legal");
        let before = headers(&[("x-a", "x"), ("x-b", "")]);
        let sent = send(&*step, &bound(&[("v", "2")]), "/", before);
        assert_eq!(values(&sent.headers, "x-a"), ["x"]);
        assert_eq!(values(&sent.headers, "x-b"), ["", "2"]);
        assert_eq!(values(&sent.headers, "x-c"), ["http://c"]);
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for (args, problem) in [
            ("X-A", "expected `name:value`"),
            ("~", "no header is given"),
            ("'Host:a'", "`SetRequestHostHeader`"),
            ("'a b:c'", "not a header name"),
        ] {
            let error = edit("AddRequestHeadersIfNotPresent", args, &[]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
