//! `headers`: conditions on header values, all of which must hold.

use std::fmt;

use http::HeaderName;
use pailou_config::{Field, Key};

use super::{Entry, Place, Predicate, value::ValueMatch};
use crate::Request;

pub(crate) const ENTRY: Entry = Entry {
    name: "headers",
    arguments: "{ x-canary: \"true\" }",
    summary: "Each of these headers has a line with the value, or fulfils `{ regex: … }` or `{ present: true }`.",
    compile,
};

#[derive(Debug)]
struct Headers(Vec<(HeaderName, ValueMatch)>);

impl Predicate for Headers {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let values = request.headers.get_all(name).iter();
            wanted.holds(|each| values.for_each(|value| each(value.as_bytes())))
        })
    }

    fn place(&self) -> Place<'_> {
        Place::Conditions(self.0.len())
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_all(f, &self.0)
    }
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Predicate>> {
    Some(Box::new(Headers(super::named_values(field, header_name)?)))
}

fn header_name(key: &Key, field: &Field<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(key.text.as_bytes()).ok();
    if name.is_none() {
        field.fault_expected("not a header name", "letters, digits and `-`");
    }
    name
}

#[cfg(test)]
mod tests {
    use crate::predicate::tests::{compiled, holds};

    #[test]
    fn every_header_has_to_have_a_line_with_the_value() {
        let cases: &[(&str, &[&str], bool)] = &[
            ("{ X-Canary: 'true' }", &["x-canary: true"], true),
            ("{ x-canary: 'true' }", &["X-Canary: true "], true),
            ("{ x-canary: 'true' }", &["x-canary: True"], false),
            ("{ x-canary: 'true' }", &["x-canary: true, false"], false),
            (
                "{ x-canary: 'true' }",
                &["x-canary: false", "x-canary: true"],
                true,
            ),
            ("{ x-canary: 'true' }", &[], false),
            ("{ x-version: 1.10 }", &["x-version: 1.10"], true),
            ("{ a: x, b: y }", &["a: x", "b: y"], true),
            ("{ a: x, b: y }", &["a: x", "b: x"], false),
            ("{ a: { present: true } }", &["a: "], true),
            ("{ a: { present: true } }", &["b: x"], false),
            ("{ a: { present: false } }", &["b: x"], true),
            ("{ a: { present: false } }", &["a: x"], false),
            (r"{ a: { regex: 'v\d+' } }", &["a: v12"], true),
            (r"{ a: { regex: 'v\d+' } }", &["a: xv12"], false),
            (r"{ a: { regex: 'v\d+|w' } }", &["a: v1x"], false),
            (r"{ a: { regex: 'v\d+|w' } }", &["a: x", "a: w"], true),
        ];
        for (args, lines, expected) in cases {
            let predicate = compiled("headers", args).expect(args);
            assert_eq!(
                holds(&*predicate, "GET /", lines),
                *expected,
                "{args} and {lines:?}"
            );
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for (args, problem) in [
            ("{}", "no condition"),
            ("x", "expected a mapping"),
            ("{ 'a b': x }", "not a header name"),
            ("{ a: [x] }", "not a condition"),
            ("{ a: ~ }", "not a condition"),
            ("{ a: {} }", "no condition"),
            ("{ a: { regex: '(' } }", "not a regular expression"),
            ("{ a: { regex: 'a)(b' } }", "not a regular"),
            ("{ a: { regex: '(?=a)' } }", "look-around"),
            ("{ a: { regex: '(\\w{200}){200}' } }", "bytes when compiled"),
            ("{ a: { regex: x, present: true } }", "two conditions"),
            ("{ a: { present: maybe } }", "expected"),
            ("{ a: { regx: x } }", "did you mean `regex`"),
        ] {
            let error = compiled("headers", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
        compiled(
            "headers",
            &format!("{{ a: {{ regex: '{}' }} }}", "a".repeat(1025)),
        )
        .expect_err("too long");
    }

    #[test]
    fn it_says_what_it_asks_for() {
        let predicate = compiled(
            "headers",
            "{ a: x, b: { regex: 'v.' }, c: { present: false } }",
        )
        .expect("legal");
        assert_eq!(predicate.to_string(), "a = x, b matches v., c absent");
    }
}
