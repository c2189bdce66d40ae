//! A mapping whose keys Spring would bind: relaxed names, the last of equal ones counts, unknown ones are not an error.

use super::key::folded;
use crate::{field::Field, node::Key};

/// The values of a mapping by their relaxed names.
#[derive(Debug)]
pub(super) struct Relaxed<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    name: String,
    key: &'a Key,
    field: Field<'a>,
    is_read: bool,
}

impl<'a> Relaxed<'a> {
    /// The mapping at `field`; a fault if it is none.
    pub(super) fn read(field: &Field<'a>) -> Option<Relaxed<'a>> {
        let entry = |(key, field): (&'a Key, Field<'a>)| Entry {
            name: folded(&key.text),
            key,
            field,
            is_read: false,
        };
        let entries = field.entries()?.into_iter().map(entry).collect();
        Some(Relaxed { entries })
    }

    /// The value of a key, if there is one that is not null.
    pub(super) fn take(&mut self, name: &str) -> Option<Field<'a>> {
        let name = folded(name);
        let mut found = None;
        for entry in self.entries.iter_mut().filter(|entry| entry.name == name) {
            entry.is_read = true;
            found = Some(entry.field.clone());
        }
        found.filter(|field| !field.is_null())
    }

    /// The keys that nobody asked for.
    pub(super) fn rest(self) -> impl Iterator<Item = (&'a Key, Field<'a>)> {
        let unread = self.entries.into_iter().filter(|entry| !entry.is_read);
        unread.map(|entry| (entry.key, entry.field))
    }
}
