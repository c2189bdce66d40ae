//! `After`: it is later than this.

use std::fmt;

use pailou_config::{Compat, Field};

use super::{Entry, instant::Instant};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "After",
    shortcut: "After=2026-01-20T17:42:47.789+08:00[Asia/Shanghai]",
    summary: "It is later than this.",
    compile,
};

#[derive(Debug)]
struct After(Instant);

impl Predicate for After {
    fn matches(&self, request: &Request<'_>) -> bool {
        request.time() > self.0.time
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    Some(Box::new(After(Instant::only(field)?)))
}
