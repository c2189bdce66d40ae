//! `query`: conditions on query parameters, all of which must hold.

use std::fmt;

use pailou_config::{Field, Key};
use pailou_filters::{form_bytes, form_decoded};

use super::{Entry, Place, Predicate, value::ValueMatch};
use crate::Request;

pub(crate) const ENTRY: Entry = Entry {
    name: "query",
    arguments: "{ version: \"2\" }",
    summary: "Each of these parameters occurs with the value, or fulfils `{ regex: … }` or `{ present: true }`.",
    compile,
};

/// Names and values are compared decoded, as forms are: `%XX` is a byte, `+` a
/// space; what is no escape stands for itself. Only an expression on a value
/// with escapes allocates.
#[derive(Debug)]
struct Query(Vec<(String, ValueMatch)>);

impl Predicate for Query {
    fn matches(&self, request: &Request<'_>) -> bool {
        let query = request.target.query().unwrap_or_default();
        self.0.iter().all(|(name, wanted)| {
            wanted.holds_spelled(
                |each| {
                    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                        if is_text(key.as_bytes(), name) {
                            each(value.as_bytes());
                        }
                    }
                },
                is_text,
                |value, regex| regex.is_match(&form_decoded(value)),
            )
        })
    }

    fn place(&self) -> Place<'_> {
        Place::Conditions(self.0.len())
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_all(f, &self.0)
    }
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Predicate>> {
    Some(Box::new(Query(super::named_values(
        field,
        |key: &Key, _: &Field<'_>| Some(key.text.clone()),
    )?)))
}

pub(crate) fn is_text(raw: &[u8], text: &str) -> bool {
    form_bytes(raw).eq(text.bytes())
}

#[cfg(test)]
mod tests {
    use crate::predicate::tests::{compiled, holds};

    #[test]
    fn every_parameter_has_to_occur_with_the_value() {
        for (args, query, expected) in [
            ("{ v: '2' }", "?v=2", true),
            ("{ v: '2' }", "?a=b&v=2&c", true),
            ("{ v: '2' }", "?v=1&v=2", true),
            ("{ v: '2' }", "?v=22", false),
            ("{ v: '2' }", "?V=2", false),
            ("{ v: '2' }", "?xv=2", false),
            ("{ v: '2' }", "", false),
            ("{ v: '2' }", "?v", false),
            ("{ v: '' }", "?v", true),
            ("{ v: '' }", "?v=", true),
            ("{ v: '' }", "?v=&v=x", true),
            ("{ v: 'a=b' }", "?v=a=b", true),
            ("{ 'a b': 'c d' }", "?a+b=c%20d", true),
            ("{ v: 你 }", "?v=%e4%BD%A0", true),
            ("{ v: 你 }", "?v=你", true),
            ("{ v: '%zz' }", "?v=%zz", true),
            ("{ v: '%' }", "?v=%", true),
            ("{ v: '%2' }", "?v=%2", true),
            ("{ v: { present: true } }", "?v", true),
            ("{ v: { present: true } }", "?w", false),
            ("{ v: { present: false } }", "", true),
            ("{ v: { present: false } }", "?v=1", false),
            (r"{ v: { regex: '\d+ \d' } }", "?v=12+%33", true),
            (r"{ v: { regex: '\d+' } }", "?v=12x", false),
            ("{ a: '1', b: '2' }", "?b=2&a=1", true),
            ("{ a: '1', b: '2' }", "?a=1", false),
        ] {
            let predicate = compiled("query", args).expect(args);
            assert_eq!(
                holds(&*predicate, &format!("GET /{query}"), &[]),
                expected,
                "{args} and {query}"
            );
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for args in ["{}", "v=2", "{ v: [1] }", "{ v: ~ }", "{ '': x }"] {
            compiled("query", args).expect_err(args);
        }
    }
}
