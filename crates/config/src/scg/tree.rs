//! Spring's properties as a tree: dotted keys are nested mappings, later sources win.
//!
//! Spring flattens every document to properties (`spring.cloud.gateway.routes[0].id`) and binds those to objects. Here they become a
//! tree of [`Node`]s again, so that one reader does for YAML with or without dots in its keys, and for `.properties`. Mappings of
//! several documents are merged; a list takes the place of an earlier one, as it does in Spring.

use std::collections::{BTreeMap, HashMap};

use super::key::folded;
use crate::{
    fault::{Fault, Position, Report, Severity},
    node::{Key, Node, Value},
    path,
};

/// Below this key, names belong to a factory, and no dot in them is cut.
const ARGS: &str = "args";
/// Keys and values are nested at most this deep; nothing that Spring binds is.
const MAX_ELEMENTS: usize = 32;

/// A tree that is being put together.
#[derive(Debug)]
pub(crate) enum Tree {
    Leaf(Node),
    List(Position, BTreeMap<u32, Tree>),
    Map(Position, Entries),
}

/// The entries of a mapping, found by their relaxed names.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    entries: Vec<(Key, Tree)>,
    places: HashMap<String, usize>,
}

/// One step of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Element<'a> {
    Name(&'a str),
    /// `[name]`, which is taken as it is.
    Quoted(&'a str),
    Index(u32),
}

impl Tree {
    /// A tree without anything.
    pub(crate) fn empty(at: Position) -> Tree {
        Tree::Map(at, Entries::default())
    }

    /// The tree of a YAML value: dots in its keys nest.
    pub(crate) fn of_node(node: Node) -> Tree {
        Tree::Leaf(nested(node))
    }

    /// Puts `value` where `key` leads. A list or a single value takes the place of what is there; whether something was.
    pub(crate) fn insert(&mut self, key: &str, at: Position, value: Tree) -> bool {
        self.insert_at(&elements(key), at, value)
    }

    fn insert_at(&mut self, elements: &[Element<'_>], at: Position, value: Tree) -> bool {
        let Some((first, rest)) = elements.split_first() else {
            return self.merge(value);
        };
        if let Element::Index(index) = first {
            let items = self.open_list(at);
            return match items.get_mut(index) {
                Some(item) => item.insert_at(rest, at, value),
                None => {
                    items.insert(*index, Tree::new(rest, at, value));
                    false
                }
            };
        }
        let (name, text) = first.name();
        let entries = self.open_map(at);
        match entries.places.get(&name) {
            Some(place) => entries.entries[*place].1.insert_at(rest, at, value),
            None => {
                entries.push(name, Key { text, at }, Tree::new(rest, at, value));
                false
            }
        }
    }

    /// `value` below some elements.
    fn new(elements: &[Element<'_>], at: Position, value: Tree) -> Tree {
        if elements.is_empty() {
            return value;
        }
        let mut tree = match elements[0] {
            Element::Index(_) => Tree::List(at, BTreeMap::new()),
            _ => Tree::empty(at),
        };
        tree.insert_at(elements, at, value);
        tree
    }

    /// Lays `later` over this tree; whether a value or a list gave way.
    pub(crate) fn merge(&mut self, later: Tree) -> bool {
        if !(self.is_map() && later.is_map()) {
            let was_something =
                !matches!(self, Tree::Map(_, entries) if entries.entries.is_empty());
            *self = later;
            return was_something;
        }
        let mut later = later;
        let at = later.position();
        let mut gave_way = false;
        let theirs = std::mem::take(later.open_map(at));
        let ours = self.open_map(at);
        for (key, tree) in theirs.entries {
            let name = identity(&key.text);
            match ours.places.get(&name) {
                Some(place) => gave_way |= ours.entries[*place].1.merge(tree),
                None => ours.push(name, key, tree),
            }
        }
        gave_way
    }

    /// What stands under several relaxed names, one below the other, taken out of its place.
    pub(crate) fn take_path(&mut self, names: &[&str]) -> Option<Tree> {
        let Some((first, rest)) = names.split_first() else {
            let at = self.position();
            return Some(std::mem::replace(self, Tree::empty(at)));
        };
        if !self.is_map() {
            return None;
        }
        let at = self.position();
        let entries = self.open_map(at);
        let place = *entries.places.get(&folded(first))?;
        entries.entries[place].1.take_path(rest)
    }

    /// The same as a [`Node`]. A list with items missing is said at `path`.
    pub(crate) fn into_node(self, path: &str, report: &Report) -> Node {
        match self {
            Tree::Leaf(node) => node,
            Tree::List(at, items) => {
                let mut nodes = Vec::with_capacity(items.len());
                let mut next = 0;
                for (index, item) in items {
                    if index != next {
                        missing(path, next, item.position(), report);
                    }
                    next = index.saturating_add(1);
                    let path = path::item(path, nodes.len());
                    nodes.push(item.into_node(&path, report));
                }
                Node {
                    value: Value::Sequence(nodes),
                    at,
                }
            }
            Tree::Map(at, entries) => {
                let node = |(key, tree): (Key, Tree)| {
                    let node = tree.into_node(&path::child(path, &key.text), report);
                    (key, node)
                };
                Node {
                    value: Value::Mapping(entries.entries.into_iter().map(node).collect()),
                    at,
                }
            }
        }
    }

    /// Where it begins.
    pub(crate) fn position(&self) -> Position {
        match self {
            Tree::Leaf(node) => node.at,
            Tree::List(at, _) | Tree::Map(at, _) => *at,
        }
    }

    fn is_map(&self) -> bool {
        match self {
            Tree::Leaf(node) => matches!(node.value, Value::Mapping(_)),
            Tree::Map(..) => true,
            Tree::List(..) => false,
        }
    }

    /// This tree as a mapping; another kind gives way.
    fn open_map(&mut self, at: Position) -> &mut Entries {
        if let Tree::Leaf(node) = self
            && let Value::Mapping(entries) = &mut node.value
        {
            let mut map = Entries::default();
            for (key, node) in std::mem::take(entries) {
                map.push(identity(&key.text), key, Tree::Leaf(node));
            }
            *self = Tree::Map(node.at, map);
        }
        if !self.is_map() {
            *self = Tree::empty(at);
        }
        match self {
            Tree::Map(_, entries) => entries,
            Tree::Leaf(_) | Tree::List(..) => unreachable!("it was made a mapping above"),
        }
    }

    /// This tree as a list; another kind gives way.
    fn open_list(&mut self, at: Position) -> &mut BTreeMap<u32, Tree> {
        if let Tree::Leaf(node) = self
            && let Value::Sequence(items) = &mut node.value
        {
            let items = std::mem::take(items).into_iter().map(Tree::Leaf);
            *self = Tree::List(node.at, (0..).zip(items).collect());
        }
        if !matches!(self, Tree::List(..)) {
            *self = Tree::List(at, BTreeMap::new());
        }
        match self {
            Tree::List(_, items) => items,
            Tree::Leaf(_) | Tree::Map(..) => unreachable!("it was made a list above"),
        }
    }
}

impl Entries {
    fn push(&mut self, name: String, key: Key, tree: Tree) {
        // The later of two spellings of one name counts.
        self.places.insert(name, self.entries.len());
        self.entries.push((key, tree));
    }
}

impl Element<'_> {
    /// What it is found by, and how it is written.
    fn name(&self) -> (String, String) {
        let text = match self {
            Element::Name(name) => (*name).to_owned(),
            Element::Quoted(name) => format!("[{name}]"),
            Element::Index(index) => index.to_string(),
        };
        (identity(&text), text)
    }
}

/// What equal names have in common: those in brackets are equal as they are, others in Spring's relaxed way.
fn identity(name: &str) -> String {
    match name.starts_with('[') {
        true => name.to_owned(),
        false => folded(name),
    }
}

/// Cuts a key into its elements.
fn elements(key: &str) -> Vec<Element<'_>> {
    let mut elements = Vec::new();
    let mut rest = key;
    while !rest.is_empty() && elements.len() < MAX_ELEMENTS {
        let is_item = matches!(elements.last(), Some(Element::Index(_)));
        if let Some(inner) = rest.strip_prefix('[') {
            let (name, after) = inner.split_once(']').unwrap_or((inner, ""));
            elements.push(match name.parse() {
                Ok(index) => Element::Index(index),
                Err(_) => Element::Quoted(name),
            });
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after.strip_prefix('.').unwrap_or(after);
        elements.push(match name.parse() {
            Ok(index) => Element::Index(index),
            Err(_) => Element::Name(name),
        });
        // Of an item's arguments, the rest is one name.
        if is_item && folded(name) == ARGS && !rest.is_empty() {
            elements.push(Element::Name(rest));
            rest = "";
        }
    }
    if !rest.is_empty() {
        elements.push(Element::Name(rest));
    }
    elements
}

/// Nests what stands under keys with dots or brackets, but for the arguments of predicates and filters.
fn nested(node: Node) -> Node {
    let at = node.at;
    let value = match node.value {
        Value::Mapping(entries) => {
            let is_compound = |(key, _): &(Key, Node)| {
                let is_alone =
                    key.text.starts_with('[') && key.text.find(']') == Some(key.text.len() - 1);
                key.text.contains(['.', '[']) && !is_alone
            };
            if entries.iter().any(is_compound) {
                let mut tree = Tree::empty(at);
                for (key, node) in entries {
                    let node = if folded(&key.text) == ARGS {
                        node
                    } else {
                        nested(node)
                    };
                    tree.insert(&key.text, key.at, Tree::Leaf(node));
                }
                // Gaps in lists are for whoever writes indices by hand; there is no report here, and none is lost by order.
                return tree.into_node("", &Report::new(""));
            }
            let node = |(key, node): (Key, Node)| {
                let node = if folded(&key.text) == ARGS {
                    node
                } else {
                    nested(node)
                };
                (key, node)
            };
            Value::Mapping(entries.into_iter().map(node).collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(nested).collect()),
        other => other,
    };
    Node { value, at }
}

fn missing(path: &str, index: u32, at: Position, report: &Report) {
    report.push(Fault {
        document: report.document().clone(),
        position: Some(at),
        path: path.to_owned(),
        problem: format!("item {index} is missing; the others are used in their order"),
        expected: None,
        nearest: None,
        severity: Severity::Warning,
    });
}

#[cfg(test)]
mod tests;
