//! What happens to tables, documents, sessions and the process.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use crate::Metrics;
use crate::metrics::DocumentState;

/// A route table went live.
#[derive(Clone, Copy, Debug)]
pub struct TablePublished<'a> {
    /// Its revision.
    pub revision: u64,
    /// How many routes it has.
    pub routes: usize,
    /// How many routes were left out, since an earlier document has their id.
    pub duplicates: usize,
    /// How many of its routes no request reaches, since an earlier route takes all of them.
    pub shadowed: usize,
    /// The digest over all its documents.
    pub md5: &'a str,
    /// From the newest document's arrival to traffic.
    pub elapsed: Duration,
}

impl TablePublished<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        let totals = metrics.totals();
        totals.table_publishes.fetch_add(1, Ordering::Relaxed);
        totals
            .table_revision
            .store(self.revision, Ordering::Relaxed);
        totals
            .table_routes
            .store(self.routes as u64, Ordering::Relaxed);
        totals
            .table_duplicates
            .store(self.duplicates as u64, Ordering::Relaxed);
        totals
            .table_shadowed
            .store(self.shadowed as u64, Ordering::Relaxed);
        let nanoseconds = u64::try_from(self.elapsed.as_nanos()).unwrap_or(u64::MAX);
        totals
            .table_publish_nanoseconds
            .store(nanoseconds, Ordering::Relaxed);
        totals.routes_reloaded.succeeded(SystemTime::now());
        info!(
            target: "pailou",
            revision = self.revision,
            routes = self.routes,
            duplicates = self.duplicates,
            shadowed = self.shadowed,
            md5 = self.md5,
            elapsed_ms = self.elapsed.as_millis() as u64,
            "a route table was published"
        );
    }
}

/// A version of a route document is valid and part of the table.
#[derive(Clone, Copy, Debug)]
pub struct DocumentApplied<'a> {
    /// The document.
    pub document: &'a str,
    /// How many routes it has.
    pub routes: usize,
    /// How many warnings.
    pub warnings: usize,
    /// Its digest.
    pub md5: &'a str,
}

impl DocumentApplied<'_> {
    /// Logs it and marks the document as applied.
    pub fn record(&self, metrics: &Metrics) {
        metrics.set_document(self.document, DocumentState::Applied);
        info!(
            target: "pailou",
            document = self.document,
            routes = self.routes,
            warnings = self.warnings,
            md5 = self.md5,
            "a route document was applied"
        );
    }
}

/// Routes of a document cannot run; the others are served.
#[derive(Clone, Copy, Debug)]
pub struct DocumentPartlyApplied<'a> {
    /// The document.
    pub document: &'a str,
    /// How many routes of it are served, last good versions among them.
    pub routes: usize,
    /// How many faults the others have.
    pub faults: usize,
    /// How many warnings.
    pub warnings: usize,
    /// MD5 of the text.
    pub md5: &'a str,
}

impl DocumentPartlyApplied<'_> {
    /// Logs it and marks the document as partly applied.
    pub fn record(&self, metrics: &Metrics) {
        metrics.set_document(self.document, DocumentState::Partial);
        warn!(
            target: "pailou",
            document = self.document,
            routes = self.routes,
            faults = self.faults,
            warnings = self.warnings,
            md5 = self.md5,
            "a route document was applied without the routes that cannot run"
        );
    }
}

/// A version of a route document has faults; the last good version stays.
#[derive(Clone, Copy, Debug)]
pub struct DocumentRefused<'a> {
    /// The document.
    pub document: &'a str,
    /// How many faults.
    pub faults: usize,
    /// The first of them, with its position.
    pub first: &'a str,
    /// Whether a good version of it is served.
    pub served: bool,
}

impl DocumentRefused<'_> {
    /// Logs and counts it, and marks the document as refused.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .document_refusals
            .fetch_add(1, Ordering::Relaxed);
        metrics.set_document(self.document, DocumentState::Refused);
        let consequence = if self.served {
            "its last good version stays"
        } else {
            "there is no good version of it yet, so that none of its routes is served"
        };
        error!(
            target: "pailou",
            document = self.document,
            faults = self.faults,
            error = self.first,
            "a route document was refused, {consequence}"
        );
    }
}

/// A route document was deleted or is blank, which is not how to remove routes. Its last good version stays.
#[derive(Clone, Copy, Debug)]
pub struct DocumentMissing<'a> {
    /// The document.
    pub document: &'a str,
    /// `deleted` or `blank`.
    pub reason: &'static str,
    /// Whether a good version of it is served.
    pub served: bool,
    /// Where it is looked for.
    pub home: DocumentHome<'a>,
}

/// Where a route document is looked for, and how it gets there.
#[derive(Clone, Copy, Debug)]
pub struct DocumentHome<'a> {
    /// The group; empty for a file.
    pub group: &'a str,
    /// The namespace's id; empty for the public one, and for a file.
    pub namespace: &'a str,
    /// What publishes a first version.
    pub cure: &'a str,
}

impl DocumentMissing<'_> {
    /// Logs it and marks the document as missing.
    pub fn record(&self, metrics: &Metrics) {
        metrics.set_document(self.document, DocumentState::Missing);
        if !self.served {
            warn!(
                target: "pailou",
                document = self.document,
                reason = self.reason,
                group = self.home.group,
                namespace = self.home.namespace,
                cure = self.home.cure,
                "there is no route document yet, so that none of its routes is served"
            );
            return;
        }
        error!(
            target: "pailou",
            document = self.document,
            reason = self.reason,
            "a route document is missing, its last good version stays"
        );
    }
}

/// A source could not be read; it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct SourceFailed<'a> {
    /// The source.
    pub source: &'a str,
    /// What went wrong.
    pub error: &'a str,
}

impl SourceFailed<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .source_failures
            .fetch_add(1, Ordering::Relaxed);
        warn!(target: "pailou", source = self.source, error = self.error, "a source failed");
    }
}

/// A session with a Nacos is up.
#[derive(Clone, Copy, Debug)]
pub struct SessionConnected<'a> {
    /// The id of the Nacos that it is with.
    pub nacos: &'a str,
    /// The namespace it is for.
    pub namespace: &'a str,
    /// The server.
    pub server: &'a str,
    /// The transport, such as `grpc`.
    pub transport: &'static str,
}

impl SessionConnected<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .session_connects
            .fetch_add(1, Ordering::Relaxed);
        metrics.set_session(self.nacos, self.namespace, true);
        info!(
            target: "pailou",
            nacos = self.nacos,
            namespace = self.namespace,
            server = self.server,
            transport = self.transport,
            "a session was set up"
        );
    }
}

/// A session uses another transport than the session before it.
#[derive(Clone, Copy, Debug)]
pub struct TransportChanged<'a> {
    /// The id of the Nacos that it is with.
    pub nacos: &'a str,
    /// The namespace it is for.
    pub namespace: &'a str,
    /// The transport before.
    pub from: &'static str,
    /// The transport now.
    pub to: &'static str,
}

impl TransportChanged<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .transport_changes
            .fetch_add(1, Ordering::Relaxed);
        warn!(
            target: "pailou",
            nacos = self.nacos,
            namespace = self.namespace,
            from = self.from,
            to = self.to,
            "the transport to Nacos changed"
        );
    }
}

/// A session with a Nacos was lost. What it told stays in use, and the session is set up again.
#[derive(Clone, Copy, Debug)]
pub struct SessionLost<'a> {
    /// The id of the Nacos that it is with.
    pub nacos: &'a str,
    /// The namespace it was for.
    pub namespace: &'a str,
    /// The server.
    pub server: &'a str,
    /// Why.
    pub error: &'a str,
}

impl SessionLost<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .session_losses
            .fetch_add(1, Ordering::Relaxed);
        metrics.set_session(self.nacos, self.namespace, false);
        warn!(
            target: "pailou",
            nacos = self.nacos,
            namespace = self.namespace,
            server = self.server,
            error = self.error,
            cure = DOCTOR,
            "a session was lost"
        );
    }
}

/// What to do when there is no session.
const DOCTOR: &str = "the gateway tries again by itself; `pailou doctor` looks for the reason";

/// Attempts to set up a session failed.
#[derive(Clone, Copy, Debug)]
pub struct SessionFailed<'a> {
    /// The id of the Nacos.
    pub nacos: &'a str,
    /// The namespace it would be for.
    pub namespace: &'a str,
    /// How many since the last line.
    pub attempts: u32,
    /// Why the last one did.
    pub error: &'a str,
}

impl SessionFailed<'_> {
    /// Logs it; the gauge of sessions says it too.
    pub fn record(&self) {
        warn!(
            target: "pailou",
            nacos = self.nacos,
            namespace = self.namespace,
            attempts = self.attempts,
            error = self.error,
            cure = DOCTOR,
            "Nacos cannot be reached"
        );
    }
}

/// A login at Nacos was refused or failed; it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct LoginFailed<'a> {
    /// The id of the Nacos.
    pub nacos: &'a str,
    /// The server.
    pub server: &'a str,
    /// Why, without any secret.
    pub error: &'a str,
}

impl LoginFailed<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .login_failures
            .fetch_add(1, Ordering::Relaxed);
        error!(
            target: "pailou",
            nacos = self.nacos,
            server = self.server,
            error = self.error,
            "a login failed"
        );
    }
}

/// The gateway is registered in Nacos as an instance of its own service.
#[derive(Clone, Copy, Debug)]
pub struct Registered<'a> {
    /// Its service.
    pub service: &'a str,
    /// The address it advertises.
    pub address: &'a str,
}

impl Registered<'_> {
    /// Logs it.
    pub fn record(&self, _metrics: &Metrics) {
        info!(
            target: "pailou",
            service = self.service,
            address = self.address,
            "the gateway registered itself"
        );
    }
}

/// The gateway could not register itself. It goes on serving, and tries again.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationFailed<'a> {
    /// Its service.
    pub service: &'a str,
    /// Why.
    pub error: &'a str,
}

impl RegistrationFailed<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .registration_failures
            .fetch_add(1, Ordering::Relaxed);
        warn!(
            target: "pailou",
            service = self.service,
            error = self.error,
            "the gateway could not register itself"
        );
    }
}

/// The gateway became ready for traffic, or ceased to be.
#[derive(Clone, Copy, Debug)]
pub struct ReadinessChanged<'a> {
    /// Whether it is ready now.
    pub ready: bool,
    /// Why.
    pub reason: &'a str,
}

impl ReadinessChanged<'_> {
    /// Logs it and sets the gauge.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .totals()
            .ready
            .store(u64::from(self.ready), Ordering::Relaxed);
        info!(target: "pailou", ready = self.ready, reason = self.reason, "readiness changed");
    }
}

/// The shutdown entered its next phase.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownPhase {
    /// Which: `not ready`, `deregister`, `drain`, `close`, `finish`, `done`.
    pub phase: &'static str,
}

impl ShutdownPhase {
    /// Logs it.
    pub fn record(&self, _metrics: &Metrics) {
        info!(target: "pailou", phase = self.phase, "the shutdown goes on");
    }
}

/// A task that should run as long as the process ended.
#[derive(Clone, Copy, Debug)]
pub struct TaskEnded<'a> {
    /// Which.
    pub task: &'static str,
    /// Why.
    pub error: &'a str,
}

impl TaskEnded<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics.totals().tasks_ended.fetch_add(1, Ordering::Relaxed);
        error!(target: "pailou", task = self.task, error = self.error, "a task ended unexpectedly");
    }
}
