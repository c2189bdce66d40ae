//! Where in a text the gateway's settings are.

use super::{
    beside::{self, Beside, Defaults},
    key::folded,
    parts::Text,
    profiles,
    properties::{self, Property},
    relaxed::Relaxed,
    tree::Tree,
};
use crate::{
    fault::{Fault, Position, Report, Severity},
    field::Field,
    node::{Node, Value},
    settings::{Compat, ScgSettings},
};

/// Below it is everything of the gateway.
pub(crate) const PREFIX: &str = "spring.cloud.gateway";
/// What it is called since 4.3.
const NEW_PREFIX: &str = "spring.cloud.gateway.server.webflux";
/// What says which profiles a part is for.
const ON_PROFILE: [&[&str]; 2] = [
    &["spring", "config", "activate", "on-profile"],
    &["spring", "profiles"],
];
/// Keys of an object around a list of definitions.
const LISTS: [&str; 3] = ["routeList", "routes", "routeDefinitions"];

/// The gateway's settings, or a list of route definitions.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) node: Node,
    pub(crate) path: String,
    /// Whether it is only the list.
    pub(crate) is_list: bool,
    /// Whether Spring would load it itself, rather than a program that reads route definitions from a list.
    pub(crate) is_loaded_by_spring: bool,
    /// What an application says beside it.
    pub(crate) beside: Defaults,
}

/// Finds it in YAML or JSON. `None` if it is not there, which is in the report then.
pub(crate) fn find(text: Text, scg: &ScgSettings, report: &Report) -> Option<Section> {
    let is_json = text.is_json;
    let mut parts = text.parts;
    if let [only] = parts.as_mut_slice()
        && !has_spring(only)
    {
        let node = std::mem::replace(only, Node::null(only.at));
        return of_list(node, is_json, report);
    }
    let trees = parts
        .into_iter()
        .filter(|part| !matches!(part.value, Value::Null));
    let trees = trees.map(|part| Tree::of_node(of_spring(part)));
    of_parts(trees.collect(), scg, report)
}

/// Finds it in properties.
pub(crate) fn of_properties(text: &str, scg: &ScgSettings, report: &Report) -> Option<Section> {
    let prefixes = [PREFIX, "spring.config.activate", "spring.profiles"];
    let prefixes: Vec<_> = prefixes.into_iter().chain(beside::PREFIXES).collect();
    let parts = properties::read(text, &prefixes);
    let tree = |properties: Vec<Property>| {
        let mut tree = Tree::empty(Position { line: 1, column: 1 });
        for Property { key, value } in properties {
            let at = value.at;
            if tree.insert(&key, at, Tree::Leaf(value)) {
                warn(report, at, &key, "given twice; the last one counts");
            }
        }
        tree
    };
    of_parts(parts.into_iter().map(tree).collect(), scg, report)
}

/// Whether a document has a key of Spring's.
pub(crate) fn has_spring(node: &Node) -> bool {
    match &node.value {
        Value::Mapping(entries) => entries
            .iter()
            .any(|(key, _)| begins_with(&key.text, "spring")),
        _ => false,
    }
}

fn begins_with(key: &str, name: &str) -> bool {
    let first = key.split(['.', '[']).next().unwrap_or_default();
    folded(first) == name
}

/// Only what is Spring's, and of circuit breakers: the rest of an application's settings is none of ours.
fn of_spring(mut node: Node) -> Node {
    if let Value::Mapping(entries) = &mut node.value {
        let known = ["spring", beside::RESILIENCE];
        entries.retain(|(key, _)| known.iter().any(|name| begins_with(&key.text, name)));
    }
    node
}

/// Lays the parts for the active profiles over each other.
fn of_parts(parts: Vec<Tree>, scg: &ScgSettings, report: &Report) -> Option<Section> {
    let at = parts
        .first()
        .map_or(Position { line: 1, column: 1 }, Tree::position);
    let mut whole: Option<Tree> = None;
    let mut beside = Beside::default();
    for mut part in parts {
        if !is_active(&mut part, scg, report) {
            continue;
        }
        beside.add(&mut part);
        let Some(gateway) = part.take_path(&["spring", "cloud", "gateway"]) else {
            continue;
        };
        match &mut whole {
            None => whole = Some(gateway),
            Some(earlier) => {
                let at = gateway.position();
                if earlier.merge(gateway) {
                    warn(
                        report,
                        at,
                        PREFIX,
                        "takes the place of values in an earlier part; a list replaces the whole one",
                    );
                }
            }
        }
    }
    let Some(mut old) = whole else {
        let expected = format!(
            "`{PREFIX}.routes`, for the active profiles ({})",
            scg.profiles.join(", ")
        );
        fault(report, at, "", "no settings of the gateway", expected);
        return None;
    };
    let new = old.take_path(&["server", "webflux"]);
    let section = by_compat(old, new, scg.compat, report)?;
    Some(Section {
        beside: beside.into_defaults(report),
        ..section
    })
}

fn is_active(part: &mut Tree, scg: &ScgSettings, report: &Report) -> bool {
    ON_PROFILE.iter().all(|path| {
        let Some(tree) = part.take_path(path) else {
            return true;
        };
        let node = tree.into_node("", report);
        let names = match Field::new(&node, path.join("."), report) {
            // `spring.profiles.active` and the like are no condition.
            field if field.is_mapping() || field.is_null() => return true,
            field => field.string_list(),
        };
        let names = names.unwrap_or_default().join(",");
        profiles::is_active(&names, &scg.profiles).unwrap_or_else(|| {
            warn(
                report,
                node.at,
                &path.join("."),
                "parentheses are not read; this part is left out",
            );
            false
        })
    })
}

/// Both prefixes in one document: the old one wins for 4.3, and for 5.0 there is none.
fn by_compat(old: Tree, new: Option<Tree>, compat: Compat, report: &Report) -> Option<Section> {
    let at = old.position();
    let (tree, path) = match (compat, new) {
        (Compat::V5, Some(new)) => (new, NEW_PREFIX),
        (Compat::V5, None) => {
            let problem = "5.0 does not read this prefix, and scg.compat is 5";
            fault(report, at, PREFIX, problem, format!("`{NEW_PREFIX}`"));
            return None;
        }
        (Compat::V4, Some(mut new)) => {
            let old_node = old.into_node(PREFIX, report);
            let has_own = matches!(&old_node.value, Value::Mapping(entries) if has_keys(entries));
            if has_own && new.merge(Tree::Leaf(old_node)) {
                warn(
                    report,
                    at,
                    PREFIX,
                    "both prefixes are given; what is under this one wins, as in 4.3",
                );
            }
            (new, if has_own { PREFIX } else { NEW_PREFIX })
        }
        (Compat::V4, None) => (old, PREFIX),
    };
    Some(Section {
        node: tree.into_node(path, report),
        path: path.to_owned(),
        is_list: false,
        is_loaded_by_spring: true,
        beside: Defaults::default(),
    })
}

fn has_keys(entries: &[(crate::Key, Node)]) -> bool {
    entries.iter().any(|(key, _)| folded(&key.text) != "server")
}

/// A list of definitions, alone or in an object, or one definition.
fn of_list(node: Node, is_json: bool, report: &Report) -> Option<Section> {
    let section = |node: Node, path: &str| Section {
        node,
        path: path.to_owned(),
        is_list: true,
        is_loaded_by_spring: false,
        beside: Defaults::default(),
    };
    if matches!(node.value, Value::Sequence(_)) {
        return Some(section(node, ""));
    }
    let field = Field::new(&node, "", report);
    if !field.is_mapping() {
        field.fault_expected(
            "no route document",
            format!("`{PREFIX}.routes`, or a list of route definitions"),
        );
        return None;
    }
    let mut keys = Relaxed::read(&field)?;
    let applies = keys
        .take("refreshGatewayRoute")
        .and_then(|field| field.string());
    if applies.is_some_and(|text| text.eq_ignore_ascii_case("false")) {
        field.fault("`refreshGatewayRoute` is false: the document asks not to be applied");
        return None;
    }
    for name in LISTS {
        let Some(list) = keys.take(name) else {
            continue;
        };
        if !is_json && list.is_sequence() && name == "routes" {
            // The settings of the gateway without what Spring has above them.
            let path = String::new();
            return Some(Section {
                node,
                path,
                is_list: false,
                is_loaded_by_spring: true,
                beside: Defaults::default(),
            });
        }
        let path = list.path().to_owned();
        let list = list.node().clone();
        for (key, value) in keys.rest() {
            value.warn(format!("{} is not read", crate::field::quote(&key.text)));
        }
        return Some(section(list, &path));
    }
    if keys.take("uri").is_some() {
        let at = node.at;
        let value = Value::Sequence(vec![node]);
        return Some(section(Node { value, at }, ""));
    }
    let expected = format!("`{PREFIX}.routes`, or a list of route definitions");
    field.fault_expected("no routes", expected);
    None
}

fn warn(report: &Report, at: Position, path: &str, problem: &str) {
    push(report, at, path, problem, None, Severity::Warning);
}

fn fault(report: &Report, at: Position, path: &str, problem: &str, expected: String) {
    push(report, at, path, problem, Some(expected), Severity::Error);
}

fn push(
    report: &Report,
    at: Position,
    path: &str,
    problem: &str,
    expected: Option<String>,
    severity: Severity,
) {
    report.push(Fault {
        document: report.document().clone(),
        position: Some(at),
        path: path.to_owned(),
        problem: problem.to_owned(),
        expected,
        nearest: None,
        severity,
    });
}
