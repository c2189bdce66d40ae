//! The filters by name.

use pailou_config::{Fault, Field, PartSpec, Report, Severity, nearest};

use crate::{
    Edit, add_request_header, add_response_header, prefix, remove_request_header,
    remove_response_header, set_request_header, set_response_header, strip_prefix,
};

/// A filter that routes can name.
#[derive(Debug)]
pub struct Entry {
    /// Its name in YAML.
    pub name: &'static str,
    /// Its arguments, as they are written.
    pub arguments: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    compile: fn(&Field<'_>) -> Option<Box<dyn Edit>>,
}

/// Every filter, in the order of the reference.
pub static REGISTRY: &[Entry] = &[
    strip_prefix::ENTRY,
    prefix::ENTRY,
    set_request_header::ENTRY,
    add_request_header::ENTRY,
    remove_request_header::ENTRY,
    set_response_header::ENTRY,
    add_response_header::ENTRY,
    remove_response_header::ENTRY,
];

impl Entry {
    /// A row of the registry.
    pub(crate) const fn new(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>) -> Option<Box<dyn Edit>>,
    ) -> Entry {
        Entry {
            name,
            arguments,
            summary,
            compile,
        }
    }
}

/// Compiles a filter. What is wrong with it goes to `report`, which decides:
/// an answer beside an error (an unknown key, say) is not to be used.
///
/// ```
/// use http::HeaderMap;
/// use pailou_config::{Node, PartSpec, Position, Report};
/// use pailou_filters::{Chain, RequestHead, compile};
///
/// let report = Report::new("example");
/// let args = Node::parse_yaml("1", &report).expect("YAML");
/// let at = Position { line: 1, column: 1 };
/// let part = PartSpec { name: "strip_prefix".into(), args, at, path: "strip_prefix".into() };
///
/// let chain = Chain::new(vec![compile(&part, &report).expect("a legal filter")]);
/// let mut headers = HeaderMap::new();
/// let mut head = RequestHead { path: "/api/users".into(), headers: &mut headers };
/// chain.request(&mut head);
/// assert_eq!(head.path, "/users");
/// ```
pub fn compile(part: &PartSpec, report: &Report) -> Option<Box<dyn Edit>> {
    let Some(entry) = REGISTRY.iter().find(|entry| entry.name == part.name) else {
        report.push(unknown(part, report));
        return None;
    };
    (entry.compile)(&part.field(report))
}

fn unknown(part: &PartSpec, report: &Report) -> Fault {
    let names = || REGISTRY.iter().map(|entry| entry.name);
    Fault {
        document: report.document().clone(),
        position: Some(part.at),
        path: part.path.clone(),
        problem: format!("`{}` is not a filter", part.name),
        expected: Some(format!("one of {}", names().collect::<Vec<_>>().join(", "))),
        nearest: nearest(&part.name, names()).map(str::to_owned),
        severity: Severity::Error,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Compiles `name: yaml`; the faults as text when it is refused.
    pub(crate) fn compiled(name: &str, yaml: &str) -> Result<Box<dyn Edit>, String> {
        let report = Report::new("test");
        let args = Node::parse_yaml(yaml, &report).expect("YAML");
        let part = PartSpec {
            name: name.to_owned(),
            at: args.at,
            args,
            path: name.to_owned(),
        };
        let edit = compile(&part, &report);
        if report.has_errors() {
            let faults = report.into_faults();
            return Err(faults
                .iter()
                .map(Fault::to_string)
                .collect::<Vec<_>>()
                .join("\n"));
        }
        Ok(edit.expect("a filter that is refused has a fault"))
    }

    use pailou_config::Node;

    #[test]
    fn an_unknown_filter_is_named_with_the_nearest_one() {
        let error = compiled("strip_prefx", "1").expect_err("unknown");
        assert!(error.contains("`strip_prefx` is not a filter"), "{error}");
        assert!(error.contains("did you mean `strip_prefix`?"), "{error}");
    }

    #[test]
    fn the_readme_has_a_row_for_every_filter() {
        let readme = include_str!("../README.md");
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
        let names: std::collections::BTreeSet<_> =
            REGISTRY.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), REGISTRY.len());
    }
}
