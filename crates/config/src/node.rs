//! A document as a tree that knows the position of every value and keeps each scalar's text.

use serde::{Serialize, Serializer};

use crate::{
    fault::{Position, Report},
    yaml,
};

/// A value and where it stands.
///
/// Two nodes are equal when their values are: a route that only moved in its document is the same route.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where the value begins.
    pub at: Position,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: `~`, `null` or an empty place.
    Null,
    /// A text, number or boolean; which of them it is, its reader decides.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the text, without duplicates.
    Mapping(Vec<(Key, Node)>),
}

/// A scalar as it was written.
///
/// It stays text, since an untyped parser turns the version `1.10` into the number 1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text without quotes and with escapes resolved; `1.10` stays `1.10`.
    pub text: String,
    /// Whether it stood in quotes, and so is meant as a text: `"1"` is no number.
    pub quoted: bool,
}

/// The key of a mapping and where it stands. Equality ignores the position.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key's text.
    pub text: String,
    /// Where the key begins.
    pub at: Position,
}

impl Serialize for Node {
    /// As the document's shape, without positions; every scalar is its text, since only its reader knows its type.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_none(),
            Value::Scalar(scalar) => serializer.serialize_str(&scalar.text),
            Value::Sequence(items) => serializer.collect_seq(items),
            Value::Mapping(entries) => {
                serializer.collect_map(entries.iter().map(|(key, node)| (&key.text, node)))
            }
        }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.value == other.value
    }
}

impl Eq for Node {}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl Node {
    /// Parses one YAML document. An empty text is a [`Value::Null`].
    ///
    /// Bounded: 2,000,000 nodes, depth 64, 50,000 events replayed from aliases. More than one document, duplicate keys and
    /// unknown tags are faults; merge keys (`<<`) are expanded, and what they bring has the position of its definition.
    /// `None` means that the text is no YAML and `report` says why; a tree with duplicate keys is still returned, so that
    /// its other faults are found in the same run.
    pub fn parse_yaml(text: &str, report: &Report) -> Option<Node> {
        yaml::parse(text, report)
    }

    /// A node that holds nothing.
    pub fn null(at: Position) -> Node {
        Node {
            value: Value::Null,
            at,
        }
    }

    /// An unquoted scalar.
    pub fn scalar(text: impl Into<String>, at: Position) -> Node {
        Node {
            value: Value::Scalar(Scalar {
                text: text.into(),
                quoted: false,
            }),
            at,
        }
    }
}
