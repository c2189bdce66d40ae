//! The effective settings as YAML, with where each value came from.

use std::fmt::Write;

use super::{
    LoadedSettings,
    schema::{Entry, Origin},
};

impl LoadedSettings {
    /// The effective settings as a `gateway.yaml` that reads back to the same, except that secrets are `***`. A comment behind
    /// each value says where it came from: `default`, `gateway.yaml:12` or `environment NAME`.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for entry in &self.entries {
            if entry.section != section && !entry.section.is_empty() {
                open(&mut out, section, &entry.section);
            }
            section = &entry.section;
            let indent = match (section.is_empty(), section.contains('.')) {
                (true, _) => "",
                (false, false) => "  ",
                (false, true) => "    ",
            };
            let origin = self.origin(entry);
            let _ = match &entry.value {
                Some(value) => writeln!(out, "{indent}{}: {value}  # {origin}", entry.name),
                None => writeln!(out, "{indent}# {}:  # {origin}", entry.name),
            };
        }
        out
    }

    fn origin(&self, entry: &Entry) -> String {
        match &entry.origin {
            Origin::Default => "default".to_owned(),
            Origin::File(position) => format!("{}:{}", self.file.escape_debug(), position.line),
            Origin::Environment(variable) => format!("environment {variable}"),
        }
    }
}

/// Begins the section after another one. One of several that are alike stands in a mapping of them.
fn open(out: &mut String, before: &str, section: &str) {
    let _ = match section.split_once('.') {
        None => writeln!(out, "{section}:"),
        Some((all, one)) => {
            if before.split_once('.').map(|(all, _)| all) != Some(all) {
                let _ = writeln!(out, "{all}:");
            }
            writeln!(out, "  {one}:")
        }
    };
}
