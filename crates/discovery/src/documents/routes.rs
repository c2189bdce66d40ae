//! The routes of a document: compiled, taken over where their spec has not changed, and in a document whose
//! routes stand alone, kept at their last good version.

use std::collections::HashMap;
use std::sync::Arc;

use pailou_config::{Fault, ParsedDocument, RouteSpec, Severity};
use pailou_filters::UnroutedCors;
use pailou_routing::Route;

use super::Compile;

/// What became of the routes of a document.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// Those that are to be served, in the order of the text.
    pub(super) routes: Vec<Arc<Route>>,
    /// Why others are not, or not in their newest version.
    pub(super) faults: Vec<Fault>,
    /// The ids of those that are served in an older version.
    pub(super) kept: Vec<Arc<str>>,
    /// What the document says of requests that no route takes.
    pub(super) unrouted: Option<Arc<UnroutedCors>>,
}

/// Compiles every route, taking over those of `before` whose spec has not changed.
///
/// In a document that is taken whole, a fault is one of the whole. In one whose routes stand alone, a route that
/// cannot run keeps its place with its version of `before`, if it has one there.
pub(super) fn compile(
    parsed: &mut ParsedDocument,
    before: &[Arc<Route>],
    compile: Compile<'_>,
) -> Compiled {
    let known: HashMap<&str, &Arc<Route>> = before
        .iter()
        .map(|route| (&*route.spec.id, route))
        .collect();
    let mut compiled = Compiled::default();
    let mut refused = std::mem::take(&mut parsed.refused).into_iter().peekable();
    let specs = std::mem::take(&mut parsed.routes);
    let is_isolated = parsed.is_isolated;
    let keep = |compiled: &mut Compiled, id: &str, faults: Vec<Fault>| {
        let kept = known.get(id).filter(|_| is_isolated);
        compiled.faults.extend(told(faults, kept.is_some()));
        compiled
            .kept
            .extend(kept.map(|route| Arc::clone(&route.id)));
        compiled.routes.extend(kept.map(|route| Arc::clone(route)));
    };
    for (place, spec) in specs.into_iter().enumerate() {
        while let Some(route) = refused.next_if(|route| route.place <= place) {
            keep(&mut compiled, &route.id, route.faults);
        }
        match known.get(&*spec.id) {
            Some(&route) if *route.spec == spec => compiled.routes.push(Arc::clone(route)),
            _ => {
                let id = Arc::clone(&spec.id);
                match one(spec, compile) {
                    Ok(route) => compiled.routes.push(route),
                    Err(faults) => keep(&mut compiled, &id, faults),
                }
            }
        }
    }
    for route in refused {
        keep(&mut compiled, &route.id, route.faults);
    }
    compiled
}

fn one(spec: RouteSpec, compile: Compile<'_>) -> Result<Arc<Route>, Vec<Fault>> {
    compile(Arc::new(spec))
}

/// The faults of a route. Its errors say what is served of it.
fn told(mut faults: Vec<Fault>, is_kept: bool) -> Vec<Fault> {
    if is_kept {
        let errors = faults.iter_mut();
        for fault in errors.filter(|fault| fault.severity == Severity::Error) {
            fault
                .problem
                .push_str(" (the last good version of the route stays)");
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use pailou_config::{DocumentOutcome, Reading, RefusedRoute};
    use pailou_routing::{Compiler, Route};
    use pailou_telemetry::Metrics;
    use pailou_upstream::{EjectionSettings, Services};

    use super::*;

    /// Routes by id and service, of which those whose service is `broken` cannot run; a service `unreadable`
    /// stands for a route that could not even be read.
    fn compiled(routes: &[(&str, &str)], before: &[Arc<Route>], is_isolated: bool) -> Compiled {
        let mut text = String::from("routes:\n");
        for (id, service) in routes {
            text.push_str(&format!("  {id}: {{ path: /{id}, service: {service} }}\n"));
        }
        let DocumentOutcome::Routes(mut parsed) = Reading::default().parse("r.yaml", &text) else {
            panic!("{text}");
        };
        parsed.is_isolated = is_isolated;
        let (unreadable, readable): (Vec<_>, Vec<_>) = std::mem::take(&mut parsed.routes)
            .into_iter()
            .enumerate()
            .partition(|(_, spec)| spec.service().is_some_and(|s| s.name == "unreadable"));
        parsed.refused = unreadable
            .into_iter()
            .enumerate()
            .map(|(nth, (place, spec))| RefusedRoute {
                id: spec.id.clone(),
                place: place - nth,
                faults: vec![fault(&spec)],
            })
            .collect();
        parsed.routes = readable.into_iter().map(|(_, spec)| spec).collect();

        let metrics = Metrics::new();
        let services = Services::new(EjectionSettings::default(), metrics.clone());
        let environment = pailou_config::Environment::default();
        let settings = pailou_config::load_settings(None, &environment)
            .expect("default settings")
            .settings;
        let filters = pailou_filters::Shared::new(metrics.clone());
        let compiler = Compiler::new(&services, &metrics, &filters, &settings);
        compile(&mut parsed, before, &|spec| match spec
            .service()
            .is_some_and(|service| service.name == "broken")
        {
            true => Err(vec![fault(&spec)]),
            false => Route::compile(spec, &compiler),
        })
    }

    fn fault(spec: &RouteSpec) -> Fault {
        Fault {
            document: spec.document.clone(),
            position: Some(spec.at),
            path: format!("routes.{}", spec.id),
            problem: "it is broken".to_owned(),
            expected: None,
            nearest: None,
            severity: Severity::Error,
        }
    }

    fn served(compiled: &Compiled) -> Vec<String> {
        let service = |route: &Route| route.spec.service().map(|service| service.name.clone());
        let routes = compiled.routes.iter();
        routes
            .map(|route| format!("{}={}", route.id, service(route).unwrap_or_default()))
            .collect()
    }

    #[test]
    fn a_route_that_cannot_run_keeps_its_place_and_its_last_good_version() {
        let first = compiled(&[("a", "one"), ("b", "one"), ("c", "one")], &[], true);
        assert_eq!(served(&first), ["a=one", "b=one", "c=one"]);
        for bad in ["broken", "unreadable"] {
            let second = compiled(
                &[("new", bad), ("c", "two"), ("b", bad), ("a", "one")],
                &first.routes,
                true,
            );
            assert_eq!(served(&second), ["c=two", "b=one", "a=one"], "{bad}");
            let problems: Vec<_> = second.faults.iter().map(|f| f.problem.as_str()).collect();
            let kept = "it is broken (the last good version of the route stays)";
            assert_eq!(problems, ["it is broken", kept], "{bad}");
            assert_eq!(second.kept, [Arc::<str>::from("b")], "{bad}");
            let is_same = Arc::ptr_eq(&second.routes[2], &first.routes[0]);
            assert!(is_same, "an unchanged route is taken over");
        }
    }

    #[test]
    fn in_a_document_that_is_taken_whole_no_version_is_kept() {
        let first = compiled(&[("a", "one")], &[], false);
        let second = compiled(&[("a", "broken"), ("b", "one")], &first.routes, false);
        assert_eq!(served(&second), ["b=one"]);
        assert_eq!(second.faults.len(), 1);
    }
}
