//! What is wrong with a document, and where.

use std::{cell::RefCell, fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// The most faults that are listed for one document. The rest is counted.
///
/// A document of four megabytes can hold a million faults, and nobody reads more than a hundred.
pub(crate) const MAX_FAULTS: usize = 100;

/// The end of a fault that only counts others.
const UNLISTED: &str = " more faults are not listed";

/// A place in a text: line and column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Whether a fault refuses the document or is only a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The document (or the route, where one route can be refused alone) is not used.
    Error,
    /// It is used, but a person should know.
    Warning,
}

/// One thing that is wrong in a document.
///
/// It prints as one line, and never with text of the document other than names and the offending value itself:
///
/// ```
/// use pailou_config::{Fault, Position, Severity};
///
/// let fault = Fault {
///     document: "routes.yaml".into(),
///     position: Some(Position { line: 4, column: 5 }),
///     path: "routes.users.strip_prefx".into(),
///     problem: "unknown key".into(),
///     expected: Some("one of path, service, strip_prefix".into()),
///     nearest: Some("strip_prefix".into()),
///     severity: Severity::Error,
/// };
/// assert_eq!(
///     fault.to_string(),
///     "routes.yaml:4:5: routes.users.strip_prefx: unknown key; expected one of path, service, strip_prefix; did you mean `strip_prefix`?"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The document: a file path, a data id, or `environment`.
    #[serde(serialize_with = "serialize_text")]
    pub document: Arc<str>,
    /// Where in the document, when the fault belongs to one place.
    pub position: Option<Position>,
    /// The path of the value, such as `routes["/a/**"].strip_prefix`; empty for the document as a whole.
    pub path: String,
    /// What is wrong, as a short phrase.
    pub problem: String,
    /// What would have been right.
    pub expected: Option<String>,
    /// The valid name that is nearest to the one written, if one is near.
    pub nearest: Option<String>,
    /// Whether the document is refused for it.
    pub severity: Severity,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document)?;
        if let Some(position) = self.position {
            write!(f, ":{position}")?;
        }
        f.write_str(": ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// Collects the faults of one document while it is read, so that all of them come out in one run.
///
/// Readers share it by reference; it belongs to one thread.
#[derive(Debug)]
pub struct Report {
    document: Arc<str>,
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    faults: Vec<Fault>,
    has_errors: bool,
    unlisted: usize,
}

impl Report {
    /// An empty report on the document of that name.
    pub fn new(document: impl Into<Arc<str>>) -> Report {
        Report {
            document: document.into(),
            found: RefCell::default(),
        }
    }

    /// The name of the document.
    pub fn document(&self) -> &Arc<str> {
        &self.document
    }

    /// Adds a fault. The first hundred are kept, the others counted.
    pub fn push(&self, fault: Fault) {
        let mut found = self.found.borrow_mut();
        found.has_errors |= fault.severity == Severity::Error;
        if found.faults.len() < MAX_FAULTS {
            found.faults.push(fault);
        } else {
            found.unlisted += 1;
        }
    }

    /// Adds an error that has no value to point at, such as a text that is too long.
    pub fn fault(
        &self,
        position: Option<Position>,
        path: impl Into<String>,
        problem: impl Into<String>,
    ) {
        self.push(Fault {
            document: self.document.clone(),
            position,
            path: path.into(),
            problem: problem.into(),
            expected: None,
            nearest: None,
            severity: Severity::Error,
        });
    }

    /// Whether any fault is an error.
    pub fn has_errors(&self) -> bool {
        self.found.borrow().has_errors
    }

    /// All faults in the order of the text; those without a position come first.
    pub fn into_faults(self) -> Vec<Fault> {
        let Found {
            mut faults,
            has_errors,
            unlisted,
        } = self.found.into_inner();
        faults.sort_by_key(|fault| fault.position);
        if unlisted > 0 {
            let severity = if has_errors {
                Severity::Error
            } else {
                Severity::Warning
            };
            faults.push(Fault::unlisted(self.document, unlisted, severity));
        }
        faults
    }
}

impl Fault {
    /// How many others there are, of one that says only that.
    pub fn count(&self) -> Option<usize> {
        let count = self.problem.strip_suffix(UNLISTED)?;
        count.parse().ok().filter(|_| self.position.is_none())
    }

    /// Says that there are more faults than are listed.
    pub(crate) fn unlisted(document: Arc<str>, count: usize, severity: Severity) -> Fault {
        Fault {
            document,
            position: None,
            path: String::new(),
            problem: format!("{count}{UNLISTED}"),
            expected: None,
            nearest: None,
            severity,
        }
    }
}

fn serialize_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: u32, severity: Severity) -> Fault {
        Fault {
            document: "d".into(),
            position: Some(Position { line, column: 1 }),
            path: String::new(),
            problem: format!("at {line}"),
            expected: None,
            nearest: None,
            severity,
        }
    }

    #[test]
    fn faults_come_out_in_the_order_of_the_text() {
        let report = Report::new("d");
        for line in [3, 1, 2] {
            report.push(fault(line, Severity::Warning));
        }
        assert!(!report.has_errors());
        let lines: Vec<_> = report
            .into_faults()
            .iter()
            .map(|f| f.position.map(|p| p.line))
            .collect();
        assert_eq!(lines, [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn the_list_is_bounded_and_says_how_many_are_missing() {
        let report = Report::new("d");
        for line in 0..600 {
            report.push(fault(line, Severity::Error));
        }
        let faults = report.into_faults();
        assert_eq!(faults.len(), 101);
        assert_eq!(faults[100].problem, "500 more faults are not listed");
    }

    #[test]
    fn a_fault_serializes_with_its_line_and_column() {
        let json = serde_json::to_value(fault(7, Severity::Error)).expect("a plain struct");
        assert_eq!(json["position"]["line"], 7);
        assert_eq!(json["severity"], "error");
        assert_eq!(json["document"], "d");
    }

    #[test]
    fn a_warning_says_that_it_is_one() {
        assert_eq!(
            fault(2, Severity::Warning).to_string(),
            "d:2:1: warning: at 2"
        );
    }
}
