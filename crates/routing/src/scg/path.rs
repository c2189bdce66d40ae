//! `Path`: the path matches one of these patterns.
//!
//! The first that matches binds its variables. What is matched is the normalised path; see [`Target`](crate::Target).

use std::{fmt, sync::Arc};

use pailou_config::{Compat, Field, ScgArgs, Shortcut};
use pailou_filters::Bindings;

use super::{Entry, SpringPath};
use crate::{
    Request,
    predicate::{Place, Predicate},
};

pub(super) const ENTRY: Entry = Entry {
    name: "Path",
    shortcut: "Path=/red/{segment},/blue/**",
    summary: "The path matches one of the patterns.",
    compile,
};

#[derive(Debug)]
struct Path {
    patterns: Box<[SpringPath]>,
    names: Box<[Arc<str>]>,
}

impl Predicate for Path {
    fn matches(&self, request: &Request<'_>) -> bool {
        let path = request.target.path();
        self.patterns.iter().any(|pattern| pattern.matches(path))
    }

    fn bind(&self, request: &Request<'_>, bindings: &mut Bindings) {
        let path = request.target.path();
        if self.names.is_empty() {
            return;
        }
        if let Some(first) = self.patterns.iter().find(|pattern| pattern.matches(path)) {
            first.capture(path, |name, value| bindings.bind(name, value));
        }
    }

    fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    fn place(&self) -> Place<'_> {
        Place::SpringPaths(&self.patterns)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_list(f, &self.patterns)
    }
}

fn compile(field: &Field<'_>, compat: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(
        field,
        Shortcut::ListThenFlag("patterns", "matchTrailingSlash"),
    )?;
    let flag = match args.get("matchTrailingSlash") {
        Some(arg) => Some(arg.boolean()?),
        None => None,
    };
    let takes_slash = compat == Compat::V4 && flag.unwrap_or(true);
    let given = args.list("patterns");
    if given.is_empty() {
        field.warn("this never matches: no pattern is given");
    }
    let mut patterns = Vec::with_capacity(given.len());
    for arg in &given {
        let pattern = match SpringPath::parse(arg.text(), takes_slash) {
            Ok(pattern) => pattern,
            Err(error) => {
                arg.fault(format!("{}: {error}", arg.quoted()));
                continue;
            }
        };
        if let Some(reason) = pattern.never() {
            arg.warn(format!("{} never matches: {reason}", arg.quoted()));
        } else if arg.text().contains(',') {
            arg.warn(format!(
                "{} is one pattern, as in Spring; several are a list",
                arg.quoted()
            ));
        }
        super::warn_of_groups(arg, pattern.capturing_constraints());
        patterns.push(pattern);
    }
    let is_legal = patterns.len() == given.len();
    args.finish();
    let names = patterns
        .iter()
        .flat_map(SpringPath::names)
        .cloned()
        .collect();
    is_legal.then(|| {
        Box::new(Path {
            patterns: patterns.into(),
            names,
        }) as Box<dyn Predicate>
    })
}
