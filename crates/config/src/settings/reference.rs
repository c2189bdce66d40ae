//! The description of every setting, from which the reference page is written.

use std::path::Path;

use super::{
    environment::Environment,
    read,
    schema::{Entry, Outcome, Reader},
};
use crate::fault::Report;

/// A section of `gateway.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionDoc {
    /// Its name; empty for the keys at the top.
    pub name: &'static str,
    /// What it is about.
    pub about: String,
    /// Its keys, in the order in which they are printed.
    pub keys: Vec<KeyDoc>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDoc {
    /// The path, such as `nacos.servers` or, for the items of a list, `listeners[].address`.
    pub path: String,
    /// What may be written: kind and range.
    pub kind: String,
    /// The default as it would be written; `None` when the setting is not set by default.
    pub default: Option<String>,
    /// The environment variables that set it, in their order.
    pub variables: Vec<String>,
    /// What it does, in Markdown.
    pub doc: String,
}

/// Describes every setting of `gateway.yaml`, in the order of the file.
///
/// ```
/// let sections = pailou_config::settings_reference();
/// let nacos = sections.iter().find(|section| section.name == "nacos").expect("the section");
/// assert_eq!(nacos.keys[0].path, "nacos.servers");
/// assert_eq!(nacos.keys[0].variables, ["PAILOU_NACOS_SERVERS", "NACOS_SERVER_ADDR"]);
/// ```
pub fn settings_reference() -> Vec<SectionDoc> {
    // Reading nothing visits every key.
    let environment = Environment::default();
    let report = Report::new("reference");
    let mut reader = Reader::new(&environment, Path::new(""), &report);
    read(None, &mut reader);
    let Outcome {
        entries, sections, ..
    } = reader.finish();
    let top = SectionDoc {
        name: "",
        about: String::new(),
        keys: Vec::new(),
    };
    let named = sections.iter().map(|(name, about)| SectionDoc {
        name,
        about: prose(about),
        keys: Vec::new(),
    });
    let mut docs: Vec<SectionDoc> = std::iter::once(top).chain(named).collect();
    for entry in &entries {
        if let Some(section) = docs
            .iter_mut()
            .find(|section| section.name == entry.section)
        {
            section.keys.extend(keys(entry));
        }
    }
    docs
}

/// The setting, and the keys of its items if it is a list of mappings.
fn keys(entry: &Entry) -> Vec<KeyDoc> {
    let path = entry.path();
    let item = |key: &super::kind::ItemKey| KeyDoc {
        path: format!("{path}[].{}", key.name),
        kind: key.kind.to_owned(),
        default: None,
        variables: Vec::new(),
        doc: key.doc.to_owned(),
    };
    let items: Vec<_> = entry.item_keys.iter().map(item).collect();
    let setting = KeyDoc {
        kind: entry.kind.clone(),
        default: entry.default.clone(),
        variables: entry.variables.clone(),
        doc: prose(entry.doc),
        path,
    };
    std::iter::once(setting).chain(items).collect()
}

/// The lines of a doc comment as one paragraph.
fn prose(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
