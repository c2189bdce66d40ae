//! `cookies`: conditions on cookies, all of which must hold.

use std::fmt;

use http::header::COOKIE;
use pailou_config::{Field, Key};

use super::{Entry, Place, Predicate, value::ValueMatch};
use crate::Request;

pub(crate) const ENTRY: Entry = Entry {
    name: "cookies",
    arguments: "{ stage: canary }",
    summary: "Each of these cookies has the value, or fulfils `{ regex: … }` or `{ present: true }`.",
    compile,
};

/// Values are compared without the quotes that RFC 6265 allows around them.
#[derive(Debug)]
struct Cookies(Vec<(String, ValueMatch)>);

impl Predicate for Cookies {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            wanted.holds(|each| {
                for line in request.headers.get_all(COOKIE) {
                    line.as_bytes()
                        .split(|byte| *byte == b';')
                        .filter_map(|pair| value(pair, name))
                        .for_each(&mut *each);
                }
            })
        })
    }

    fn place(&self) -> Place<'_> {
        Place::Conditions(self.0.len())
    }
}

impl fmt::Display for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_all(f, &self.0)
    }
}

/// The value of a `name=value` pair, when it has this name.
pub(crate) fn value<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    (key == name.as_bytes()).then_some(unquoted.unwrap_or(value))
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Predicate>> {
    Some(Box::new(Cookies(super::named_values(field, cookie_name)?)))
}

fn cookie_name(key: &Key, field: &Field<'_>) -> Option<String> {
    // RFC 6265, 4.1.1: a token, as header names are.
    if http::HeaderName::from_bytes(key.text.as_bytes()).is_err() {
        field.fault_expected("not the name of a cookie", "letters, digits, `-` and `_`");
        return None;
    }
    Some(key.text.clone())
}

#[cfg(test)]
mod tests {
    use crate::predicate::tests::{compiled, holds};

    #[test]
    fn every_cookie_has_to_have_the_value() {
        let cases: &[(&str, &[&str], bool)] = &[
            ("{ stage: canary }", &["cookie: stage=canary"], true),
            (
                "{ stage: canary }",
                &["cookie: a=b; stage=canary; c=d"],
                true,
            ),
            (
                "{ stage: canary }",
                &["cookie: a=b", "cookie: stage=canary"],
                true,
            ),
            ("{ stage: canary }", &["cookie: stage=\"canary\""], true),
            ("{ stage: canary }", &["cookie: Stage=canary"], false),
            ("{ stage: canary }", &["cookie: xstage=canary"], false),
            ("{ stage: canary }", &["cookie: stage=canaryx"], false),
            ("{ stage: canary }", &["cookie: stage"], false),
            ("{ stage: canary }", &[], false),
            ("{ t: a=b }", &["cookie: t=a=b"], true),
            ("{ s: { present: true } }", &["cookie: s="], true),
            ("{ s: { present: false } }", &["cookie: t=1"], true),
            ("{ s: { regex: 'v.' } }", &["cookie: s=v2"], true),
            ("{ a: '1', b: '2' }", &["cookie: b=2; a=1"], true),
            ("{ a: '1', b: '2' }", &["cookie: b=2"], false),
        ];
        for (args, lines, expected) in cases {
            let predicate = compiled("cookies", args).expect(args);
            assert_eq!(
                holds(&*predicate, "GET /", lines),
                *expected,
                "{args} and {lines:?}"
            );
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for args in [
            "{}",
            "stage",
            "{ 'a b': c }",
            "{ 'a=b': c }",
            "{ a: [b] }",
            "{ '': x }",
        ] {
            compiled("cookies", args).expect_err(args);
        }
    }
}
