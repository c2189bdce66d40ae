//! One argument of a Spring part.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use super::{
    key,
    units::{SignedDuration, parse_duration, parse_size},
};
use crate::{
    fault::Position,
    field::{Field, quote},
};

/// An argument's text and where it stands. Each reading method gives the value as Spring's conversions would, or reports a
/// fault and gives `None`.
#[derive(Clone, Debug)]
pub struct ScgArg<'a> {
    field: Field<'a>,
    text: &'a str,
}

impl<'a> ScgArg<'a> {
    /// `text` is what counts of the value at `field`.
    pub(super) fn new(field: Field<'a>, text: &'a str) -> ScgArg<'a> {
        ScgArg { field, text }
    }

    /// Tells of it by another path from now on.
    pub(super) fn move_to(&mut self, path: String) {
        self.field = Field::new(self.field.node(), path, self.field.report());
    }

    /// The text as it was written; empty for `null`.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Where it stands.
    pub fn at(&self) -> Position {
        self.field.at()
    }

    /// The text for a fault: short, on one line, in back quotes.
    pub fn quoted(&self) -> String {
        quote(self.text)
    }

    /// Reports an error at this argument; its route is refused.
    pub fn fault(&self, problem: impl Into<String>) {
        self.field.fault(problem);
    }

    /// Reports an error at this argument and says what was expected.
    pub fn fault_expected(&self, problem: impl Into<String>, expected: impl Into<String>) {
        self.field.fault_expected(problem, expected);
    }

    /// Reports something that is used but worth knowing, such as a difference from Spring.
    pub fn warn(&self, problem: impl Into<String>) {
        self.field.warn(problem);
    }

    /// `50ms`, `5s`, `PT5S`; a bare number is milliseconds.
    pub fn duration(&self) -> Option<Duration> {
        self.read(
            "a duration (50ms, 5s, PT5S or milliseconds)",
            |text| match parse_duration(text)? {
                SignedDuration::Positive(duration) => Some(duration),
                SignedDuration::Negative => None,
            },
        )
    }

    /// `10B`, `5MB` (of 1,024 × 1,024 bytes); a bare number is bytes.
    pub fn size(&self) -> Option<u64> {
        self.read("a size (10B, 64KB, 5MB or a number of bytes)", parse_size)
    }

    /// A whole number within `range`; quotes around it do not matter.
    pub fn integer<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(&expected, |text| {
            let number: i64 = text.trim().parse().ok()?;
            T::try_from(number)
                .ok()
                .filter(|number| range.contains(number))
        })
    }

    /// A finite number within `range`.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.read(&expected, |text| {
            text.trim()
                .parse()
                .ok()
                .filter(|number| range.contains(number))
        })
    }

    /// `true`, `on`, `yes`, `1`, or their contraries, in any case.
    pub fn boolean(&self) -> Option<bool> {
        self.read("true or false", parse_boolean)
    }

    /// One of a few names, which are compared as Spring compares those of enums: `retain-last` is `RETAIN_LAST`.
    pub fn one_of<T: Clone>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let wanted = key::folded(self.text);
        let choice = choices.iter().find(|(name, _)| key::folded(name) == wanted);
        if choice.is_none() {
            let names = choices.iter().map(|(name, _)| *name);
            self.field.fault_unknown(self.quoted(), self.text, names);
        }
        choice.map(|(_, value)| value.clone())
    }

    /// The parts of a text that stands for a list: separated by commas, trimmed, empty ones dropped.
    pub(super) fn split(&self) -> Vec<ScgArg<'a>> {
        tokens(self.text)
            .map(|text| ScgArg::new(self.field.clone(), text))
            .collect()
    }

    fn read<T>(&self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = read(self.text);
        if value.is_none() {
            self.fault_expected(self.quoted(), expected);
        }
        value
    }
}

/// What Spring makes of a text where it wants a boolean (`StringToBooleanConverter`).
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Spring's tokens: separated by commas, trimmed, empty ones dropped; nothing quotes a comma
/// (`StringUtils.tokenizeToStringArray`).
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(|token| token.trim_matches(is_java_space))
        .filter(|token| !token.is_empty())
}

/// What Java's `trim` takes away: every control character of ASCII too.
fn is_java_space(c: char) -> bool {
    c <= ' '
}
