//! Predicates: the conditions of a route, and the registry of their names.

mod cookies;
mod headers;
mod host;
mod methods;
mod path;
mod query;
mod value;

use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use pailou_config::{Fault, Field, Key, PartSpec, Report};
use pailou_filters::Bindings;

pub(crate) use cookies::value as cookie_value;
pub use host::HostPattern;
pub(crate) use path::MAX_SEGMENTS;
pub use path::PathPattern;
pub(crate) use query::is_text as is_query_text;

use crate::{
    Request,
    scg::{SpringHost, SpringPath, Weight},
};
use value::ValueMatch;

/// A compiled condition on requests.
///
/// `Display` says what it asks for. The explanation of a route that did not match
/// shows that.
pub trait Predicate: Debug + Display + Send + Sync {
    /// Whether the request fulfils it. Takes no lock and does not allocate.
    fn matches(&self, request: &Request<'_>) -> bool;

    /// Binds what it captures of a request that fulfils it. Called once a route
    /// is found, so that a search allocates nothing.
    fn bind(&self, _request: &Request<'_>, _bindings: &mut Bindings) {}

    /// The names that it binds.
    fn names(&self) -> &[Arc<str>] {
        &[]
    }

    /// Where it puts its route: in the order of routes, and in the index.
    fn place(&self) -> Place<'_> {
        Place::Conditions(1)
    }
}

/// What a predicate contributes to the place of its route.
#[derive(Debug)]
pub enum Place<'a> {
    /// The host that the index looks up.
    Host(&'a HostPattern),
    /// The path that the index looks up.
    Path(&'a PathPattern),
    /// The hosts of a route in Spring's form, one of which has to match.
    SpringHosts(&'a [SpringHost]),
    /// The paths of a route in Spring's form, one of which has to match.
    SpringPaths(&'a [SpringPath]),
    /// Its share of a group, which the table draws from.
    Weight(&'a Weight),
    /// So many conditions, which are tried on the routes that the index finds.
    Conditions(usize),
}

/// A predicate that routes can name.
#[derive(Debug)]
pub struct Entry {
    /// Its name in YAML.
    pub name: &'static str,
    /// Its arguments, as they are written.
    pub arguments: &'static str,
    /// When it holds, in one sentence.
    pub summary: &'static str,
    compile: fn(&Field<'_>) -> Option<Box<dyn Predicate>>,
}

/// Every predicate, in the order of the reference.
pub static REGISTRY: &[Entry] = &[
    path::ENTRY,
    host::ENTRY,
    methods::ENTRY,
    headers::ENTRY,
    query::ENTRY,
    cookies::ENTRY,
];

/// Compiles a predicate. Faults go to `report`. If there is an error among them, the
/// result must not be used.
///
/// ```
/// use http::{HeaderMap, Method};
/// use pailou_config::{Node, PartSpec, Position, Report};
/// use pailou_routing::{Request, Target, predicate};
///
/// let report = Report::new("example");
/// let args = Node::parse_yaml("[GET, HEAD]", &report).expect("YAML");
/// let at = Position { line: 1, column: 1 };
/// let part = PartSpec { name: "methods".into(), args, at, path: "match.methods".into() };
/// let reads = predicate::compile(&part, &report).expect("a legal predicate");
///
/// let target = Target::parse(b"/users").expect("a legal target");
/// let headers = HeaderMap::new();
/// assert!(reads.matches(&Request::new(&Method::GET, None, &target, &headers)));
/// assert!(!reads.matches(&Request::new(&Method::POST, None, &target, &headers)));
/// ```
pub fn compile(part: &PartSpec, report: &Report) -> Option<Box<dyn Predicate>> {
    let Some(entry) = REGISTRY.iter().find(|entry| entry.name == part.name) else {
        report.push(unknown(part, report));
        return None;
    };
    (entry.compile)(&part.field(report))
}

/// Reads a mapping of names to conditions on their values, at least one.
fn named_values<N>(
    field: &Field<'_>,
    name: impl Fn(&Key, &Field<'_>) -> Option<N>,
) -> Option<Vec<(N, ValueMatch)>> {
    let entries = field.entries()?;
    if entries.is_empty() {
        field.fault("no condition is given");
        return None;
    }
    let mut values = Vec::with_capacity(entries.len());
    let mut is_legal = true;
    for (key, field) in entries {
        if key.text.is_empty() {
            field.fault("the name is empty");
        }
        match (name(key, &field), ValueMatch::parse(&field)) {
            (Some(name), Some(value)) => values.push((name, value)),
            _ => is_legal = false,
        }
    }
    is_legal.then_some(values)
}

/// Writes conditions as `name condition, name condition`.
fn write_all(f: &mut fmt::Formatter<'_>, values: &[(impl Display, ValueMatch)]) -> fmt::Result {
    for (index, (name, value)) in values.iter().enumerate() {
        write!(f, "{}{name} {value}", if index == 0 { "" } else { ", " })?;
    }
    Ok(())
}

fn unknown(part: &PartSpec, report: &Report) -> Fault {
    let names: Vec<_> = REGISTRY.iter().map(|entry| entry.name).collect();
    part.unknown(
        format!("`{}` is not a predicate", part.name),
        &names,
        report,
    )
}

#[cfg(test)]
pub(crate) mod tests;
