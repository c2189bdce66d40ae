//! `Query`: a parameter of the query is there, or one of its values matches.

use std::fmt;

use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, decode, value, value::Wanted};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Query",
    shortcut: "Query=red, gree.",
    summary: "The parameter is there, with a value that matches the expression as a whole if there is one.",
    compile,
};

/// Names and values are compared decoded, as forms are. A parameter without `=` has no value to match.
#[derive(Debug)]
struct Query(Wanted<Box<str>>);

impl Predicate for Query {
    fn matches(&self, request: &Request<'_>) -> bool {
        let Wanted { name, regexp } = &self.0;
        let query = request.target.query().unwrap_or_default();
        query.split('&').any(|pair| {
            // As Spring reads it: a name is never empty.
            let pair = pair.trim_start_matches('=');
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (pair, None),
            };
            if key.is_empty() || decode::form_decoded(key) != **name {
                return false;
            }
            match regexp {
                None => true,
                Some(regexp) => {
                    value.is_some_and(|value| regexp.is_match(&decode::form_decoded(value)))
                }
            }
        })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(field, Shortcut::Fields(&["param", "regexp", "predicate"]))?;
    let regexp = value::regexp(args.get("regexp"));
    let name = args.required("param");
    if let Some(arg) = args.get("predicate").filter(|arg| !arg.text().is_empty()) {
        arg.fault("a predicate in Java cannot run here");
        return None;
    }
    args.finish();
    let (name, regexp) = (name?, regexp.ok()?);
    if name.text().is_empty() {
        name.fault("`param` is empty");
        return None;
    }
    let name = name.text().into();
    Some(Box::new(Query(Wanted { name, regexp })))
}
