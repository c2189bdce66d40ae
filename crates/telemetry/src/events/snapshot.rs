//! What happens to the snapshot, and what is served from it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::Metrics;
use crate::metrics::DocumentState;

/// A snapshot was written to disk.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotWritten<'a> {
    /// The file.
    pub path: &'a str,
    /// Its size.
    pub bytes: u64,
    /// Whether the attempt before this one failed.
    pub recovered: bool,
}

impl SnapshotWritten<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        let totals = metrics.totals();
        totals.snapshot_writes.fetch_add(1, Ordering::Relaxed);
        totals.snapshot_bytes.store(self.bytes, Ordering::Relaxed);
        if self.recovered {
            info!(target: "pailou", path = self.path, bytes = self.bytes, "the snapshot can be written again");
        } else {
            debug!(target: "pailou", path = self.path, bytes = self.bytes, "the snapshot was written");
        }
    }
}

/// A snapshot could not be written; the last one, if any, stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotWriteFailed<'a> {
    /// The file.
    pub path: &'a str,
    /// Why.
    pub error: &'a str,
    /// Whether a log line is due. Every failure is counted, but not every one is logged.
    pub log: bool,
}

impl SnapshotWriteFailed<'_> {
    /// Counts it, and logs it if a line is due.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .snapshot_write_failures
            .fetch_add(1, Ordering::Relaxed);
        if self.log {
            warn!(target: "pailou", path = self.path, error = self.error, "the snapshot cannot be written");
        }
    }
}

/// The snapshot found at start cannot be used; the gateway starts without it.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotIgnored<'a> {
    /// The file.
    pub path: &'a str,
    /// Why.
    pub error: &'a str,
}

impl SnapshotIgnored<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .snapshots_ignored
            .fetch_add(1, Ordering::Relaxed);
        warn!(target: "pailou", path = self.path, error = self.error, "the snapshot was ignored");
    }
}

/// A route document is served from the snapshot, since its source gives no good version.
#[derive(Clone, Copy, Debug)]
pub struct DocumentRestored<'a> {
    /// The document.
    pub document: &'a str,
    /// How many routes it has.
    pub routes: usize,
    /// The digest of its text.
    pub md5: &'a str,
}

impl DocumentRestored<'_> {
    /// Logs it and marks the document as stale.
    pub fn record(&self, metrics: &Metrics) {
        metrics.set_document(self.document, DocumentState::Stale);
        warn!(
            target: "pailou",
            document = self.document,
            routes = self.routes,
            md5 = self.md5,
            stale = true,
            "a route document is served from the snapshot"
        );
    }
}

/// Endpoints that Nacos has not confirmed are served from the snapshot. The gauge of each service says so too.
#[derive(Clone, Copy, Debug)]
pub struct EndpointsRestored {
    /// How many services.
    pub services: usize,
    /// How long the snapshot had not changed.
    pub age: Option<Duration>,
}

impl EndpointsRestored {
    /// Logs it.
    pub fn record(&self, _metrics: &Metrics) {
        warn!(
            target: "pailou",
            services = self.services,
            age_seconds = self.age.map(|age| age.as_secs()),
            stale = true,
            "endpoints are served from the snapshot"
        );
    }
}
