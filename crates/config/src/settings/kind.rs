//! The kinds of values that a setting can have: how one is described, read and written.

mod plain;

use std::{collections::BTreeMap, path::Path};

use crate::{
    fault::Position,
    field::Field,
    node::{Key, Node, Value},
};

pub(crate) use plain::{
    Choice, Decimal, DecimalOrOff, FilePath, Flag, Parsed, Part, SecretText, Time, TimeOrOff,
    bytes, node_text, whole,
};

/// Where a value that came from outside any text is said to stand.
pub(super) const NOWHERE: Position = Position { line: 1, column: 1 };

/// One kind of value.
pub(crate) trait Kind {
    /// What a setting of this kind is in the program.
    type Value;

    /// What is written in `gateway.yaml`, for people: `duration, 1ms to 1m`.
    fn describe(&self) -> String;

    /// Reads it; faults go to the field's report. Relative file paths start at `base`.
    fn read(&self, field: &Field<'_>, base: &Path) -> Option<Self::Value>;

    /// Writes it as YAML on one line; `None` for a setting that is not set.
    fn write(&self, value: &Self::Value) -> Option<String>;

    /// The tree of an environment variable's text.
    fn node(&self, text: &str) -> Node {
        scalar(text)
    }

    /// The keys of one item, for a list of mappings.
    fn item_keys(&self) -> Vec<ItemKey> {
        Vec::new()
    }
}

/// A key of the mappings in a list such as `listeners`.
pub(crate) struct ItemKey {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) doc: &'static str,
}

/// A text as YAML: bare where that is safe inside and outside of brackets, in quotes otherwise.
pub(crate) fn yaml_text(text: &str) -> String {
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-');
    let is_bare = text.bytes().all(is_safe)
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'/')
        && !text.eq_ignore_ascii_case("null");
    if is_bare {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

fn scalar(text: &str) -> Node {
    Node::scalar(text.trim(), NOWHERE)
}

/// The parts of a comma list, without blanks.
pub(crate) fn comma_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

pub(crate) fn mapping_node(entries: impl IntoIterator<Item = (String, Node)>) -> Node {
    let entry = |(text, node)| (Key { text, at: NOWHERE }, node);
    Node {
        value: Value::Mapping(entries.into_iter().map(entry).collect()),
        at: NOWHERE,
    }
}

pub(crate) fn sequence_node(items: impl IntoIterator<Item = Node>) -> Node {
    Node {
        value: Value::Sequence(items.into_iter().collect()),
        at: NOWHERE,
    }
}

/// A value that may be left out; `null` leaves it out too.
pub(crate) struct Maybe<K>(pub(crate) K);

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<Option<K::Value>> {
        if field.is_null() {
            Some(None)
        } else {
            self.0.read(field, base).map(Some)
        }
    }

    fn write(&self, value: &Option<K::Value>) -> Option<String> {
        value.as_ref().and_then(|value| self.0.write(value))
    }

    fn node(&self, text: &str) -> Node {
        self.0.node(text)
    }
}

/// A list; in the environment, separated by commas. A lone value is a list of one.
pub(crate) struct List<K>(pub(crate) K);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn describe(&self) -> String {
        format!("list of: {}", self.0.describe())
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<Vec<K::Value>> {
        field.each(|item| self.0.read(item, base))
    }

    fn write(&self, value: &Vec<K::Value>) -> Option<String> {
        let items: Vec<_> = value.iter().filter_map(|item| self.0.write(item)).collect();
        Some(format!("[{}]", items.join(", ")))
    }

    fn node(&self, text: &str) -> Node {
        sequence_node(comma_list(text).map(|item| self.0.node(item)))
    }

    fn item_keys(&self) -> Vec<ItemKey> {
        self.0.item_keys()
    }
}

/// Names chosen by the user, and a value for each; in the environment, `name=value` separated by commas.
pub(crate) struct Map<K>(pub(crate) K);

impl<K: Kind> Kind for Map<K> {
    type Value = BTreeMap<String, K::Value>;

    fn describe(&self) -> String {
        format!("mapping of names to: {}", self.0.describe())
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<BTreeMap<String, K::Value>> {
        let entries = field.entries()?;
        let count = entries.len();
        let read =
            |(key, field): (&Key, Field<'_>)| Some((key.text.clone(), self.0.read(&field, base)?));
        let map: BTreeMap<_, _> = entries.into_iter().filter_map(read).collect();
        (map.len() == count).then_some(map)
    }

    fn write(&self, value: &BTreeMap<String, K::Value>) -> Option<String> {
        if value.is_empty() {
            return Some("{}".to_owned());
        }
        let entry = |(name, value): (&String, &K::Value)| {
            Some(format!("{}: {}", yaml_text(name), self.0.write(value)?))
        };
        Some(format!(
            "{{ {} }}",
            value
                .iter()
                .filter_map(entry)
                .collect::<Vec<_>>()
                .join(", ")
        ))
    }

    fn node(&self, text: &str) -> Node {
        mapping_node(comma_list(text).map(|entry| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            (name.trim().to_owned(), self.0.node(value))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_so_that_it_reads_back() {
        for text in [
            "plain",
            "a b",
            "",
            "null",
            "~",
            "0.0.0.0:8080",
            "[::]:80",
            "x: y",
            "#no",
            "-1",
            "tab\t\"q\"",
            "é",
            "*x",
            "***",
        ] {
            let yaml = format!("k: [{}]\nl: {}\n", yaml_text(text), yaml_text(text));
            let report = crate::Report::new("t");
            let node =
                Node::parse_yaml(&yaml, &report).unwrap_or_else(|| panic!("{yaml}: {report:?}"));
            let field = Field::new(&node, "", &report);
            let mut fields = field.mapping().expect("a mapping");
            assert_eq!(
                fields.required("k").and_then(|k| k.string_list()),
                Some(vec![text.to_owned()]),
                "{yaml}"
            );
            assert_eq!(
                fields.required("l").and_then(|l| l.string()),
                Some(text.to_owned()),
                "{yaml}"
            );
            fields.finish();
        }
    }
}
