//! What is said once for a whole document, however many routes it is true of.

use std::collections::BTreeMap;

use crate::{
    fault::{Fault, Position, Report, Severity},
    field::{Field, quote},
};

/// The most different notes; a document may have an unknown key in each of its routes.
const MAX_NOTES: usize = 100;

/// Collects notes.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: BTreeMap<String, Note>,
}

#[derive(Debug)]
struct Note {
    at: Position,
    path: String,
    count: usize,
}

impl Notes {
    /// A key that nothing reads.
    pub(super) fn unknown_key(&mut self, key: &str, of: &str, value: &Field<'_>, at: Position) {
        let problem = format!("{} is no key of {of}; ignored, as by Spring", quote(key));
        self.add(problem, value.path(), at);
    }

    /// Something that is true of the value at `path`.
    pub(super) fn add(&mut self, problem: String, path: &str, at: Position) {
        if let Some(note) = self.notes.get_mut(&problem) {
            note.count += 1;
        } else if self.notes.len() < MAX_NOTES {
            let path = path.to_owned();
            self.notes.insert(problem, Note { at, path, count: 1 });
        }
    }

    /// Reports each of them at its first place, with the number of places.
    pub(super) fn report(self, report: &Report) {
        for (problem, note) in self.notes {
            let more = match note.count {
                1 => String::new(),
                count => format!(" ({count} places)"),
            };
            report.push(Fault {
                document: report.document().clone(),
                position: Some(note.at),
                path: note.path,
                problem: format!("{problem}{more}"),
                expected: None,
                nearest: None,
                severity: Severity::Warning,
            });
        }
    }
}
