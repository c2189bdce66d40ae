//! `Before`: it is earlier than this.

use std::fmt;

use pailou_config::{Compat, Field};

use super::{Entry, instant::Instant};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Before",
    shortcut: "Before=2026-01-20T17:42:47.789+08:00[Asia/Shanghai]",
    summary: "It is earlier than this.",
    compile,
};

#[derive(Debug)]
struct Before(Instant);

impl Predicate for Before {
    fn matches(&self, request: &Request<'_>) -> bool {
        request.time() < self.0.time
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    Some(Box::new(Before(Instant::only(field)?)))
}
