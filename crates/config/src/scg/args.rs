//! The arguments of a Spring part, spread over the fields of its factory.

use std::cell::Cell;

use super::{
    arg::{ScgArg, tokens},
    key,
};
use crate::{
    field::Field,
    node::{Node, Value},
};

/// What Spring calls the arguments of a shortcut: `_genkey_0`, `_genkey_1`, ….
pub(crate) const GENERATED: &str = "_genkey_";

/// How a factory's shortcut text is spread over its fields (`ShortcutConfigurable.ShortcutType`).
///
/// Fields are named as in Spring's Java (`keyResolver`, `weight.group`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// `DEFAULT`: an argument without a name goes to the field at its place among all arguments.
    Fields(&'static [&'static str]),
    /// `GATHER_LIST`: all arguments, whatever their names, are the items of one list.
    List(&'static str),
    /// `GATHER_LIST_TAIL_FLAG`: the same, but if the last one is `true` or `false`, it is the second field.
    ListThenFlag(&'static str, &'static str),
}

/// The arguments of a Spring part by field.
///
/// ```
/// use pailou_config::{Field, Node, Report, ScgArgs, Shortcut};
///
/// let report = Report::new("example");
/// let node = Node::parse_yaml("{ _genkey_0: X-Id, Value: '7', extra: 1 }", &report).expect("valid YAML");
/// let field = Field::new(&node, "AddRequestHeader", &report);
/// let args = ScgArgs::read(&field, Shortcut::Fields(&["name", "value"])).expect("arguments");
/// assert_eq!(args.required("name").map(|arg| arg.text()), Some("X-Id"));
/// assert_eq!(args.get("value").and_then(|arg| arg.integer(0..=9)), Some(7));
/// args.finish();
/// assert!(report.into_faults()[0].to_string().contains("AddRequestHeader.extra: no argument of it"));
/// ```
#[derive(Debug)]
#[must_use = "call `finish`, or unknown arguments go unnoticed"]
pub struct ScgArgs<'a> {
    whole: Field<'a>,
    entries: Vec<Entry<'a>>,
}

/// One argument.
#[derive(Debug)]
struct Entry<'a> {
    /// The key as written, without what encloses it.
    written: String,
    /// The field that it is for, folded.
    name: String,
    arg: ScgArg<'a>,
    is_read: Cell<bool>,
}

impl<'a> ScgArgs<'a> {
    /// Reads the arguments of a part: a mapping in the order of the document with names or `_genkey_N` as keys, a list, one text,
    /// or nothing. `None` if it can be none of them, which is in the report then.
    ///
    /// The numbers in `_genkey_N` mean nothing, only the places do.
    pub fn read(field: &Field<'a>, shortcut: Shortcut) -> Option<ScgArgs<'a>> {
        let mut entries = Vec::new();
        flatten(field, "", &mut entries);
        spread(shortcut, field.path(), &mut entries);
        Some(ScgArgs {
            whole: field.clone(),
            entries,
        })
    }

    /// The arguments as a whole, to report faults about them.
    pub fn whole(&self) -> &Field<'a> {
        &self.whole
    }

    /// The value of a field, if it was given. Of several spellings of one name, the last one counts.
    pub fn get(&self, name: &str) -> Option<ScgArg<'a>> {
        let name = key::folded(name);
        let mut found = None;
        for entry in &self.entries {
            if entry.name == name || key::index_in(&entry.name, &name) == Some(0) {
                entry.is_read.set(true);
                found = Some(entry.arg.clone());
            }
        }
        found
    }

    /// The items of a field that is a list: those of a list, or the parts of one text, split at its commas. Arguments that were
    /// gathered into the list by [`Shortcut::List`] are not split.
    pub fn list(&self, name: &str) -> Vec<ScgArg<'a>> {
        let name = key::folded(name);
        let mut items: Vec<(usize, ScgArg<'a>)> = Vec::new();
        let mut text = None;
        for entry in &self.entries {
            if let Some(index) = key::index_in(&entry.name, &name) {
                entry.is_read.set(true);
                items.push((index, entry.arg.clone()));
            } else if entry.name == name {
                entry.is_read.set(true);
                text = Some(entry.arg.clone());
            }
        }
        if items.is_empty() {
            return text.map(|arg| arg.split()).unwrap_or_default();
        }
        items.sort_by_key(|(index, _)| *index);
        items.into_iter().map(|(_, arg)| arg).collect()
    }

    /// The value of a field; a fault with the field's name if it was not given.
    pub fn required(&self, name: &str) -> Option<ScgArg<'a>> {
        let arg = self.get(name);
        if arg.is_none() {
            self.whole.fault(format!("`{name}` is missing"));
        }
        arg
    }

    /// Says of every argument that nobody asked for that it is ignored, as Spring does in silence.
    pub fn finish(self) {
        for entry in &self.entries {
            if entry.is_read.get() {
                continue;
            }
            let problem = if entry.written.starts_with(GENERATED) {
                format!("{} is one argument too many; ignored", entry.arg.quoted())
            } else {
                "no argument of it; ignored".to_owned()
            };
            entry.arg.warn(problem);
        }
    }
}

/// Adds every scalar below `field` under its whole name (`backoff.firstBackoff`, `statuses[0]`), as Spring's property sources
/// list them.
fn flatten<'a>(field: &Field<'a>, name: &str, entries: &mut Vec<Entry<'a>>) {
    let mut add = |written: String, field: Field<'a>, text: &'a str| {
        entries.push(Entry {
            name: key::folded(&written),
            written,
            arg: ScgArg::new(field, text),
            is_read: Cell::new(false),
        });
    };
    let node: &'a Node = field.node();
    match &node.value {
        Value::Null if name.is_empty() => {}
        Value::Null => add(name.to_owned(), field.clone(), ""),
        Value::Scalar(scalar) if name.is_empty() => {
            for (index, token) in tokens(&scalar.text).enumerate() {
                add(format!("{GENERATED}{index}"), field.clone(), token);
            }
        }
        Value::Scalar(scalar) => add(name.to_owned(), field.clone(), &scalar.text),
        Value::Sequence(_) => {
            for (index, item) in field.sequence().into_iter().flatten().enumerate() {
                let name = match name {
                    "" => format!("{GENERATED}{index}"),
                    name => format!("{name}[{index}]"),
                };
                flatten(&item, &name, entries);
            }
        }
        Value::Mapping(_) => {
            for (key, value) in field.entries().into_iter().flatten() {
                let name = match (name, key.text.as_str()) {
                    // A name without letters must not be taken for the arguments as a whole.
                    ("", "") => "\"\"".to_owned(),
                    ("", key) => key.to_owned(),
                    (name, key) => format!("{name}.{key}"),
                };
                flatten(&value, &name, entries);
            }
        }
    }
}

/// Gives every argument the field that it is for. One without a name is told of by its field from then on.
fn spread(shortcut: Shortcut, path: &str, entries: &mut Vec<Entry<'_>>) {
    match shortcut {
        Shortcut::Fields(fields) => {
            for (entry, field) in entries.iter_mut().zip(fields) {
                if entry.written.starts_with(GENERATED) {
                    entry.name = key::folded(field);
                    entry.arg.move_to(format!("{path}.{field}"));
                }
            }
        }
        Shortcut::List(list) => gather(list, path, entries),
        Shortcut::ListThenFlag(list, flag) => {
            let folded = key::folded(flag);
            let is_flag = |entry: &Entry<'_>| is_flag(entry.arg.text());
            let tail = entries.pop_if(|entry| is_flag(entry));
            // Spring makes an item of it, which a path can never match.
            entries.retain(|entry| {
                let is_misplaced = entry.name == folded && is_flag(entry);
                if is_misplaced {
                    let problem =
                        format!("`{flag}` counts only as the last argument; ignored, as by Spring");
                    entry.arg.warn(problem);
                }
                !is_misplaced
            });
            gather(list, path, entries);
            if let Some(mut tail) = tail {
                tail.name = folded;
                if tail.written.starts_with(GENERATED) {
                    tail.arg.move_to(format!("{path}.{flag}"));
                }
                entries.push(tail);
            }
        }
    }
}

fn is_flag(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}

/// Makes all arguments items of one list.
fn gather(list: &str, path: &str, entries: &mut [Entry<'_>]) {
    let folded = key::folded(list);
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.name = format!("{folded}.{index}");
        if entry.written.starts_with(GENERATED) {
            entry.arg.move_to(format!("{path}.{list}[{index}]"));
        } else if has_comma(entry.arg.text()) {
            entry
                .arg
                .warn("one value with a comma in it: here, Spring does not split at commas");
        }
    }
}

/// Whether there is a comma that is not part of a regular expression's `{1,3}`.
fn has_comma(text: &str) -> bool {
    let mut depth = 0usize;
    text.chars().any(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

#[cfg(test)]
mod tests;
