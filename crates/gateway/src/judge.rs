//! What becomes of a route document: read and compiled as the gateway would, and every fault.

use std::borrow::Cow;
use std::sync::Arc;

use pailou_config::{
    DocumentOutcome, Fault, LoadedSettings, Position, Report, RouteSpec, Settings, Severity,
};
use pailou_filters::{Shared, UnroutedCors};
use pailou_redis::Redis;
use pailou_routing::{Compiler, Route};
use pailou_telemetry::Metrics;
use pailou_upstream::{Services, balance};
use serde::Serialize;

use crate::access_log;

const BLANK: &str = "has no content, which keeps the table that is served and raises an alarm; write `routes: {}` \
                     for no routes";

/// The most faults that are printed or logged for one text. The rest is counted, since nobody reads more than a hundred.
const MAX_PRINTED: usize = 100;

/// Every fault of the settings that only the crates that use them can find.
pub(crate) fn settings(loaded: &LoadedSettings) -> Vec<Fault> {
    let report = Report::new(loaded.document());
    // Only the faults are needed here.
    let _ = balance::parse(&loaded.settings.defaults.balance, &report);
    let mut faults = report.into_faults();
    faults.extend(access_log::fault(loaded));
    faults
}

/// The faults as lines, the first hundred and a count of the rest.
pub(crate) fn bounded(faults: &[Fault]) -> Vec<String> {
    // A text that was read says itself how many of its faults are not listed.
    let (counts, listed): (Vec<_>, Vec<_>) = faults.iter().partition(|one| one.count().is_some());
    let more = listed.len().saturating_sub(MAX_PRINTED);
    let more = (more > 0).then(|| format!("{more} more faults are not listed"));
    let listed = listed.into_iter().take(MAX_PRINTED).map(Fault::to_string);
    let counts = counts.into_iter().map(Fault::to_string);
    listed.chain(more).chain(counts).collect()
}

/// Faults of one answer to a program: the first hundred of all, and how many more there are of each list.
pub(crate) struct Listing {
    room: usize,
}

impl Listing {
    pub(crate) fn new() -> Listing {
        Listing { room: MAX_PRINTED }
    }

    /// Those of the list that there is room for, and how many others it has.
    pub(crate) fn take<'a>(&mut self, faults: &'a [Fault]) -> (Vec<&'a Fault>, usize) {
        let counted: usize = faults.iter().filter_map(Fault::count).sum();
        let mut listed: Vec<_> = faults.iter().filter(|one| one.count().is_none()).collect();
        let more = listed.len().saturating_sub(self.room);
        listed.truncate(self.room);
        self.room -= listed.len();
        (listed, more + counted)
    }
}

/// Reads and compiles documents under some settings.
pub(crate) struct Judge {
    settings: Settings,
    /// Whether the settings are those of the gateway, so that they say which Nacos there are.
    are_known: bool,
    services: Arc<Services>,
    metrics: Metrics,
    filters: Shared,
}

/// What was found in a document.
#[derive(Default)]
pub(crate) struct Judged {
    /// The routes that compile; those of a refused document too, though nothing is served of it.
    pub(crate) routes: Vec<Arc<Route>>,
    /// In the order of the text.
    pub(crate) faults: Vec<Fault>,
    /// What it says of requests that no route takes.
    pub(crate) unrouted: Option<Arc<UnroutedCors>>,
    /// For a document whose routes stand alone: the verdict on each route.
    pub(crate) verdicts: Option<Vec<RouteVerdict>>,
}

/// What becomes of a route of a document whose routes stand alone.
#[derive(Debug)]
pub(crate) struct RouteVerdict {
    pub(crate) id: String,
    pub(crate) verdict: Verdict,
    /// How it differs, or why it is refused and what to do.
    pub(crate) faults: Vec<Fault>,
}

/// Whether a route runs as Spring Cloud Gateway would run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Accepted,
    /// It runs, in another way than there.
    Differs,
    Refused,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Differs => "differs",
            Verdict::Refused => "refused",
        }
    }
}

impl Judged {
    /// Whether the gateway would keep its last good state instead.
    pub(crate) fn is_refused(&self) -> bool {
        self.faults
            .iter()
            .any(|fault| fault.severity == Severity::Error)
    }
}

impl Judge {
    pub(crate) fn new(settings: Settings) -> Judge {
        let metrics = Metrics::new();
        let services = Services::new(settings.ejection.clone(), metrics.clone());
        let redis = Redis::new(&settings.redis, &metrics);
        Judge {
            settings,
            are_known: true,
            services,
            filters: Shared::new(metrics.clone()).counting_in(redis),
            metrics,
        }
    }

    /// The same where the gateway's settings are not at hand: a route may name a Nacos that nobody knows here.
    pub(crate) fn without_settings(self) -> Judge {
        Judge {
            are_known: false,
            ..self
        }
    }

    /// Judges a document; `name` is what its faults are told with.
    pub(crate) fn document(&self, name: &str, text: &str) -> Judged {
        let mut document = match self.settings.reading(name).parse(name, text) {
            DocumentOutcome::Blank => {
                return Judged {
                    faults: vec![fault(name, BLANK)],
                    ..Judged::default()
                };
            }
            DocumentOutcome::Refused(document) | DocumentOutcome::Routes(document) => document,
        };
        let mut routes = Vec::with_capacity(document.routes.len());
        let mut found = Vec::new();
        let mut refused = Vec::new();
        for route in std::mem::take(&mut document.refused) {
            found.extend(route.faults.iter().cloned());
            refused.push((route.id, route.faults));
        }
        let mut settings = Cow::Borrowed(&self.settings);
        if !self.are_known {
            found.extend(take_for_granted(settings.to_mut(), &document.routes));
        }
        // Routes of a refused document are compiled too, so that one run finds every fault.
        for spec in std::mem::take(&mut document.routes) {
            let id = Arc::clone(&spec.id);
            match self.compile(spec, &settings) {
                Err(faults) => {
                    found.extend(faults.iter().cloned());
                    refused.push((id, faults));
                }
                Ok(route) => {
                    found.extend(route.warnings.iter().cloned());
                    routes.push(route);
                }
            }
        }
        let unrouted = document.unrouted.take().and_then(|spec| {
            // The faults of each route are reported with the route.
            let compat = self.settings.scg.compat;
            UnroutedCors::compile(&spec, compat, &Report::new(name))
        });
        document.add(found);
        document
            .faults
            .sort_by_key(|fault| (fault.count().is_some(), fault.position));
        let is_isolated = document.is_isolated;
        let faults = document.faults;
        let verdicts = is_isolated.then(|| verdicts(&routes, refused, &faults));
        Judged {
            routes,
            unrouted: unrouted.map(Arc::new),
            faults,
            verdicts,
        }
    }

    fn compile(&self, spec: RouteSpec, settings: &Settings) -> Result<Arc<Route>, Vec<Fault>> {
        let compiler = Compiler::new(&self.services, &self.metrics, &self.filters, settings);
        Route::compile_among(Arc::new(spec), &compiler, settings)
    }
}

fn verdicts(
    routes: &[Arc<Route>],
    refused: Vec<(Arc<str>, Vec<Fault>)>,
    faults: &[Fault],
) -> Vec<RouteVerdict> {
    let served = routes.iter().map(|route| {
        let notes = faults.iter().filter(|fault| stands_in(fault, &route.spec));
        let notes: Vec<Fault> = notes.cloned().collect();
        RouteVerdict {
            id: route.id.to_string(),
            verdict: match notes.is_empty() {
                true => Verdict::Accepted,
                false => Verdict::Differs,
            },
            faults: notes,
        }
    });
    let refused = refused.into_iter().map(|(id, faults)| RouteVerdict {
        id: id.to_string(),
        verdict: Verdict::Refused,
        faults,
    });
    served.chain(refused).collect()
}

/// Whether a fault is one of this route: its path begins with the path of one of the route's parts.
pub(crate) fn stands_in(fault: &Fault, spec: &RouteSpec) -> bool {
    let mut parts = spec.predicates.iter().chain(&spec.filters);
    fault.document == spec.document && parts.any(|part| fault.path.starts_with(&*part.path))
}

/// Supposes that the settings have each Nacos that a route names, and says so once for each.
fn take_for_granted(settings: &mut Settings, routes: &[RouteSpec]) -> Vec<Fault> {
    let mut notes = Vec::new();
    for spec in routes {
        let Some(service) = spec.service() else {
            continue;
        };
        let Some(id) = &service.nacos else {
            continue;
        };
        if settings.nacos_named(id).is_none() {
            let nacos = settings.nacos.clone();
            settings.other_nacos.insert(id.clone(), nacos);
            notes.push(Fault {
                document: spec.document.clone(),
                position: Some(service.at),
                path: format!("routes[{:?}].service.nacos", &*spec.id),
                problem: format!("no settings were given, so that it was not looked whether they have the Nacos `{id}`"),
                expected: None,
                nearest: None,
                severity: Severity::Warning,
            });
        }
    }
    notes
}

/// A fault of a whole document.
pub(crate) fn fault(document: &str, problem: &str) -> Fault {
    Fault {
        document: document.into(),
        position: None::<Position>,
        path: String::new(),
        problem: problem.to_owned(),
        expected: None,
        nearest: None,
        severity: Severity::Error,
    }
}
