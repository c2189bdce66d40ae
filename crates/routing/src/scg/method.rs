//! `Method`: the method is one of these.
//!
//! Names are compared as they are written, those that no standard knows too; Spring never matches those.

use std::fmt;

use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::Entry;
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Method",
    shortcut: "Method=GET,POST",
    summary: "The method is one of these.",
    compile,
};

#[derive(Debug)]
struct Method(Box<[Box<str>]>);

impl Predicate for Method {
    fn matches(&self, request: &Request<'_>) -> bool {
        let method = request.method.as_str();
        self.0.iter().any(|wanted| **wanted == *method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_list(f, &self.0)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    const STANDARD: &[&str] = &[
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
    ];
    let args = ScgArgs::read(field, Shortcut::List("methods"))?;
    let given = args.list("methods");
    if given.is_empty() {
        field.warn("this never matches: no method is given");
    }
    for arg in &given {
        let upper = arg.text().to_ascii_uppercase();
        if arg.text().contains(',') {
            arg.warn(format!(
                "{} is one method, as in Spring, and matches none; several are a list",
                arg.quoted()
            ));
        } else if STANDARD.contains(&upper.as_str()) && upper != arg.text() {
            arg.warn(format!(
                "{} never matches: methods are in capitals",
                arg.quoted()
            ));
        } else if !STANDARD.contains(&upper.as_str()) {
            arg.warn(format!(
                "{} matches requests with this method; in Spring it never does",
                arg.quoted()
            ));
        }
    }
    let methods = given.iter().map(|arg| arg.text().into()).collect();
    args.finish();
    Some(Box::new(Method(methods)))
}
