//! What becomes of a route document: read and compiled as the gateway would, and every fault.

use std::sync::Arc;

use pailou_config::{
    DocumentOutcome, Fault, LoadedSettings, Position, Report, RouteSpec, Settings, Severity,
    parse_route_document,
};
use pailou_routing::{Compiler, Route};
use pailou_telemetry::Metrics;
use pailou_upstream::{Services, balance};

const BLANK: &str = "has no content, which keeps the table that is served and raises an alarm; write `routes: {}` \
                     for no routes";

/// The most faults that are printed or logged for one text; the rest is counted. Nobody reads past the first hundred.
const MAX_PRINTED: usize = 100;

/// Every fault of what routes take from the settings.
pub(crate) fn defaults(loaded: &LoadedSettings) -> Vec<Fault> {
    let report = Report::new(loaded.document());
    // Only its faults are asked for here.
    let _ = balance::parse(&loaded.settings.defaults.balance, &report);
    report.into_faults()
}

/// The faults as lines, the first hundred and a count of the rest.
pub(crate) fn bounded(faults: &[Fault]) -> Vec<String> {
    let mut lines: Vec<_> = faults
        .iter()
        .take(MAX_PRINTED)
        .map(Fault::to_string)
        .collect();
    if faults.len() > MAX_PRINTED {
        lines.push(format!(
            "{} more faults are not listed",
            faults.len() - MAX_PRINTED
        ));
    }
    lines
}

/// Reads and compiles documents under some settings.
pub(crate) struct Judge {
    settings: Settings,
    services: Arc<Services>,
    metrics: Metrics,
}

/// What was found in a document.
#[derive(Default)]
pub(crate) struct Judged {
    /// The routes that compile; those of a refused document too, though nothing is served of it.
    pub(crate) routes: Vec<Arc<Route>>,
    /// In the order of the text.
    pub(crate) faults: Vec<Fault>,
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
        Judge {
            settings,
            services,
            metrics,
        }
    }

    /// Judges a document; `name` is what its faults are told with.
    pub(crate) fn document(&self, name: &str, text: &str) -> Judged {
        let mut document = match parse_route_document(name, text) {
            DocumentOutcome::Blank => {
                return Judged {
                    faults: vec![fault(name, BLANK)],
                    ..Judged::default()
                };
            }
            DocumentOutcome::Refused(document) | DocumentOutcome::Routes(document) => document,
        };
        let mut routes = Vec::with_capacity(document.routes.len());
        // Routes of a refused document are compiled too, so that every fault comes out in one run.
        for spec in std::mem::take(&mut document.routes) {
            match self.compile(spec) {
                Err(faults) => document.add(faults),
                Ok(route) => {
                    document.add(route.warnings.iter().cloned());
                    routes.push(route);
                }
            }
        }
        document
            .faults
            .sort_by_key(|fault| fault.position.map(|at| (at.line, at.column)));
        Judged {
            routes,
            faults: document.faults,
        }
    }

    fn compile(&self, spec: RouteSpec) -> Result<Arc<Route>, Vec<Fault>> {
        let compiler = Compiler {
            services: &self.services,
            metrics: &self.metrics,
            defaults: &self.settings.defaults,
            source: "default",
            namespace: &self.settings.nacos.namespace,
            group: &self.settings.nacos.group,
        };
        Route::compile_among(Arc::new(spec), &compiler, &self.settings)
    }
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
