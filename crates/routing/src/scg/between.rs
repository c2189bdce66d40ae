//! `Between`: it is later than the one and earlier than the other.

use std::{fmt, time::SystemTime};

use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, instant};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Between",
    shortcut: "Between=2026-01-20T17:42:47Z, 2026-01-21T17:42:47Z",
    summary: "It is later than the first and earlier than the second.",
    compile,
};

#[derive(Debug)]
struct Between {
    text: Box<str>,
    start: SystemTime,
    end: SystemTime,
}

impl Predicate for Between {
    fn matches(&self, request: &Request<'_>) -> bool {
        let time = request.time();
        self.start < time && time < self.end
    }
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(field, Shortcut::Fields(&["datetime1", "datetime2"]))?;
    let (start, end) = (args.required("datetime1"), args.required("datetime2"));
    args.finish();
    let (first, second) = (start?, end?);
    let (start, end) = (instant::read(&first), instant::read(&second));
    let (start, end) = (start?, end?);
    if start >= end {
        second.fault(format!(
            "{} is not after {}",
            second.quoted(),
            first.quoted()
        ));
        return None;
    }
    let text = format!("{}, {}", first.text(), second.text()).into();
    Some(Box::new(Between { text, start, end }))
}
