//! When the gateway may take requests.
//!
//! Ready once there is a table and the first states of everything it needs are known; a service that is
//! known to be empty counts as known. Ten seconds after the start a table is enough, whoever is still
//! silent, since a gateway that serves half of its routes is better than none. Once ready it stays so:
//! what is lost later does not take away what is being served. What the snapshot says counts as known.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::publish::Published;
use crate::view::{DocumentState, DocumentView, Readiness};

/// How long after the start the gateway waits for first states.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks again while it is not ready: the reason changes with the connection.
const LOOK: Duration = Duration::from_millis(250);

/// Follows what is published until the gateway is ready, and then waits for nothing. `trouble` says why a
/// source or Nacos is out of reach, if one is. Returns only when it cannot go on, saying why.
pub(crate) async fn follow(
    mut published: watch::Receiver<Published>,
    readiness: watch::Sender<Readiness>,
    started: Instant,
    trouble: impl Fn() -> Option<String>,
) -> String {
    loop {
        let current = published.borrow_and_update().clone();
        let new = assess(&current, started.elapsed(), &trouble);
        let ready = new.ready;
        readiness.send_if_modified(|readiness| {
            let changed = *readiness != new;
            *readiness = new;
            changed
        });
        if ready {
            break;
        }
        let services_known = async {
            for service in current.services.iter() {
                service.known().await;
            }
        };
        let is_service_unknown = current.services.iter().any(|service| !service.is_known());
        tokio::select! {
            changed = published.changed() => if changed.is_err() {
                return "the publisher is gone".to_owned();
            },
            () = services_known, if is_service_unknown => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    std::future::pending().await
}

/// Whether the gateway is ready `elapsed` after the start, and why not.
fn assess(
    published: &Published,
    elapsed: Duration,
    trouble: &impl Fn() -> Option<String>,
) -> Readiness {
    let has_table = published.table.revision > 0;
    let missing = missing(published);
    let ready = has_table && (missing.is_none() || elapsed >= PATIENCE);
    let mut reason = match (has_table, missing) {
        (true, None) => {
            return Readiness {
                ready,
                reason: String::new(),
            };
        }
        (true, Some(missing)) => missing,
        (false, Some(missing)) => format!("no route table: {missing}"),
        (false, None) => "no route table".to_owned(),
    };
    if let Some(trouble) = trouble() {
        reason = format!("{reason}; {trouble}");
    }
    Readiness { ready, reason }
}

/// The first thing that the table lacks.
fn missing(published: &Published) -> Option<String> {
    let is_good = |state| matches!(state, DocumentState::Applied | DocumentState::Partial);
    let waits = |document: &DocumentView| {
        matches!(document.state, DocumentState::Waiting) && !document.from_snapshot
    };
    let has_table = published.table.revision > 0;
    let document = published
        .documents
        .iter()
        .find(|document| waits(document) || (!has_table && !is_good(document.state)));
    if let Some(document) = document {
        let reason = document.reason.as_deref().unwrap_or_default();
        return Some(format!(
            "{} document {}: {reason}",
            document.source, document.name
        ));
    }
    let service = published
        .services
        .iter()
        .find(|service| !service.is_known())?;
    Some(format!(
        "the first state of service {} is not known yet",
        service.label()
    ))
}
