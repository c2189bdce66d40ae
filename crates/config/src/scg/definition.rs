//! Definitions of predicates and filters: a shortcut text, or a name and arguments.

use std::collections::BTreeMap;

use super::{arg::tokens, args::GENERATED, notes::Notes, relaxed::Relaxed};
use crate::{
    field::{Field, quote},
    node::{Key, Node, Value},
    path,
    route::PartSpec,
};

/// Which of the two it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Predicate,
    Filter,
}

/// The definitions of a list. What is wrong with one of them is in its report.
pub(super) fn list(
    field: &Field<'_>,
    kind: Kind,
    beans: &BTreeMap<String, Node>,
    notes: &mut Notes,
) -> Vec<PartSpec> {
    if let Some(text) = scalar(field) {
        if text.is_empty() {
            // What Spring makes of an empty list.
            return Vec::new();
        }
        if text.contains(',') {
            field.fault_expected("one text", "a list");
            return Vec::new();
        }
    }
    let items = match field.is_mapping() {
        true => Some(vec![field.clone()]),
        false => field.sequence_or_one(),
    };
    let read = |item: &Field<'_>| one(item, kind, beans, notes);
    items.unwrap_or_default().iter().filter_map(read).collect()
}

fn one(
    field: &Field<'_>,
    kind: Kind,
    beans: &BTreeMap<String, Node>,
    notes: &mut Notes,
) -> Option<PartSpec> {
    let (name, args, path) = match scalar(field) {
        Some(text) => {
            let (name, args) = shortcut(text, kind, field)?;
            (name, args, field.path().to_owned())
        }
        None if field.is_mapping() => {
            let mut keys = Relaxed::read(field)?;
            let name = keys.take("name");
            let args = keys.take("args");
            let Some(name) = name else {
                field.fault_expected(
                    "`name` is missing",
                    "a text such as `Path=/a/**`, or `name` and `args`",
                );
                return None;
            };
            for (key, unknown) in keys.rest() {
                notes.unknown_key(&key.text, "a predicate or filter", &unknown, key.at);
            }
            let path = args
                .as_ref()
                .map_or(path::child(field.path(), "args"), |args| {
                    args.path().to_owned()
                });
            let args = args.map_or_else(|| Node::null(field.at()), |args| by_key(args.node()));
            (name.string()?, args, path)
        }
        None => {
            field.fault_expected(
                "no definition",
                "a text such as `Path=/a/**`, or `name` and `args`",
            );
            return None;
        }
    };
    if name.is_empty() {
        field.fault("a definition without a name");
        return None;
    }
    if name.chars().any(char::is_control) {
        field.fault(format!("{} contains a control character", quote(&name)));
        return None;
    }
    let mut part = PartSpec {
        name,
        args,
        at: field.at(),
        path,
    };
    let whole = part.path.clone();
    is_sound(&mut part.args, &whole, field, beans).then_some(part)
}

/// The text of a single value; that of nothing is empty.
fn scalar<'a>(field: &Field<'a>) -> Option<&'a str> {
    match &field.node().value {
        Value::Null => Some(""),
        Value::Scalar(scalar) => Some(&scalar.text),
        Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

/// `Path=/a/**,/b/**`: cut at the first `=`, then at commas.
fn shortcut(text: &str, kind: Kind, field: &Field<'_>) -> Option<(String, Node)> {
    let Some((name, values)) = text.split_once('=') else {
        if kind == Kind::Predicate {
            field.fault_expected(quote(text), "NAME=VALUES, such as `Path=/a/**`");
            return None;
        }
        return Some((text.trim().to_owned(), Node::null(field.at())));
    };
    Some((name.trim().to_owned(), numbered(values, field.node())))
}

/// The tokens of a text as arguments without names.
fn numbered(values: &str, node: &Node) -> Node {
    let at = node.at;
    let argument = |(index, token): (usize, &str)| {
        let text = format!("{GENERATED}{index}");
        (Key { text, at }, Node::scalar(token, at))
    };
    Node {
        value: Value::Mapping(tokens(values).enumerate().map(argument).collect()),
        at,
    }
}

/// Arguments by their keys, whatever form they were given in.
fn by_key(args: &Node) -> Node {
    match &args.value {
        Value::Null | Value::Mapping(_) => args.clone(),
        Value::Scalar(scalar) => numbered(&scalar.text, args),
        Value::Sequence(items) => {
            let argument = |(index, item): (usize, &Node)| {
                let text = format!("{GENERATED}{index}");
                (Key { text, at: item.at }, item.clone())
            };
            Node {
                value: Value::Mapping(items.iter().enumerate().map(argument).collect()),
                at: args.at,
            }
        }
    }
}

/// Puts the table's values in the place of `#{@name}`, and reports any other expression and control characters.
fn is_sound(
    node: &mut Node,
    path: &str,
    field: &Field<'_>,
    beans: &BTreeMap<String, Node>,
) -> bool {
    match &mut node.value {
        Value::Null => true,
        Value::Sequence(items) => {
            let mut sound = true;
            for (index, item) in items.iter_mut().enumerate() {
                sound &= is_sound(item, &path::item(path, index), field, beans);
            }
            sound
        }
        Value::Mapping(entries) => {
            let mut sound = true;
            for (key, item) in entries {
                let path = match key.text.starts_with(GENERATED) {
                    true => path.to_owned(),
                    false => path::child(path, &key.text),
                };
                sound &= is_sound(item, &path, field, beans);
            }
            sound
        }
        Value::Scalar(scalar) => {
            let text = scalar.text.as_str();
            if text.contains("#{") {
                return match expression(text, beans) {
                    Ok(value) => {
                        *node = placed(value, node.at);
                        true
                    }
                    Err((problem, expected)) => {
                        Field::new(node, path, field.report()).fault_expected(problem, expected);
                        false
                    }
                };
            }
            let is_legal = !text.chars().any(|c| c.is_control() && c != '\t');
            if !is_legal {
                let problem = format!("{} contains a control character", quote(text));
                Field::new(node, path, field.report()).fault(problem);
            }
            is_legal
        }
    }
}

/// What `#{@name}` means; nothing else is read.
fn expression<'b>(
    text: &str,
    beans: &'b BTreeMap<String, Node>,
) -> Result<&'b Node, (String, String)> {
    let inner = text
        .trim()
        .strip_prefix("#{")
        .and_then(|rest| rest.strip_suffix('}'));
    let is_name = |name: &&str| {
        let is_part =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$');
        !name.is_empty() && name.bytes().all(is_part)
    };
    let bean = inner
        .and_then(|inner| inner.trim().strip_prefix('@'))
        .filter(is_name);
    let Some(bean) = bean else {
        let problem = format!("{}: expressions are not evaluated", quote(text));
        return Err((
            problem,
            "a plain value, or `#{@NAME}` with NAME in scg.beans of gateway.yaml".to_owned(),
        ));
    };
    beans.get(bean).ok_or_else(|| {
        let problem = format!("gateway.yaml has no scg.beans.{bean}");
        (
            problem,
            format!("what it means, such as `scg: {{ beans: {{ {bean}: client_address }} }}`"),
        )
    })
}

/// A value of `gateway.yaml` as if it stood at a place of the document.
pub(super) fn placed(node: &Node, at: crate::Position) -> Node {
    let value = match &node.value {
        Value::Null => Value::Null,
        Value::Scalar(scalar) => Value::Scalar(scalar.clone()),
        Value::Sequence(items) => {
            Value::Sequence(items.iter().map(|item| placed(item, at)).collect())
        }
        Value::Mapping(entries) => {
            let entry = |(key, node): &(Key, Node)| {
                let text = key.text.clone();
                (Key { text, at }, placed(node, at))
            };
            Value::Mapping(entries.iter().map(entry).collect())
        }
    };
    Node { value, at }
}
