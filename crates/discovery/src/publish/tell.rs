//! What logs and metrics say of each document after a publish.

use pailou_config::{Fault, Severity};
use pailou_telemetry::{Metrics, events};
use pailou_upstream::ServiceId;

use crate::documents::Verdict;
use crate::snapshot::DocumentKey;
use crate::view::DocumentState;

/// The most faults or warnings of one kind that are logged at once; the rest is counted.
const MAX_TOLD: usize = 100;

/// Logs the faults between documents.
pub(super) fn notes(faults: &[Fault]) {
    bounded(faults, note);
}

/// Logs and counts what became of a document's newest state.
pub(super) fn verdict(verdict: &Verdict, metrics: &Metrics) {
    let document = &*verdict.document;
    state(document, verdict, metrics);
    if verdict.restored {
        events::DocumentRestored {
            document,
            routes: verdict.routes,
            md5: &verdict.md5,
        }
        .record(metrics);
    }
}

fn state(document: &str, verdict: &Verdict, metrics: &Metrics) {
    let reason = verdict.reason.as_deref().unwrap_or_default();
    let served = !verdict.md5.is_empty();
    let refused = |faults| events::DocumentRefused {
        document,
        faults,
        first: reason,
        served,
    };
    match verdict.state {
        DocumentState::Waiting => {}
        DocumentState::Applied if verdict.changed || verdict.was_alarmed || verdict.confirmed => {
            events::DocumentApplied {
                document,
                routes: verdict.routes,
                warnings: verdict.warnings.len(),
                md5: &verdict.md5,
            }
            .record(metrics);
            bounded(&verdict.warnings, |warning| warn(document, warning));
        }
        DocumentState::Applied => {}
        DocumentState::Partial if verdict.changed || verdict.confirmed => {
            events::DocumentPartlyApplied {
                document,
                routes: verdict.routes,
                faults: verdict.faults.len(),
                warnings: verdict.warnings.len(),
                md5: &verdict.md5,
            }
            .record(metrics);
            bounded(&verdict.faults, |fault| {
                tracing::error!(target: "pailou", document, error = %fault, "a route cannot run, the others of the document are served");
            });
            bounded(&verdict.warnings, |warning| warn(document, warning));
        }
        DocumentState::Partial => {}
        DocumentState::Refused => {
            refused(verdict.faults.len()).record(metrics);
            bounded(verdict.faults.get(1..).unwrap_or_default(), |fault| {
                tracing::error!(target: "pailou", document, error = %fault, "another fault of the refused document");
            });
        }
        DocumentState::Unreadable => refused(1).record(metrics),
        DocumentState::Blank | DocumentState::Missing => {
            let reason = if verdict.state == DocumentState::Blank {
                "blank"
            } else {
                "deleted"
            };
            let (group, namespace, cure) = home(&verdict.key);
            events::DocumentMissing {
                document,
                reason,
                served,
                home: events::DocumentHome {
                    group,
                    namespace,
                    cure: &cure,
                },
            }
            .record(metrics);
        }
    }
}

/// Group and namespace of a document, and the command that publishes its first version.
fn home(key: &DocumentKey) -> (&str, &str, String) {
    match key {
        DocumentKey::File(path) => ("", "", format!("write routes to {path}")),
        DocumentKey::Config {
            nacos,
            namespace,
            group,
            data_id,
        } => {
            let mut cure =
                format!("pailou nacos config publish {data_id} ROUTES.yaml --group {group}");
            if !namespace.is_empty() {
                cure.push_str(&format!(" --namespace {namespace}"));
            }
            if nacos != ServiceId::DEFAULT_NACOS {
                cure.push_str(&format!(" --nacos {nacos}"));
            }
            (group, namespace, cure)
        }
    }
}

/// Calls `tell_of` for the first [`MAX_TOLD`] faults, and counts the rest.
fn bounded(faults: &[Fault], tell_of: impl Fn(&Fault)) {
    faults.iter().take(MAX_TOLD).for_each(tell_of);
    if faults.len() > MAX_TOLD {
        let more = faults.len() - MAX_TOLD;
        let document = &*faults[MAX_TOLD].document;
        tracing::warn!(target: "pailou", document, more, "more of these are not logged");
    }
}

fn warn(document: &str, warning: &Fault) {
    tracing::warn!(target: "pailou", document, warning = %warning, "a route document has a warning");
}

fn note(fault: &Fault) {
    let document = &*fault.document;
    if fault.severity == Severity::Error {
        tracing::error!(target: "pailou", document, error = %fault, "a route is left out, its id is taken");
    } else {
        tracing::warn!(target: "pailou", document, warning = %fault, "a route has no effect");
    }
}
