//! Reading single values.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use super::Field;
use crate::{
    node::{Scalar, Value},
    route::Limit,
    units::{format_duration, format_size, parse_duration, parse_size},
};

/// A value is quoted in a fault up to this many characters.
const MAX_QUOTED_CHARS: usize = 60;

impl Field<'_> {
    /// A text: any scalar, as it was written.
    pub fn string(&self) -> Option<String> {
        self.scalar("a text").map(|scalar| scalar.text.clone())
    }

    /// `true` or `false`, unquoted. `yes` and `on` are texts to some parsers and booleans to others: refused.
    pub fn boolean(&self) -> Option<bool> {
        self.bare("true or false", |text| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    /// A whole number within `range`, unquoted.
    pub fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.bare(
            &format!("a whole number from {} to {}", range.start(), range.end()),
            |text| {
                digits(text)?
                    .parse()
                    .ok()
                    .filter(|number| range.contains(number))
            },
        )
    }

    /// A whole number within `range`, which may be below zero; unquoted.
    pub fn signed(&self, range: RangeInclusive<i64>) -> Option<i64> {
        self.bare(
            &format!("a whole number from {} to {}", range.start(), range.end()),
            |text| {
                digits(text.strip_prefix('-').unwrap_or(text))?;
                text.parse().ok().filter(|number| range.contains(number))
            },
        )
    }

    /// A number within `range`, whose ends are finite; unquoted.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.number_as(&expected, &range)
    }

    /// A number within `range`, or `off`.
    pub fn number_or_off(&self, range: RangeInclusive<f64>) -> Option<Option<f64>> {
        if self.is_off() {
            return Some(None);
        }
        let expected = format!(
            "`off`, or a number from {} to {}",
            range.start(),
            range.end()
        );
        self.number_as(&expected, &range).map(Some)
    }

    fn number_as(&self, expected: &str, range: &RangeInclusive<f64>) -> Option<f64> {
        self.bare(expected, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// A duration with its unit, such as `500ms`, `5s`, `2m` or `1h`, within `range`.
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let expected = || {
            let (low, high) = (
                format_duration(*range.start()),
                format_duration(*range.end()),
            );
            format!("a duration with its unit (500ms, 5s, 2m, 1h) from {low} to {high}")
        };
        self.text(expected, |text| {
            parse_duration(text).filter(|duration| range.contains(duration))
        })
    }

    /// A number of bytes, such as `64KiB`, `10MiB`, `1GiB` or a plain number, within `range`.
    pub fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = || {
            let (low, high) = (format_size(*range.start()), format_size(*range.end()));
            format!("a size (64KiB, 10MiB, 1GiB or a number of bytes) from {low} to {high}")
        };
        self.text(expected, |text| {
            parse_size(text).filter(|size| range.contains(size))
        })
    }

    /// One of a few names. A fault lists them and proposes the nearest.
    pub fn one_of<T: Clone>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let scalar = self.scalar(&format!(
            "one of {}",
            names().collect::<Vec<_>>().join(", ")
        ))?;
        let choice = choices.iter().find(|(name, _)| *name == scalar.text);
        if choice.is_none() {
            self.fault_unknown(self.quoted(), &scalar.text, names());
        }
        choice.map(|(_, value)| value.clone())
    }

    /// Whether it is the word `off`.
    pub(crate) fn is_off(&self) -> bool {
        matches!(&self.node.value, Value::Scalar(scalar) if scalar.text == "off")
    }

    /// A duration as [`duration`](Field::duration) reads it, or `off`.
    pub fn limit(&self, range: RangeInclusive<Duration>) -> Option<Limit> {
        if self.is_off() {
            return Some(Limit::Off);
        }
        self.duration(range).map(Limit::After)
    }

    /// Anything that can be parsed from its text; `expected` says what that is, and the parser's own error why not.
    pub fn parse<T: FromStr>(&self, expected: &str) -> Option<T>
    where
        T::Err: Display,
    {
        match self.scalar(expected)?.text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault_expected(format!("{}: {error}", self.quoted()), expected);
                None
            }
        }
    }

    /// Names and texts, both chosen by the user.
    pub fn string_map(&self) -> Option<BTreeMap<String, String>> {
        let entries = self.entries()?;
        let count = entries.len();
        let read =
            |(key, field): (&crate::Key, Field<'_>)| Some((key.text.clone(), field.string()?));
        let map: BTreeMap<_, _> = entries.into_iter().filter_map(read).collect();
        (map.len() == count).then_some(map)
    }

    /// A list of texts; a lone value is a list of one.
    pub fn string_list(&self) -> Option<Vec<String>> {
        self.each(Field::string)
    }

    fn scalar(&self, expected: &str) -> Option<&Scalar> {
        let Value::Scalar(scalar) = &self.node.value else {
            self.fault_expected(self.found(), expected);
            return None;
        };
        Some(scalar)
    }

    /// A scalar that must not be quoted: `"1"` is a text.
    fn bare<T>(&self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let scalar = self.scalar(expected)?;
        let value = if scalar.quoted {
            None
        } else {
            read(&scalar.text)
        };
        if value.is_none() {
            let problem = if scalar.quoted {
                format!("the text {}", self.quoted())
            } else {
                self.quoted()
            };
            self.fault_expected(problem, expected);
        }
        value
    }

    fn text<T>(
        &self,
        expected: impl Fn() -> String,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Value::Scalar(scalar) = &self.node.value else {
            self.fault_expected(self.found(), expected());
            return None;
        };
        let value = read(&scalar.text);
        if value.is_none() {
            self.fault_expected(self.quoted(), expected());
        }
        value
    }

    /// The scalar's text for a fault: short, on one line, escaped.
    pub fn quoted(&self) -> String {
        match &self.node.value {
            Value::Scalar(scalar) => quote(&scalar.text),
            _ => self.found().to_owned(),
        }
    }
}

/// A text for a fault: short, on one line, escaped, in back quotes.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_QUOTED_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}
