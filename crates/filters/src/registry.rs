//! The filters by name.

use std::sync::Arc;

use pailou_config::{Fault, Field, PartSpec, Report, ScgArgs, Shortcut, TargetSpec};
use pailou_upstream::Destination;

use crate::{
    Body, Edit, Gate, Rule, Shared, Step, add_request_header, add_response_header, api_key,
    basic_auth, circuit_breaker, compress, concurrency_limit, cors, csrf, errors, forward_auth,
    grpc_web, inject_fault, introspect, ip_filter, jwt, methods, mirror, prefix, priority,
    rate_limit, redirect, remove_request_header, remove_response_header, request_limits, respond,
    rewrite_body, scg, set_request_header, set_response_header, strip_prefix,
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

/// From arguments to steps, by its kind.
#[derive(Debug)]
enum Compile {
    Edit(fn(&Field<'_>) -> Option<Box<dyn Edit>>),
    Gate(fn(&Field<'_>, &dyn Destinations) -> Option<Box<dyn Gate>>),
    Body(fn(&Field<'_>) -> Option<Box<dyn Body>>),
    Rule(fn(&Field<'_>) -> Option<Rule>),
    /// Several steps.
    Steps(fn(&Field<'_>, &Scope<'_>) -> Option<Vec<Step>>),
    /// Of Spring Cloud Gateway.
    Scg(Shortcut, fn(&ScgArgs<'_>, &Scope<'_>) -> Option<Vec<Step>>),
}

/// What a filter is compiled for: its route.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The route's id.
    pub route: &'a Arc<str>,
    /// The name of the service that it goes to, if it goes to one.
    pub service: Option<&'a str>,
    /// The names that the route's predicates bind; `None` where they are not
    /// known, since a predicate has a fault of its own.
    pub names: Option<&'a [Arc<str>]>,
    /// Where the services come from that filters ask.
    pub destinations: &'a dyn Destinations,
    /// State that filters share with those of other routes, and with those that this
    /// route had before.
    pub shared: &'a Shared,
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
    jwt::ENTRY,
    introspect::ENTRY,
    api_key::ENTRY,
    basic_auth::ENTRY,
    ip_filter::ENTRY,
    csrf::ENTRY,
    cors::ENTRY,
    methods::ENTRY,
    request_limits::ENTRY,
    redirect::ENTRY,
    respond::ENTRY,
    rewrite_body::ENTRY,
    compress::ENTRY,
    grpc_web::ENTRY,
    rate_limit::ENTRY,
    circuit_breaker::ENTRY,
    errors::ENTRY,
    concurrency_limit::ENTRY,
    priority::ENTRY,
    inject_fault::ENTRY,
    mirror::ENTRY,
    scg::strip_prefix::ENTRY,
    scg::prefix_path::ENTRY,
    scg::rewrite_path::ENTRY,
    scg::set_path::ENTRY,
    scg::add_request_header::ENTRY,
    scg::add_request_headers_if_not_present::ENTRY,
    scg::set_request_header::ENTRY,
    scg::remove_request_header::ENTRY,
    scg::set_request_host_header::ENTRY,
    scg::preserve_host_header::ENTRY,
    scg::map_request_header::ENTRY,
    scg::add_request_parameter::ENTRY,
    scg::remove_request_parameter::ENTRY,
    scg::rewrite_request_parameter::ENTRY,
    scg::add_response_header::ENTRY,
    scg::set_response_header::ENTRY,
    scg::remove_response_header::ENTRY,
    scg::rewrite_response_header::ENTRY,
    scg::rewrite_location_response_header::ENTRY,
    scg::dedupe_response_header::ENTRY,
    scg::secure_headers::ENTRY,
    scg::set_status::ENTRY,
    scg::redirect_to::ENTRY,
    scg::request_size::ENTRY,
    scg::request_header_size::ENTRY,
    scg::remove_json_attributes_response_body::ENTRY,
    scg::retry::ENTRY,
    scg::cors::ENTRY,
    scg::request_rate_limiter::ENTRY,
    scg::circuit_breaker::ENTRY,
    scg::fallback_headers::ENTRY,
    scg::local_response_cache::ENTRY,
    scg::cache_request_body::ENTRY,
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

    /// The row of a filter that asks another service.
    pub(crate) const fn gate(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>, &dyn Destinations) -> Option<Box<dyn Gate>>,
    ) -> Entry {
        Entry::new(name, arguments, summary, Compile::Gate(compile))
    }

    /// The row of a filter that is several steps.
    pub(crate) const fn steps(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        compile: fn(&Field<'_>, &Scope<'_>) -> Option<Vec<Step>>,
    ) -> Entry {
        Entry::new(name, arguments, summary, Compile::Steps(compile))
    }

    /// The row of a filter of Spring Cloud Gateway, whose arguments are read as
    /// Spring reads them. What is not asked for of them is reported.
    pub(crate) const fn scg(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        shortcut: Shortcut,
        compile: fn(&ScgArgs<'_>, &Scope<'_>) -> Option<Vec<Step>>,
    ) -> Entry {
        Entry::new(name, arguments, summary, Compile::Scg(shortcut, compile))
    }

    /// The same for one that answers every request.
    pub(crate) const fn scg_answer(
        name: &'static str,
        arguments: &'static str,
        summary: &'static str,
        shortcut: Shortcut,
        compile: fn(&ScgArgs<'_>, &Scope<'_>) -> Option<Vec<Step>>,
    ) -> Entry {
        Entry {
            answers: true,
            ..Entry::scg(name, arguments, summary, shortcut, compile)
        }
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

/// Compiles a filter. Faults go to `report`. If there is an error among them, such
/// as an unknown key, the result must not be used.
///
/// Most filters are one step. One of Spring's may be several, or none.
pub fn compile(part: &PartSpec, report: &Report, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let Some(entry) = REGISTRY.iter().find(|entry| entry.name == part.name) else {
        report.push(scg::unserved(part, report).unwrap_or_else(|| unknown(part, report)));
        return None;
    };
    let field = part.field(report);
    Some(vec![match entry.compile {
        Compile::Edit(compile) => Step::Edit(compile(&field)?),
        Compile::Gate(compile) => Step::Gate(compile(&field, scope.destinations)?),
        Compile::Body(compile) => Step::Body(compile(&field)?),
        Compile::Rule(compile) => Step::Rule(compile(&field)?),
        Compile::Steps(compile) => return compile(&field, scope),
        Compile::Scg(shortcut, compile) => {
            let args = ScgArgs::read(&field, shortcut)?;
            let steps = compile(&args, scope);
            args.finish();
            return steps;
        }
    }])
}

/// Warns of filters that have no effect where they stand among the compiled ones of a route.
pub fn check_order(filters: &[(&PartSpec, Vec<Step>)], report: &Report) {
    let has = |steps: &[Step], is_it: fn(&Step) -> bool| steps.iter().any(is_it);
    for (place, (part, steps)) in filters.iter().enumerate() {
        if !has(steps, |step| matches!(step, Step::Compress(_))) {
            continue;
        }
        let mut before = filters[..place].iter();
        let body = before.find(|(_, steps)| has(steps, |step| matches!(step, Step::Body(_))));
        if let Some((other, _)) = body {
            part.field(report).warn(format!(
                "`{}` stands behind `{}`, which reads bodies as they are and asks for such: nothing will be compressed; put `{}` in front of it",
                part.name, other.name, part.name
            ));
        }
    }
}

fn unknown(part: &PartSpec, report: &Report) -> Fault {
    let is_native = |entry: &&Entry| {
        entry
            .name
            .starts_with(|first: char| first.is_ascii_lowercase())
    };
    let native = REGISTRY.iter().filter(is_native);
    let names: Vec<_> = native.map(|entry| entry.name).collect();
    part.unknown(format!("`{}` is not a filter", part.name), &names, report)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::borrow::Cow;
    use std::sync::{Arc, LazyLock};

    use http::{HeaderMap, Method};
    use pailou_config::Node;
    use pailou_upstream::{Policy, ServiceId, Services, Subset};

    use super::*;
    use crate::{Effects, Facts, RequestHead};

    /// Services that nobody has listed.
    pub(crate) struct Unlisted(pub(crate) Arc<Services>);

    impl Destinations for Unlisted {
        fn destination(&self, spec: &TargetSpec, _field: &Field<'_>) -> Option<Destination> {
            let name = spec.service().map_or("", |service| &service.name);
            let service = self.0.service(&ServiceId::new("", "DEFAULT_GROUP", name));
            let (all, policy) = (Subset::default(), Policy::round_robin());
            Some(Destination {
                selection: self.0.selection(&service, &all, &policy),
                transport: None,
                upstream_tls: 0,
                proxy_protocol: false,
                checking: None,
            })
        }
    }

    /// Compiles `name: yaml` to one step; the faults as text when it is refused.
    pub(crate) fn step(name: &str, yaml: &str) -> Result<Step, String> {
        let mut steps = steps(name, yaml, &[])?.0;
        assert_eq!(steps.len(), 1, "{name} is not one step");
        Ok(steps.remove(0))
    }

    /// The same with what filters share.
    pub(crate) fn step_with(name: &str, yaml: &str, shared: &Shared) -> Result<Step, String> {
        let mut steps = steps_with(name, yaml, &[], shared)?.0;
        assert_eq!(steps.len(), 1, "{name} is not one step");
        Ok(steps.remove(0))
    }

    /// Compiles `name: yaml` in a route that binds some names; the faults as text
    /// when it is refused, else the steps and the warnings.
    pub(crate) fn steps(
        name: &str,
        yaml: &str,
        bound: &[&str],
    ) -> Result<(Vec<Step>, String), String> {
        let shared = Shared::new(pailou_telemetry::Metrics::new());
        steps_with(name, yaml, bound, &shared)
    }

    fn steps_with(
        name: &str,
        yaml: &str,
        bound: &[&str],
        shared: &Shared,
    ) -> Result<(Vec<Step>, String), String> {
        let report = Report::new("test");
        let args = Node::parse_yaml(yaml, &report).expect("YAML");
        let part = PartSpec {
            name: name.to_owned(),
            at: args.at,
            args,
            path: name.to_owned(),
        };
        let metrics = pailou_telemetry::Metrics::new();
        let services = Services::new(pailou_upstream::EjectionSettings::default(), metrics);
        let names: Vec<Arc<str>> = bound.iter().map(|name| Arc::from(*name)).collect();
        let scope = Scope {
            route: &Arc::from("test"),
            service: Some("test-service"),
            names: Some(&names),
            destinations: &Unlisted(services),
            shared,
        };
        let steps = compile(&part, &report, &scope);
        let is_refused = report.has_errors();
        let faults = report.into_faults();
        let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
        if is_refused {
            return Err(faults.join("\n"));
        }
        let steps = steps.expect("a filter that is refused has a fault");
        Ok((steps, faults.join("\n")))
    }

    /// The same for a filter that changes heads.
    pub(crate) fn compiled(name: &str, yaml: &str) -> Result<Box<dyn Edit>, String> {
        match step(name, yaml)? {
            Step::Edit(edit) => Ok(edit),
            other => panic!("{name} does not change heads: {other:?}"),
        }
    }

    /// A request without any facts.
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
            effects: Effects::default(),
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
