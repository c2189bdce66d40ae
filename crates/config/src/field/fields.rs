//! A mapping with known keys.

use super::Field;
use crate::{
    fault::Severity,
    nearest::nearest,
    node::{Key, Node},
    path,
};

/// The values of a mapping whose keys the reader knows. Ask for each of them, then call [`finish`](Fields::finish): what was
/// not asked for is an unknown key, and the faults name the ones that were.
#[derive(Debug)]
#[must_use = "call `finish`, or unknown keys go unnoticed"]
pub struct Fields<'a> {
    mapping: Field<'a>,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(mapping: Field<'a>, entries: &'a [(Key, Node)]) -> Fields<'a> {
        Fields {
            mapping,
            entries,
            known: Vec::new(),
        }
    }

    /// The mapping as a whole, to report faults about it.
    pub fn mapping(&self) -> &Field<'a> {
        &self.mapping
    }

    /// The value of `key`, if the mapping has it.
    pub fn optional(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let (key, node) = self
            .entries
            .iter()
            .find(|(candidate, _)| candidate.text == key)?;
        Some(self.mapping.child(&key.text, node))
    }

    /// The value of `key`; a fault if the mapping has none.
    pub fn required(&mut self, key: &'static str) -> Option<Field<'a>> {
        let field = self.optional(key);
        if field.is_none() {
            self.mapping.fault(format!("`{key}` is missing"));
        }
        field
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        for (key, _) in self.entries {
            if self.known.contains(&key.text.as_str()) {
                continue;
            }
            self.mapping.push_at(
                key.at,
                path::child(&self.mapping.path, &key.text),
                "unknown key".to_owned(),
                Some(format!("one of {}", self.known.join(", "))),
                nearest(&key.text, self.known.iter().copied()).map(str::to_owned),
                Severity::Error,
            );
        }
    }
}
