//! How every spec is read: a node, its path, and the report for its faults.

mod fields;
mod scalar;

use crate::{
    fault::{Fault, Position, Report, Severity},
    nearest::nearest,
    node::{Key, Node, Value},
    path,
    route::PartSpec,
};

pub(crate) use scalar::quote;

pub use fields::Fields;

/// A value that is being read. Each reading method returns the value, or reports a fault at its place and returns `None`,
/// so that the reader goes on and finds the next fault.
///
/// ```
/// use pailou_config::{Field, Node, Report};
///
/// let report = Report::new("example");
/// let node = Node::parse_yaml("name: x-env\nvalue: 1.10\n", &report).expect("valid YAML");
/// let mut fields = Field::new(&node, "set_request_header", &report).mapping().expect("a mapping");
/// let name = fields.required("name").and_then(|field| field.string());
/// let value = fields.required("value").and_then(|field| field.string());
/// fields.finish();
/// assert_eq!((name.as_deref(), value.as_deref()), (Some("x-env"), Some("1.10")));
/// assert!(!report.has_errors());
/// ```
#[derive(Clone, Debug)]
pub struct Field<'a> {
    node: &'a Node,
    path: String,
    report: &'a Report,
}

impl<'a> Field<'a> {
    /// The value `node`, which stands at `path` in the document of `report`.
    pub fn new(node: &'a Node, path: impl Into<String>, report: &'a Report) -> Field<'a> {
        Field {
            node,
            path: path.into(),
            report,
        }
    }

    /// The value itself.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Where the value begins.
    pub fn at(&self) -> Position {
        self.node.at
    }

    /// The path of the value in its document.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The report that faults go to.
    pub fn report(&self) -> &'a Report {
        self.report
    }

    /// Whether the value is a text, number or boolean.
    pub fn is_scalar(&self) -> bool {
        matches!(self.node.value, Value::Scalar(_))
    }

    /// Whether the value is a mapping.
    pub fn is_mapping(&self) -> bool {
        matches!(self.node.value, Value::Mapping(_))
    }

    /// Whether the value is a list.
    pub fn is_sequence(&self) -> bool {
        matches!(self.node.value, Value::Sequence(_))
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// Reports an error at this value.
    pub fn fault(&self, problem: impl Into<String>) {
        self.push(problem.into(), None, None, Severity::Error);
    }

    /// Reports an error at this value and says what was expected.
    pub fn fault_expected(&self, problem: impl Into<String>, expected: impl Into<String>) {
        self.push(problem.into(), Some(expected.into()), None, Severity::Error);
    }

    /// Reports a name that is not known, with the valid ones and the nearest of them.
    pub fn fault_unknown<'x>(
        &self,
        problem: impl Into<String>,
        name: &str,
        valid: impl IntoIterator<Item = &'x str>,
    ) {
        let valid: Vec<&str> = valid.into_iter().collect();
        let nearest = nearest(name, valid.iter().copied()).map(str::to_owned);
        self.push(
            problem.into(),
            Some(format!("one of {}", valid.join(", "))),
            nearest,
            Severity::Error,
        );
    }

    /// Reports a warning: the value is used.
    pub fn warn(&self, problem: impl Into<String>) {
        self.push(problem.into(), None, None, Severity::Warning);
    }

    /// The mapping's values by key, of which all must be asked for. Keys are names that the reader knows.
    pub fn mapping(&self) -> Option<Fields<'a>> {
        self.mapping_entries()
            .map(|entries| Fields::new(self.clone(), entries))
    }

    /// The keys and values of a mapping whose names the user chooses.
    pub fn entries(&self) -> Option<Vec<(&'a Key, Field<'a>)>> {
        let entries = self.mapping_entries()?;
        Some(
            entries
                .iter()
                .map(|(key, node)| (key, self.child(&key.text, node)))
                .collect(),
        )
    }

    /// The items of a list.
    pub fn sequence(&self) -> Option<Vec<Field<'a>>> {
        let Value::Sequence(items) = &self.node.value else {
            self.fault_expected(self.found(), "a list");
            return None;
        };
        let field = |(index, node)| Field::new(node, path::item(&self.path, index), self.report);
        Some(items.iter().enumerate().map(field).collect())
    }

    /// The items of a list; a lone value is a list of one.
    pub fn sequence_or_one(&self) -> Option<Vec<Field<'a>>> {
        if self.is_scalar() {
            Some(vec![self.clone()])
        } else {
            self.sequence()
        }
    }

    /// Every item of a list as `read` reads it; a lone value is a list of one. All items are read, so that each fault is reported.
    /// `None` if there is a fault.
    pub fn each<T>(&self, read: impl Fn(&Field<'a>) -> Option<T>) -> Option<Vec<T>> {
        let items = self.sequence_or_one()?;
        let values: Vec<_> = items.iter().filter_map(read).collect();
        (values.len() == items.len()).then_some(values)
    }

    /// The name of a predicate, filter or policy: alone, or a mapping of one name to its arguments.
    pub fn part(&self) -> Option<PartSpec> {
        if self.is_scalar() {
            let name = self.string()?;
            return Some(PartSpec {
                name,
                args: Node::null(self.at()),
                at: self.at(),
                path: self.path.clone(),
            });
        }
        let expected = "a name, or a mapping of one name to its arguments";
        if !self.is_mapping() {
            self.fault_expected(self.found(), expected);
            return None;
        }
        let entries = self.entries()?;
        let [(name, args)] = entries.as_slice() else {
            self.fault_expected(format!("{} names in one mapping", entries.len()), expected);
            return None;
        };
        Some(PartSpec {
            at: name.at,
            ..PartSpec::named(&name.text, args)
        })
    }

    fn mapping_entries(&self) -> Option<&'a [(Key, Node)]> {
        let Value::Mapping(entries) = &self.node.value else {
            self.fault_expected(self.found(), "a mapping");
            return None;
        };
        Some(entries)
    }

    fn child(&self, key: &str, node: &'a Node) -> Field<'a> {
        Field::new(node, path::child(&self.path, key), self.report)
    }

    /// What stands here instead, for a value of the wrong kind.
    fn found(&self) -> &'static str {
        match self.node.value {
            Value::Null => "no value",
            Value::Scalar(_) => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    fn push(
        &self,
        problem: String,
        expected: Option<String>,
        nearest: Option<String>,
        severity: Severity,
    ) {
        self.push_at(
            self.node.at,
            self.path.clone(),
            problem,
            expected,
            nearest,
            severity,
        );
    }

    fn push_at(
        &self,
        at: Position,
        path: String,
        problem: String,
        expected: Option<String>,
        nearest: Option<String>,
        severity: Severity,
    ) {
        self.report.push(Fault {
            document: self.report.document().clone(),
            position: Some(at),
            path,
            problem,
            expected,
            nearest,
            severity,
        });
    }
}

#[cfg(test)]
mod tests;
