//! `Weight`: of the routes of one group that take a request, one is drawn.
//!
//! Spring draws among all routes that the group ever had, before it checks the other predicates. So a request may be drawn for a
//! route that does not take it, and end as 404. Here the draw is among the routes of the current table whose other predicates hold.

use std::{fmt, sync::Arc};

use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::Entry;
use crate::{
    Request,
    predicate::{Place, Predicate},
};

pub(super) const ENTRY: Entry = Entry {
    name: "Weight",
    shortcut: "Weight=group1, 8",
    summary: "The route is drawn by weight among those of its group that take the request.",
    compile,
};

/// A route's weight in a group.
#[derive(Debug)]
pub struct Weight {
    group: Arc<str>,
    weight: u32,
}

impl Weight {
    /// The group.
    pub fn group(&self) -> &Arc<str> {
        &self.group
    }

    /// How much it counts against the others; 0 is never drawn.
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

/// Whether it can be drawn. Whether it is, the table says, which knows the others.
impl Predicate for Weight {
    fn matches(&self, _: &Request<'_>) -> bool {
        self.weight > 0
    }

    fn place(&self) -> Place<'_> {
        Place::Weight(self)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.group, self.weight)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let shortcut = Shortcut::Fields(&["weight.group", "weight.weight"]);
    let args = ScgArgs::read(field, shortcut)?;
    let group = args.required("weight.group");
    let weight = match args.get("weight.weight") {
        Some(arg) => arg.integer(0..=i32::MAX as u32),
        None => {
            field.warn("no weight is given, which is 0: the route is never drawn");
            Some(0)
        }
    };
    args.finish();
    let group = group?;
    if group.text().is_empty() {
        group.fault("`group` is empty");
        return None;
    }
    Some(Box::new(Weight {
        group: group.text().into(),
        weight: weight?,
    }))
}
