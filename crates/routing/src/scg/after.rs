//! `After`: it is later than this.

use std::{fmt, time::SystemTime};

use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, instant};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "After",
    shortcut: "After=2026-01-20T17:42:47.789+08:00[Asia/Shanghai]",
    summary: "It is later than this.",
    compile,
};

#[derive(Debug)]
struct After {
    text: Box<str>,
    time: SystemTime,
}

impl Predicate for After {
    fn matches(&self, request: &Request<'_>) -> bool {
        request.time() > self.time
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(field, Shortcut::Fields(&["datetime"]))?;
    let arg = args.required("datetime");
    args.finish();
    let arg = arg?;
    let text = arg.text().into();
    let time = instant::read(&arg)?;
    Some(Box::new(After { text, time }))
}
