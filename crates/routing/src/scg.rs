//! The predicates of Spring Cloud Gateway, by the names that its documents give them.
//!
//! Each means the same as there, except for the differences that its file names. A route that is affected gets a warning. A
//! predicate that cannot be honoured refuses its route, so that no match becomes wider.
//!
//! To add one: a file `src/scg/<name>.rs`, one line in [`REGISTRY`], one row in `README.md`.

mod after;
mod before;
mod between;
mod cookie;
mod decode;
#[cfg(test)]
mod fuzz;
mod header;
mod host;
mod instant;
mod method;
mod networks;
mod path;
mod place;
mod query;
mod refused;
mod remote_addr;
mod spring_host;
mod spring_path;
mod value;
mod version;
mod weight;
mod xforwarded_remote_addr;

use std::fmt;

use pailou_config::{Compat, Fault, Field, PartSpec, Report, ScgArg};

pub(crate) use decode::decoded;
pub(crate) use place::SpringPlace;
pub(crate) use spring_host::HostKey;
pub use spring_host::SpringHost;
pub use spring_path::SpringPath;
pub(crate) use spring_path::Takes;
pub use weight::Weight;

use crate::predicate::Predicate;

/// A predicate that routes in Spring's form can name.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its shortcut, as it is written.
    pub shortcut: &'static str,
    /// When it holds, in one sentence, or why it is refused.
    pub summary: &'static str,
    compile: fn(&Field<'_>, Compat) -> Option<Box<dyn Predicate>>,
}

/// Every predicate, in the order of Spring's reference.
pub static REGISTRY: &[Entry] = &[
    after::ENTRY,
    before::ENTRY,
    between::ENTRY,
    cookie::ENTRY,
    header::ENTRY,
    host::ENTRY,
    method::ENTRY,
    path::ENTRY,
    query::ENTRY,
    remote_addr::ENTRY,
    weight::ENTRY,
    xforwarded_remote_addr::ENTRY,
    version::ENTRY,
    refused::READ_BODY,
    refused::CLOUD_FOUNDRY,
];

/// Compiles a predicate of Spring's. Faults go to `report`. If there is an error among them, the result must not be used.
///
/// ```
/// use http::{HeaderMap, Method};
/// use pailou_config::{Compat, Node, PartSpec, Position, Report};
/// use pailou_routing::{Request, Target, scg};
///
/// let report = Report::new("example");
/// let args = Node::parse_yaml("{ _genkey_0: '/users/{id:[0-9]+}' }", &report).expect("YAML");
/// let at = Position { line: 1, column: 1 };
/// let part = PartSpec { name: "Path".into(), args, at, path: "predicates[0]".into() };
/// let users = scg::compile(&part, Compat::V4, &report).expect("a legal predicate");
///
/// let headers = HeaderMap::new();
/// let target = Target::parse(b"/users/7").expect("a legal target");
/// assert!(users.matches(&Request::new(&Method::GET, None, &target, &headers)));
/// ```
pub fn compile(part: &PartSpec, compat: Compat, report: &Report) -> Option<Box<dyn Predicate>> {
    let Some(entry) = REGISTRY.iter().find(|entry| entry.name == part.name) else {
        report.push(unknown(part, report));
        return None;
    };
    (entry.compile)(&part.field(report), compat)
}

fn unknown(part: &PartSpec, report: &Report) -> Fault {
    let names: Vec<_> = REGISTRY.iter().map(|entry| entry.name).collect();
    let problem = format!(
        "`{}` is not a predicate of Spring Cloud Gateway; without it the route would take too much",
        part.name.escape_debug()
    );
    part.unknown(problem, &names, report)
}

/// Writes items separated by commas.
fn write_list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
    }
    Ok(())
}

/// Warns of constraints with capturing groups, on which Spring fails.
fn warn_of_groups<'c>(arg: &ScgArg<'_>, constraints: impl Iterator<Item = &'c str>) {
    for constraint in constraints {
        arg.warn(format!(
            "`{constraint}` has a group that captures: Spring answers 500 to every request that comes to this route, here it \
             matches as if the group were `(?:…)`"
        ));
    }
}

#[cfg(test)]
mod tests;
