//! The filters by name.

use pailou_config::{Fault, Field, PartSpec, Report, Severity, nearest};

use pailou_config::TargetSpec;
use pailou_upstream::Destination;

use crate::{
    Body, Edit, Gate, Rule, Step, add_request_header, add_response_header, forward_auth, grpc_web,
    prefix, redirect, remove_request_header, remove_response_header, respond, rewrite_body,
    set_request_header, set_response_header, strip_prefix,
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
    /// Whether it answers every request that reaches it, so that its route needs
    /// no service.
    pub answers: bool,
    compile: Compile,
}

/// From arguments to a step, by its kind.
#[derive(Debug)]
enum Compile {
    Edit(fn(&Field<'_>) -> Option<Box<dyn Edit>>),
    Gate(fn(&Field<'_>, &dyn Destinations) -> Option<Box<dyn Gate>>),
    Body(fn(&Field<'_>) -> Option<Box<dyn Body>>),
    Rule(fn(&Field<'_>) -> Option<Rule>),
}

/// Where filters get the services that they ask.
pub trait Destinations {
    /// The endpoints of a service, by the default policy. What is wrong with
    /// `spec` goes to the report of `field`.
    fn destination(&self, spec: &TargetSpec, field: &Field<'_>) -> Option<Destination>;
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
    forward_auth::ENTRY,
    redirect::ENTRY,
    respond::ENTRY,
    rewrite_body::ENTRY,
    grpc_web::ENTRY,
];

impl Entry {
    const fn new(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: Compile,
    ) -> Entry {
        Entry {
            name,
            arguments,
            summary,
            answers: false,
            compile,
        }
    }

    /// The row of a filter that changes heads.
    pub(crate) const fn edit(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>) -> Option<Box<dyn Edit>>,
    ) -> Entry {
        Entry::new(name, arguments, summary, Compile::Edit(compile))
    }

    /// The row of a filter that answers every request.
    pub(crate) const fn answer(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>) -> Option<Box<dyn Edit>>,
    ) -> Entry {
        Entry {
            answers: true,
            ..Entry::new(name, arguments, summary, Compile::Edit(compile))
        }
    }

    /// The row of a filter that waits for somebody else's word.
    pub(crate) const fn gate(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>, &dyn Destinations) -> Option<Box<dyn Gate>>,
    ) -> Entry {
        Entry::new(name, arguments, summary, Compile::Gate(compile))
    }

    /// The row of a filter that changes bodies.
    pub(crate) const fn body(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>) -> Option<Box<dyn Body>>,
    ) -> Entry {
        Entry::new(name, arguments, summary, Compile::Body(compile))
    }

    /// The row of a filter that says how a request is sent.
    pub(crate) const fn rule(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>) -> Option<Rule>,
    ) -> Entry {
        Entry::new(name, arguments, summary, Compile::Rule(compile))
    }
}

/// Whether a route with this filter needs no service: every request that
/// reaches the filter is answered by it.
pub fn answers(part: &PartSpec) -> bool {
    REGISTRY
        .iter()
        .any(|entry| entry.answers && entry.name == part.name)
}

/// Compiles a filter. What is wrong with it goes to `report`, which decides:
/// an answer beside an error (an unknown key, say) is not to be used.
pub fn compile(part: &PartSpec, report: &Report, destinations: &dyn Destinations) -> Option<Step> {
    let Some(entry) = REGISTRY.iter().find(|entry| entry.name == part.name) else {
        report.push(unknown(part, report));
        return None;
    };
    let field = part.field(report);
    Some(match entry.compile {
        Compile::Edit(compile) => Step::Edit(compile(&field)?),
        Compile::Gate(compile) => Step::Gate(compile(&field, destinations)?),
        Compile::Body(compile) => Step::Body(compile(&field)?),
        Compile::Rule(compile) => Step::Rule(compile(&field)?),
    })
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
    use std::borrow::Cow;
    use std::sync::{Arc, LazyLock};

    use http::{HeaderMap, Method};
    use pailou_config::Node;
    use pailou_upstream::{Policy, ServiceId, Services, Subset};

    use super::*;
    use crate::{Facts, RequestHead};

    /// Services that nobody has listed.
    struct Unlisted(Arc<Services>);

    impl Destinations for Unlisted {
        fn destination(&self, spec: &TargetSpec, _field: &Field<'_>) -> Option<Destination> {
            let name = spec.service().map_or("", |service| &service.name);
            let service = self.0.service(&ServiceId::new("", "DEFAULT_GROUP", name));
            let (all, policy) = (Subset::default(), Policy::round_robin());
            Some(Destination {
                selection: self.0.selection(&service, &all, &policy),
                transport: None,
                upstream_tls: 0,
            })
        }
    }

    /// Compiles `name: yaml`; the faults as text when it is refused.
    pub(crate) fn step(name: &str, yaml: &str) -> Result<Step, String> {
        let report = Report::new("test");
        let args = Node::parse_yaml(yaml, &report).expect("YAML");
        let part = PartSpec {
            name: name.to_owned(),
            at: args.at,
            args,
            path: name.to_owned(),
        };
        let services = Services::new(
            pailou_upstream::EjectionSettings::default(),
            pailou_telemetry::Metrics::new(),
        );
        let step = compile(&part, &report, &Unlisted(services));
        if report.has_errors() {
            let faults = report.into_faults();
            return Err(faults
                .iter()
                .map(Fault::to_string)
                .collect::<Vec<_>>()
                .join("\n"));
        }
        Ok(step.expect("a filter that is refused has a fault"))
    }

    /// The same for a filter that changes heads.
    pub(crate) fn compiled(name: &str, yaml: &str) -> Result<Box<dyn Edit>, String> {
        match step(name, yaml)? {
            Step::Edit(edit) => Ok(edit),
            other => panic!("{name} does not change heads: {other:?}"),
        }
    }

    /// A request that nobody knows anything of.
    pub(crate) fn facts() -> &'static Facts {
        static FACTS: LazyLock<Facts> = LazyLock::new(Facts::default);
        &FACTS
    }

    /// A GET without a query.
    pub(crate) fn request_head<'a>(
        path: impl Into<Cow<'a, str>>,
        headers: &'a mut HeaderMap,
    ) -> RequestHead<'a> {
        RequestHead {
            facts: facts(),
            method: &Method::GET,
            path: path.into(),
            query: None,
            headers,
        }
    }

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
