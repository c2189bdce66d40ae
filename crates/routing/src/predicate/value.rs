//! What a header, a query parameter or a cookie has to be.

use std::fmt;

use pailou_config::Field;
use regex::bytes::{Regex, RegexBuilder};

/// Compiled size of one expression. With 20,000 routes the worst case stays
/// bounded; real ones take a few KiB.
const MAX_REGEX_BYTES: usize = 256 << 10;

const MAX_REGEX_TEXT_BYTES: usize = 1024;

/// A condition on the values of one name.
#[derive(Clone, Debug)]
pub(crate) enum ValueMatch {
    /// One of the values is this text.
    Exact(String),
    /// The whole of one of the values matches.
    Regex(Regex),
    /// There is a value, or (`false`) there is none.
    Present(bool),
}

impl ValueMatch {
    /// Reads `text`, `{ regex: text }` or `{ present: true }`.
    pub(crate) fn parse(field: &Field<'_>) -> Option<ValueMatch> {
        const FORMS: &str = "a value, `{ regex: … }`, or `{ present: true }`";
        if field.is_scalar() {
            return field.string().map(ValueMatch::Exact);
        }
        if !field.is_mapping() {
            field.fault_expected("not a condition on a value", FORMS);
            return None;
        }
        let mut fields = field.mapping()?;
        let regex = fields.optional("regex");
        let present = fields.optional("present");
        fields.finish();
        match (regex, present) {
            (Some(regex), None) => compile_regex(&regex).map(ValueMatch::Regex),
            (None, Some(present)) => present.boolean().map(ValueMatch::Present),
            (None, None) => {
                field.fault_expected("no condition", FORMS);
                None
            }
            (Some(_), Some(_)) => {
                field.fault_expected("two conditions on one value", FORMS);
                None
            }
        }
    }

    /// Whether it holds for plain values, given a function that calls back with
    /// each of them.
    pub(crate) fn holds(&self, values: impl FnOnce(&mut dyn FnMut(&[u8]))) -> bool {
        self.holds_spelled(
            values,
            |value, text| value == text.as_bytes(),
            |value, regex| regex.is_match(value),
        )
    }

    /// The same for values in a spelling of their own, which `is_text` and
    /// `is_match` know to read.
    pub(crate) fn holds_spelled(
        &self,
        values: impl FnOnce(&mut dyn FnMut(&[u8])),
        is_text: impl Fn(&[u8], &str) -> bool,
        is_match: impl Fn(&[u8], &Regex) -> bool,
    ) -> bool {
        let mut found = false;
        match self {
            ValueMatch::Exact(text) => values(&mut |value| found = found || is_text(value, text)),
            ValueMatch::Regex(regex) => {
                values(&mut |value| found = found || is_match(value, regex))
            }
            ValueMatch::Present(_) => values(&mut |_| found = true),
        }
        match self {
            ValueMatch::Present(wanted) => found == *wanted,
            _ => found,
        }
    }
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueMatch::Exact(text) => write!(f, "= {text}"),
            ValueMatch::Regex(regex) => {
                // Without the anchors that were put around it.
                let text = regex.as_str();
                let text = text
                    .strip_prefix(ANCHORS.0)
                    .and_then(|text| text.strip_suffix(ANCHORS.1))
                    .unwrap_or(text);
                write!(f, "matches {text}")
            }
            ValueMatch::Present(true) => f.write_str("present"),
            ValueMatch::Present(false) => f.write_str("absent"),
        }
    }
}

const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");

fn compile_regex(field: &Field<'_>) -> Option<Regex> {
    let text = field.string()?;
    if text.len() > MAX_REGEX_TEXT_BYTES {
        field.fault(format!(
            "an expression longer than {MAX_REGEX_TEXT_BYTES} bytes"
        ));
        return None;
    }
    // By itself first: `a)(b` is legal between parentheses and means nothing.
    let compiled = regex(&text).and_then(|_| regex(&format!("{}{text}{}", ANCHORS.0, ANCHORS.1)));
    match compiled {
        Ok(regex) => Some(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            field.fault(format!(
                "the expression takes more than {MAX_REGEX_BYTES} bytes when compiled"
            ));
            None
        }
        Err(error) => {
            // The parser's message draws the expression over several lines; the last one says what is wrong.
            let message = error.to_string();
            let reason = message
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            field.fault_expected(
                format!("not a regular expression: {reason}"),
                "the syntax of the Rust crate `regex`",
            );
            None
        }
    }
}

fn regex(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .build()
}
