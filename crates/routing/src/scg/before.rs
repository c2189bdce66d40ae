//! `Before`: it is earlier than this.

use std::{fmt, time::SystemTime};

use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, instant};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Before",
    shortcut: "Before=2026-01-20T17:42:47.789+08:00[Asia/Shanghai]",
    summary: "It is earlier than this.",
    compile,
};

#[derive(Debug)]
struct Before {
    text: Box<str>,
    time: SystemTime,
}

impl Predicate for Before {
    fn matches(&self, request: &Request<'_>) -> bool {
        request.time() < self.time
    }
}

impl fmt::Display for Before {
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
    Some(Box::new(Before { text, time }))
}
