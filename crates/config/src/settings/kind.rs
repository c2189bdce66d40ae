//! The kinds of values that a setting can have: how one is described, read and written.

use std::{
    collections::BTreeMap,
    fmt::Display,
    marker::PhantomData,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::secret::{MASK, Secret};
use crate::{
    fault::Position,
    field::Field,
    node::{Key, Node, Value},
    route::{Limit, PartSpec},
    units::{format_duration, format_size},
};

/// Where a value that came from outside any text is said to stand.
const NOWHERE: Position = Position { line: 1, column: 1 };

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

/// `true` or `false`.
pub(crate) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn describe(&self) -> String {
        "`true` or `false`".to_owned()
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<bool> {
        field.boolean()
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// A whole number within a range.
pub(crate) struct Whole<T> {
    range: RangeInclusive<u64>,
    number: PhantomData<T>,
}

pub(crate) fn whole<T>(range: RangeInclusive<u64>) -> Whole<T> {
    Whole {
        range,
        number: PhantomData,
    }
}

impl<T: TryFrom<u64> + Display> Kind for Whole<T> {
    type Value = T;

    fn describe(&self) -> String {
        format!("number, {} to {}", self.range.start(), self.range.end())
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<T> {
        T::try_from(field.integer(self.range.clone())?).ok()
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(value.to_string())
    }
}

/// A number of bytes within a range.
pub(crate) struct Bytes<T> {
    range: RangeInclusive<u64>,
    number: PhantomData<T>,
}

pub(crate) fn bytes<T>(range: RangeInclusive<u64>) -> Bytes<T> {
    Bytes {
        range,
        number: PhantomData,
    }
}

impl<T: TryFrom<u64> + TryInto<u64> + Copy> Kind for Bytes<T> {
    type Value = T;

    fn describe(&self) -> String {
        format!(
            "size, {} to {}",
            format_size(*self.range.start()),
            format_size(*self.range.end())
        )
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<T> {
        T::try_from(field.size(self.range.clone())?).ok()
    }

    fn write(&self, value: &T) -> Option<String> {
        (*value).try_into().ok().map(format_size)
    }
}

/// A finite number within a range.
pub(crate) struct Decimal(pub(crate) RangeInclusive<f64>);

impl Kind for Decimal {
    type Value = f64;

    fn describe(&self) -> String {
        format!("number, {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<f64> {
        let number = field.number()?;
        if !self.0.contains(&number) {
            field.fault_expected(
                field.quoted(),
                format!("a number from {} to {}", self.0.start(), self.0.end()),
            );
            return None;
        }
        Some(number)
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(value.to_string())
    }
}

/// A duration within a range.
pub(crate) struct Time(pub(crate) RangeInclusive<Duration>);

impl Kind for Time {
    type Value = Duration;

    fn describe(&self) -> String {
        format!(
            "duration, {} to {}",
            format_duration(*self.0.start()),
            format_duration(*self.0.end())
        )
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<Duration> {
        field.duration(self.0.clone())
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some(format_duration(*value))
    }
}

/// A duration within a range, or `off`.
pub(crate) struct TimeOrOff(pub(crate) RangeInclusive<Duration>);

impl Kind for TimeOrOff {
    type Value = Limit;

    fn describe(&self) -> String {
        format!("`off`, or a {}", Time(self.0.clone()).describe())
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<Limit> {
        field.limit(self.0.clone())
    }

    fn write(&self, value: &Limit) -> Option<String> {
        Some(
            value
                .duration()
                .map_or_else(|| "off".to_owned(), format_duration),
        )
    }
}

/// One of a few names.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Clone + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn describe(&self) -> String {
        self.0
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<T> {
        field.one_of(self.0)
    }

    fn write(&self, value: &T) -> Option<String> {
        self.0
            .iter()
            .find(|(_, choice)| choice == value)
            .map(|(name, _)| (*name).to_owned())
    }
}

/// A text that a function turns into a value.
pub(crate) struct Parsed<T> {
    /// What it is, with its article: `an IP address`.
    pub(crate) what: &'static str,
    pub(crate) parse: fn(&str) -> Result<T, String>,
    pub(crate) show: fn(&T) -> String,
}

impl<T> Kind for Parsed<T> {
    type Value = T;

    fn describe(&self) -> String {
        self.what.to_owned()
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<T> {
        if !field.is_scalar() {
            field.fault_expected(field.quoted(), self.what);
            return None;
        }
        match (self.parse)(&field.string()?) {
            Ok(value) => Some(value),
            Err(problem) => {
                field.fault_expected(problem, self.what);
                None
            }
        }
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(yaml_text(&(self.show)(value)))
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
        let items = field.sequence_or_one()?;
        let values: Vec<_> = items
            .iter()
            .filter_map(|item| self.0.read(item, base))
            .collect();
        (values.len() == items.len()).then_some(values)
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

/// A password or token. Its text is in no fault.
pub(crate) struct SecretText;

impl Kind for SecretText {
    type Value = Secret;

    fn describe(&self) -> String {
        "secret text".to_owned()
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<Secret> {
        let text = field.string()?;
        if text.is_empty() {
            field.fault_expected("an empty secret", "a text, or no such key");
            return None;
        }
        Some(Secret::new(text))
    }

    fn write(&self, _: &Secret) -> Option<String> {
        Some(yaml_text(MASK))
    }

    fn node(&self, text: &str) -> Node {
        // Not trimmed: a blank may belong to a password.
        Node::scalar(text, NOWHERE)
    }
}

/// The path of a file. A relative one starts at the folder of `gateway.yaml`.
pub(crate) struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn describe(&self) -> String {
        "path of a file".to_owned()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<PathBuf> {
        let text = field.string()?;
        if text.is_empty() {
            field.fault_expected("an empty path", "the path of a file");
            return None;
        }
        Some(base.join(text))
    }

    fn write(&self, value: &PathBuf) -> Option<String> {
        Some(yaml_text(&value.to_string_lossy()))
    }
}

/// A name alone, or one name with its arguments, for a registry of another crate.
pub(crate) struct Part;

impl Kind for Part {
    type Value = PartSpec;

    fn describe(&self) -> String {
        "a name, or a mapping of one name to its arguments".to_owned()
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<PartSpec> {
        field.part()
    }

    fn write(&self, value: &PartSpec) -> Option<String> {
        let name = yaml_text(&value.name);
        Some(match &value.args.value {
            Value::Null => name,
            _ => format!("{{ {name}: {} }}", write_node(&value.args)),
        })
    }
}

fn write_node(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Scalar(scalar) if scalar.quoted => {
            serde_json::Value::from(scalar.text.as_str()).to_string()
        }
        Value::Scalar(scalar) => yaml_text(&scalar.text),
        Value::Sequence(items) => format!(
            "[{}]",
            items.iter().map(write_node).collect::<Vec<_>>().join(", ")
        ),
        Value::Mapping(entries) => {
            let entry = |(key, node): &(Key, Node)| {
                format!("{}: {}", yaml_text(&key.text), write_node(node))
            };
            format!(
                "{{ {} }}",
                entries.iter().map(entry).collect::<Vec<_>>().join(", ")
            )
        }
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
