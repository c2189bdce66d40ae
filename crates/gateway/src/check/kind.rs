//! What a file on the command line is: settings or a route document.
//!
//! What `pailou run` takes is settings here too. The content decides; where it says nothing, the name does.

use std::collections::HashSet;
use std::path::Path;

use pailou_config::{Node, Report, Value, is_scg_document, settings_reference};

/// The two kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `gateway.yaml`.
    Settings,
    /// A route document.
    Document,
}

impl Kind {
    /// The kind of a file with this name and text.
    pub(super) fn of(path: &Path, text: &str) -> Kind {
        if is_scg_document(text) {
            return Kind::Document;
        }
        let by_name = if path.file_stem().is_some_and(|stem| stem == "gateway") {
            Kind::Settings
        } else {
            Kind::Document
        };
        // Only the shape is asked for; faults are told by whoever reads it.
        let Some(root) = Node::parse_yaml(text, &Report::new("")) else {
            return by_name;
        };
        match root.value {
            // Nothing is set, which is how many a gateway.yaml begins.
            Value::Null => Kind::Settings,
            Value::Mapping(entries) if entries.is_empty() => Kind::Settings,
            Value::Mapping(entries) => {
                let names = names_of_settings();
                let kinds = entries
                    .iter()
                    .filter_map(|(key, node)| of_key(&key.text, node, &names));
                kinds.reduce(Kind::rather_settings).unwrap_or(by_name)
            }
            // A list of routes, or a text in another format.
            Value::Sequence(_) | Value::Scalar(_) => Kind::Document,
        }
    }

    fn rather_settings(self, other: Kind) -> Kind {
        if self == other { self } else { Kind::Settings }
    }
}

/// The names that settings have at the top, but for `routes`, which documents have too.
fn names_of_settings() -> HashSet<String> {
    let mut names = HashSet::new();
    for section in settings_reference() {
        if section.name.is_empty() {
            names.extend(section.keys.into_iter().map(|key| key.path));
        } else {
            names.insert(section.name.to_owned());
        }
    }
    names.remove("routes");
    names
}

/// The kind that a key at the top tells of.
fn of_key(key: &str, node: &Node, names: &HashSet<String>) -> Option<Kind> {
    if key != "routes" {
        return names.contains(key).then_some(Kind::Settings);
    }
    match &node.value {
        Value::Mapping(_) => Some(Kind::Document),
        Value::Sequence(items) => {
            let is_source = |item: &Node| {
                let Value::Mapping(keys) = &item.value else {
                    return false;
                };
                keys.iter()
                    .any(|(key, _)| matches!(key.text.as_str(), "data_id" | "file"))
            };
            match items.as_slice() {
                [] => None,
                items if items.iter().any(is_source) => Some(Kind::Settings),
                _ => Some(Kind::Document),
            }
        }
        Value::Null | Value::Scalar(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use pailou_config::{Environment, load_settings};

    use super::*;

    #[test]
    fn settings_and_documents_are_told_apart() {
        use Kind::{Document, Settings};
        for (name, text, expected) in [
            ("x.yaml", "routes: { /a/**: a }", Document),
            ("x.yaml", "routes: {}", Document),
            ("x.yaml", "routes: [{ data_id: r.yaml }]", Settings),
            ("x.yaml", "routes: [{ file: r.yaml }]", Settings),
            ("x.yaml", "nacos: {}\nroutes: {}", Settings),
            ("x.yaml", "listeners: [{ address: 127.0.0.1:1 }]", Settings),
            ("x.yaml", "workers: 2", Settings),
            ("x.yaml", "route: {}", Document),
            ("gateway.yaml", "route: {}", Settings),
            ("gateway.yaml", "routes: { /a/**: a }", Document),
            ("gateway.yaml", "", Settings),
            ("gateway.yaml", "# nothing", Settings),
            ("routes.yaml", "", Settings),
            ("routes.yaml", "{}", Settings),
            ("routes.yaml", "routes: []", Document),
            ("gateway.yaml", "routes: []", Settings),
            (
                "routes.yaml",
                "routes: [{ id: a, uri: 'lb://a' }]",
                Document,
            ),
            ("routes.yaml", "- id: a\n  uri: lb://a", Document),
            ("routes.json", "[]", Document),
            (
                "routes.properties",
                "spring.cloud.gateway.routes[0].id=a",
                Document,
            ),
            (
                "gateway.yml",
                "server: {}\n---\nspring.cloud.gateway.routes: []",
                Document,
            ),
            ("gateway.yml", "log: {}\nspring: { cloud: {} }", Document),
            ("x.yaml", "nacos: [a", Document),
            ("gateway.yaml", "nacos: [a", Settings),
        ] {
            assert_eq!(Kind::of(Path::new(name), text), expected, "{name}: {text}");
        }
    }

    /// `run` took files that `check` refused, since it held them for route documents.
    #[test]
    fn what_run_takes_check_reads_as_settings() {
        let sections = settings_reference();
        let mut random = fastrand::Rng::with_seed(11);
        let folder = tempfile::tempdir().expect("a folder");
        // A name that says nothing.
        let path = folder.path().join("x.yaml");
        let mut taken = 0;
        for round in 0..150 {
            // The defaults of some sections, or of some keys of one, or nothing but a key at the top.
            let mut text = String::new();
            for section in &sections {
                let wanted = match round % 3 {
                    0 => random.u8(..4) == 0,
                    1 => section.name.is_empty(),
                    _ => random.u8(..12) == 0,
                };
                let keys = section.keys.iter().filter(|key| !key.path.contains("[]"));
                let mut keys: Vec<_> = keys.filter(|_| wanted && random.bool()).collect();
                random.shuffle(&mut keys);
                let indent = if section.name.is_empty() { "" } else { "  " };
                if !keys.is_empty() && !indent.is_empty() {
                    text.push_str(&format!("{}:\n", section.name));
                }
                for key in keys {
                    let name = key.path.rsplit('.').next().expect("a name");
                    if let Some(default) = &key.default {
                        text.push_str(&format!("{indent}{name}: {default}\n"));
                    }
                }
            }
            std::fs::write(&path, &text).expect("a file");
            if load_settings(Some(&path), &Environment::default()).is_ok() {
                taken += 1;
                assert_eq!(Kind::of(&path, &text), Kind::Settings, "{text}");
            }
        }
        assert!(taken > 75, "only {taken} were settings at all");
    }
}
