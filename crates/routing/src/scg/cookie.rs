//! `Cookie`: the value of a cookie matches.

use std::fmt;

use http::header::COOKIE;
use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, decode, value, value::Wanted};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Cookie",
    shortcut: "Cookie=chocolate, ch.p",
    summary: "A cookie of this name has a value that matches the expression as a whole.",
    compile,
};

#[derive(Debug)]
struct Cookie(Wanted<Box<str>>);

impl Predicate for Cookie {
    fn matches(&self, request: &Request<'_>) -> bool {
        let Wanted { name, regexp } = &self.0;
        request.headers.get_all(COOKIE).iter().any(|line| {
            let line = decode::latin1(line.as_bytes());
            line.split(';').any(|pair| {
                value_in(pair, name).is_some_and(|value| {
                    regexp.as_ref().is_none_or(|regexp| regexp.is_match(value))
                })
            })
        })
    }
}

/// The value in `name=value`, when it has this name and both are legal, as Netty's strict decoder decides. It says of a cookie with
/// anything else that it is none.
fn value_in<'p>(pair: &'p str, name: &str) -> Option<&'p str> {
    let is_gap = |character| matches!(character, '\t' | '\n' | '\x0B' | '\x0C' | '\r' | ' ' | ',');
    let (key, value) = pair.trim_start_matches(is_gap).split_once('=')?;
    if key != name {
        return None;
    }
    let value = value.strip_suffix(',').unwrap_or(value);
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    // RFC 6265, 4.1.1: no space, quote, comma, semicolon or backslash.
    let is_legal =
        |byte: u8| matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E);
    value.bytes().all(is_legal).then_some(value)
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(field, Shortcut::Fields(&["name", "regexp"]))?;
    let name = args.required("name");
    let text = args.required("regexp");
    args.finish();
    let (name, text) = (name?, text?);
    let regexp = value::regexp(Some(text.clone())).ok()?;
    let mut is_legal = true;
    for (arg, field) in [(&name, "name"), (&text, "regexp")] {
        if arg.text().is_empty() {
            arg.fault(format!("`{field}` is empty"));
            is_legal = false;
        }
    }
    let name = name.text().into();
    is_legal.then(|| Box::new(Cookie(Wanted { name, regexp })) as Box<dyn Predicate>)
}
