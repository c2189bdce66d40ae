//! Kinds of single values.

use std::{
    fmt::Display,
    marker::PhantomData,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Kind, NOWHERE, yaml_text};
use crate::{
    field::Field,
    node::{Key, Node, Value},
    route::{Limit, PartSpec},
    settings::secret::{MASK, Secret},
    units::{format_duration, format_size},
};

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
        field.number(self.0.clone())
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(value.to_string())
    }
}

/// A finite number within a range, or `off`.
pub(crate) struct DecimalOrOff(pub(crate) RangeInclusive<f64>);

impl Kind for DecimalOrOff {
    type Value = Option<f64>;

    fn describe(&self) -> String {
        format!("`off`, or a {}", Decimal(self.0.clone()).describe())
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<Option<f64>> {
        field.number_or_off(self.0.clone())
    }

    fn write(&self, value: &Option<f64>) -> Option<String> {
        Some(value.map_or_else(|| "off".to_owned(), |value| value.to_string()))
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
            _ => format!("{{ {name}: {} }}", node_text(&value.args)),
        })
    }
}

/// Keys of a filter's arguments whose texts never print.
const SECRETS: [&str; 2] = ["secret", "client_secret"];

/// A value as YAML on one line.
pub(crate) fn node_text(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Scalar(scalar) if scalar.quoted => {
            serde_json::Value::from(scalar.text.as_str()).to_string()
        }
        Value::Scalar(scalar) => yaml_text(&scalar.text),
        Value::Sequence(items) => format!(
            "[{}]",
            items.iter().map(node_text).collect::<Vec<_>>().join(", ")
        ),
        Value::Mapping(entries) => {
            let entry = |(key, node): &(Key, Node)| {
                let text = match SECRETS.contains(&key.text.as_str()) {
                    true => format!("\"{MASK}\""),
                    false => node_text(node),
                };
                format!("{}: {text}", yaml_text(&key.text))
            };
            format!(
                "{{ {} }}",
                entries.iter().map(entry).collect::<Vec<_>>().join(", ")
            )
        }
    }
}
