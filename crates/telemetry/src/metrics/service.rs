//! What is measured of a service.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::causes::Causes;
use super::labels::ServiceLabels;
use crate::words::{CHECK_FAILURES, EJECTIONS, ENDPOINT_REFUSALS, HOLDS, label, words};

static HOLD_WORDS: [&str; HOLDS.len()] = words(HOLDS);
static REFUSAL_WORDS: [&str; ENDPOINT_REFUSALS.len()] = words(ENDPOINT_REFUSALS);

/// The metrics of one service, held by the service itself.
#[derive(Debug)]
pub struct ServiceMetrics {
    labels: ServiceLabels,
    /// As log lines name it.
    name: Box<str>,
    eligible: AtomicU64,
    ineligible: AtomicU64,
    ejected: AtomicU64,
    check_failed: AtomicU64,
    held: AtomicU64,
    stale: AtomicBool,
    pub(crate) panic: AtomicBool,
    pub(crate) ejections: Causes,
    pub(crate) returns: AtomicU64,
    pub(crate) holds: Causes,
    pub(crate) holding: AtomicBool,
    pub(crate) held_dropped: AtomicU64,
    pub(crate) drift: AtomicU64,
    pub(crate) refused: Causes,
    pub(crate) first_state_late: AtomicU64,
    away_percent: AtomicU64,
    pub(crate) checks_passed: AtomicU64,
    pub(crate) checks_failed: Causes,
}

/// How many endpoints of a service are in which state; each endpoint is counted once, by the first that applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// Out because they refused or reset a connection.
    pub ejected: usize,
    /// Out because an active check fails.
    pub check_failed: usize,
    /// Disabled, unhealthy, of weight zero, or with a weight that was refused.
    pub ineligible: usize,
    /// Used although Nacos no longer lists them, until the hold ends.
    pub held: usize,
    /// Listed and used.
    pub eligible: usize,
}

impl ServiceMetrics {
    pub(crate) fn new(labels: &ServiceLabels) -> ServiceMetrics {
        ServiceMetrics {
            labels: labels.clone(),
            name: labels.to_string().into(),
            eligible: AtomicU64::new(0),
            ineligible: AtomicU64::new(0),
            ejected: AtomicU64::new(0),
            check_failed: AtomicU64::new(0),
            held: AtomicU64::new(0),
            stale: AtomicBool::new(false),
            panic: AtomicBool::new(false),
            ejections: Causes::of(EJECTIONS),
            returns: AtomicU64::new(0),
            holds: Causes::of(&HOLD_WORDS),
            holding: AtomicBool::new(false),
            held_dropped: AtomicU64::new(0),
            drift: AtomicU64::new(0),
            refused: Causes::of(&REFUSAL_WORDS),
            first_state_late: AtomicU64::new(0),
            away_percent: AtomicU64::new(0),
            checks_passed: AtomicU64::new(0),
            checks_failed: Causes::of(CHECK_FAILURES),
        }
    }

    /// What its series are labelled with.
    pub fn labels(&self) -> &ServiceLabels {
        &self.labels
    }

    /// Its name in one word, as log lines have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says how many endpoints are in which state now.
    pub fn set_endpoints(&self, counts: EndpointCounts) {
        self.eligible
            .store(counts.eligible as u64, Ordering::Relaxed);
        self.ineligible
            .store(counts.ineligible as u64, Ordering::Relaxed);
        self.ejected.store(counts.ejected as u64, Ordering::Relaxed);
        self.check_failed
            .store(counts.check_failed as u64, Ordering::Relaxed);
        self.held.store(counts.held as u64, Ordering::Relaxed);
    }

    /// Says whether the endpoints come from a snapshot rather than from Nacos.
    pub fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::Relaxed);
    }

    /// Counts the answer of an endpoint to an active check; a failure by a word of [`CHECK_FAILURES`](crate::words::CHECK_FAILURES).
    pub fn count_check(&self, failure: Option<&'static str>) {
        match failure {
            Some(failure) => self.checks_failed.count(failure),
            None => {
                self.checks_passed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Says which share of its requests leaves the gateway's own cluster, in percent.
    pub fn set_away(&self, percent: u8) {
        self.away_percent.store(percent.into(), Ordering::Relaxed);
    }

    pub(crate) fn away_ratio(&self) -> f64 {
        self.away_percent.load(Ordering::Relaxed) as f64 / 100.0
    }

    /// Counts a hold, by how the log says its reason.
    pub(crate) fn count_hold(&self, reason: &str) {
        self.holds.count(label(HOLDS, reason));
    }

    /// Counts an endpoint that is not used, by how the log says the reason.
    pub(crate) fn count_refused(&self, reason: &str) {
        self.refused.count(label(ENDPOINT_REFUSALS, reason));
    }

    pub(crate) fn endpoints(&self) -> [(&'static str, u64); 5] {
        [
            ("eligible", self.eligible.load(Ordering::Relaxed)),
            ("ineligible", self.ineligible.load(Ordering::Relaxed)),
            ("ejected", self.ejected.load(Ordering::Relaxed)),
            ("check_failed", self.check_failed.load(Ordering::Relaxed)),
            ("held", self.held.load(Ordering::Relaxed)),
        ]
    }

    pub(crate) fn stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}
