use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pailou_config::Node;

use super::*;
use crate::{Host, Target};

/// Compiles `name: yaml`; the faults as text when it is refused.
pub(crate) fn compiled(name: &str, yaml: &str) -> Result<Box<dyn Predicate>, String> {
    let report = Report::new("test");
    let args = Node::parse_yaml(yaml, &report).expect("YAML");
    let part = PartSpec {
        name: name.to_owned(),
        at: args.at,
        args,
        path: name.to_owned(),
    };
    let predicate = compile(&part, &report);
    if report.has_errors() {
        let faults = report.into_faults();
        return Err(faults
            .iter()
            .map(Fault::to_string)
            .collect::<Vec<_>>()
            .join("\n"));
    }
    Ok(predicate.expect("a predicate that is refused has a fault"))
}

/// Whether a request in the form `GET host/path?query`, with header lines
/// `name: value`, fulfils the predicate.
pub(crate) fn holds(predicate: &dyn Predicate, request: &str, lines: &[&str]) -> bool {
    let (method, rest) = request.split_once(' ').expect("a method");
    let slash = rest.find('/').expect("a path");
    let (host, raw) = rest.split_at(slash);
    let host = (!host.is_empty()).then(|| Host::parse(host.as_bytes()).expect("a host"));
    let target = Target::parse(raw.as_bytes()).expect("a target");
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let host = host.as_ref().map(Host::name);
    predicate.matches(&Request::new(&method, host, &target, &headers))
}

#[test]
fn an_unknown_predicate_is_named_with_the_nearest_one() {
    let error = compiled("header", "{ a: b }").expect_err("unknown");
    assert!(error.contains("`header` is not a predicate"), "{error}");
    assert!(error.contains("did you mean `headers`?"), "{error}");
}

#[test]
fn the_readme_has_a_row_for_every_predicate() {
    let readme = include_str!("../../README.md");
    for Entry {
        name,
        arguments,
        summary,
        ..
    } in REGISTRY
    {
        let row = format!("| `{name}` | `{arguments}` | {summary} |");
        assert!(readme.contains(&row), "README.md lacks the row\n{row}");
    }
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<_> = REGISTRY.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), REGISTRY.len());
}
