//! YAML text to [`Node`]s: the only module that knows the YAML crate.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{Error, Location, Spanned, options::DuplicateKeyPolicy};

use crate::{
    fault::{Fault, Position, Report, Severity},
    node::{Key, Node, Scalar, Value},
    path,
};

const MAX_NODES: usize = 2_000_000;
const MAX_DEPTH: usize = 64;
/// Four times what [`MAX_DEPTH`] levels take in a debug build; only touched pages count.
const STACK_BYTES: usize = 16 << 20;
const MAX_REPLAYED_ALIAS_EVENTS: usize = 50_000;
/// A mapping of up to this many keys is searched for duplicates pairwise, without building a map.
const SMALL_MAPPING: usize = 12;

/// Parses a text that holds one YAML document.
pub(crate) fn parse(text: &str, report: &Report) -> Option<Node> {
    parse_from(text, 1, report)
}

/// Parses the part of a text that begins with the line `line` and holds one YAML document.
pub(crate) fn parse_from(text: &str, line: u32, report: &Report) -> Option<Node> {
    // Cut here, since the parser's byte offsets do not count the byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = line - 1;
    match read(text) {
        Ok(Some(raw)) => Some(
            Tree {
                text,
                lines,
                report,
            }
            .node(raw, ""),
        ),
        Ok(None) => Some(Node::null(Position { line, column: 1 })),
        Err(Unread {
            position,
            problem,
            expected,
        }) => {
            report.push(Fault {
                document: report.document().clone(),
                position: position.map(|at| moved(at, lines)),
                path: String::new(),
                problem,
                expected: expected.map(str::to_owned),
                nearest: None,
                severity: Severity::Error,
            });
            None
        }
    }
}

/// Why a text cannot be read.
struct Unread {
    position: Option<Position>,
    problem: String,
    expected: Option<&'static str>,
}

/// Reads on a thread of its own: the parser recurses, and [`MAX_DEPTH`] levels of it do not fit the two megabytes that the
/// threads of an asynchronous runtime have. It also keeps a panic of the parser from ending its caller.
fn read(text: &str) -> Result<Option<Raw>, Unread> {
    let unread = |problem: String| Unread {
        position: None,
        problem,
        expected: None,
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("yaml".to_owned())
            .stack_size(STACK_BYTES);
        let parser = thread.spawn_scoped(scope, || read_here(text));
        let parser = parser.map_err(|error| unread(format!("no thread to read it: {error}")))?;
        parser
            .join()
            .unwrap_or_else(|_| Err(unread("the YAML parser failed".to_owned())))
    })
}

fn read_here(text: &str) -> Result<Option<Raw>, Unread> {
    match serde_saphyr::from_str_with_options::<Option<Raw>>(text, options()) {
        Ok(raw) => Ok(raw),
        Err(Error::Eof { .. }) if is_blank(text) => Ok(None),
        Err(error) => {
            let (problem, expected) = explain(&error);
            Err(Unread {
                position: error.location().map(position),
                problem,
                expected,
            })
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        reject_unsupported_tags: true,
        // Duplicates are searched for below, so that all of them are found.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_depth: MAX_DEPTH,
            max_anchors: 1_000,
            // The alias limit below bounds the work. A base that every route merges is no attack.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED_ALIAS_EVENTS },
    }
}

fn is_blank(text: &str) -> bool {
    text.lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// What the parser gives: typed scalars, which [`Tree`] turns back into their text.
type Raw = Spanned<RawValue>;

enum RawValue {
    Null,
    /// A scalar that the parser would read as a boolean or a number; `String` is its normal form, the fall-back.
    Typed(String),
    Text(String),
    Sequence(Vec<Raw>),
    Mapping(Vec<(Spanned<String>, Raw)>),
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawValue, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> de::Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Typed(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawValue, E> {
        Ok(RawValue::Typed(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawValue, E> {
        Ok(RawValue::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawValue, E> {
        Ok(RawValue::Typed(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<RawValue, E> {
        Ok(RawValue::Text(value))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<RawValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(RawValue::Sequence(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<RawValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(RawValue::Mapping(entries))
    }
}

/// Turns the parser's tree into ours, with the written text at hand.
struct Tree<'a> {
    text: &'a str,
    /// How many lines stand before the text.
    lines: u32,
    report: &'a Report,
}

impl Tree<'_> {
    fn position(&self, location: Location) -> Position {
        moved(position(location), self.lines)
    }

    fn node(&self, raw: Raw, path: &str) -> Node {
        // The definition, not the alias: that is where the text to be changed stands.
        let at = self.position(raw.defined);
        let value = match raw.value {
            RawValue::Null => Value::Null,
            RawValue::Text(text) => Value::Scalar(Scalar {
                text,
                quoted: self.is_quoted(raw.defined),
            }),
            RawValue::Typed(normal) => {
                let written = self
                    .slice(raw.defined)
                    .map(str::trim)
                    .filter(|written| is_plain_typed(written));
                Value::Scalar(Scalar {
                    text: written.map_or(normal, str::to_owned),
                    quoted: false,
                })
            }
            RawValue::Sequence(items) => Value::Sequence(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| self.node(item, &path::item(path, index)))
                    .collect(),
            ),
            RawValue::Mapping(entries) => Value::Mapping(self.mapping(entries, path)),
        };
        Node { value, at }
    }

    fn mapping(&self, entries: Vec<(Spanned<String>, Raw)>, path: &str) -> Vec<(Key, Node)> {
        let mut kept: Vec<(Key, Node)> = Vec::with_capacity(entries.len());
        let mut lines: HashMap<String, u32> = HashMap::new();
        let is_small = entries.len() <= SMALL_MAPPING;
        for (key, raw) in entries {
            let at = self.position(key.defined);
            let earlier = if is_small {
                kept.iter()
                    .find(|(other, _)| other.text == key.value)
                    .map(|(other, _)| other.at.line)
            } else {
                lines.get(&key.value).copied()
            };
            let path = path::child(path, &key.value);
            if let Some(line) = earlier {
                self.report.fault(
                    Some(at),
                    path,
                    format!("duplicate key, first given in line {line}"),
                );
                continue;
            }
            if !is_small {
                lines.insert(key.value.clone(), at.line);
            }
            let node = self.node(raw, &path);
            kept.push((
                Key {
                    text: key.value,
                    at,
                },
                node,
            ));
        }
        kept
    }

    fn slice(&self, location: Location) -> Option<&str> {
        let span = location.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
        self.text.get(start..end)
    }

    fn is_quoted(&self, location: Location) -> bool {
        // No plain scalar can begin with one of these.
        self.slice(location)
            .is_some_and(|written| written.starts_with(['"', '\'', '!']))
    }
}

/// Whether `written` is the bare text of a boolean or a number, and not something with a tag, an anchor or quotes.
fn is_plain_typed(written: &str) -> bool {
    !written.is_empty()
        && written
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_' | b':'))
}

fn position(location: Location) -> Position {
    let bounded = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    Position {
        line: bounded(location.line()),
        column: bounded(location.column()),
    }
}

fn moved(at: Position, lines: u32) -> Position {
    Position {
        line: at.line.saturating_add(lines),
        ..at
    }
}

/// The parser's error in our words: names at most, never a value of the document.
fn explain(error: &Error) -> (String, Option<&'static str>) {
    let (problem, expected) = match error.without_snippet() {
        Error::AliasError { error, .. } => return explain(error),
        // The scanner's phrases are constants.
        Error::ExternalMessage { msg, .. } => return (format!("not valid YAML: {msg}"), None),
        Error::Eof { .. } => ("not valid YAML: the text ends too early", None),
        Error::MultipleDocuments { .. } => (
            "a second YAML document begins here",
            Some("one document per text, without `---` lines"),
        ),
        Error::UnknownAnchor { .. } => (
            "the alias names no anchor",
            Some("an `&name` earlier in the document"),
        ),
        Error::UnsupportedTag { .. } => ("YAML tags are not supported", Some("a plain value")),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => (
            "`<<` cannot merge this",
            Some("an alias of a mapping, or a list of them"),
        ),
        Error::NullIntoString { .. } => ("a key is missing", Some("a text as key")),
        Error::Unexpected { .. } => ("this cannot be a key", Some("a text as key")),
        Error::RecursiveReferencesRequireWeakTypes { .. } => ("the alias contains itself", None),
        Error::Budget { breach, .. } => return (over_budget(breach), None),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => (
            "the aliases expand to too much",
            Some("at most 50,000 values from aliases"),
        ),
        _ => ("not valid YAML", None),
    };
    (problem.to_owned(), expected)
}

fn over_budget(breach: &serde_saphyr::budget::BudgetBreach) -> String {
    use serde_saphyr::budget::BudgetBreach;
    match breach {
        BudgetBreach::Depth { .. } => format!("nested more than {MAX_DEPTH} levels deep"),
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            format!("more than {MAX_NODES} values")
        }
        _ => "more anchors or aliases than a document may have".to_owned(),
    }
}

#[cfg(test)]
mod tests;
