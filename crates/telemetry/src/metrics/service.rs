//! What is measured of a service.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::causes::Causes;

/// The metrics of one service, held by the service itself.
#[derive(Debug)]
pub struct ServiceMetrics {
    service: Box<str>,
    eligible: AtomicU64,
    ineligible: AtomicU64,
    ejected: AtomicU64,
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
}

/// How many endpoints of a service are in which state; each endpoint is counted once, by the first that applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// Out because they refused or reset a connection.
    pub ejected: usize,
    /// Disabled, unhealthy, of weight zero, or with a weight that was refused.
    pub ineligible: usize,
    /// Used although the registry no longer lists them, until the hold ends.
    pub held: usize,
    /// Listed and used.
    pub eligible: usize,
}

impl ServiceMetrics {
    pub(crate) fn new(service: &str) -> ServiceMetrics {
        ServiceMetrics {
            service: service.into(),
            eligible: AtomicU64::new(0),
            ineligible: AtomicU64::new(0),
            ejected: AtomicU64::new(0),
            held: AtomicU64::new(0),
            stale: AtomicBool::new(false),
            panic: AtomicBool::new(false),
            ejections: Causes::default(),
            returns: AtomicU64::new(0),
            holds: Causes::default(),
            holding: AtomicBool::new(false),
            held_dropped: AtomicU64::new(0),
            drift: AtomicU64::new(0),
            refused: Causes::default(),
            first_state_late: AtomicU64::new(0),
        }
    }

    /// The service's name, as it is labelled.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Says how many endpoints are in which state now.
    pub fn set_endpoints(&self, counts: EndpointCounts) {
        self.eligible
            .store(counts.eligible as u64, Ordering::Relaxed);
        self.ineligible
            .store(counts.ineligible as u64, Ordering::Relaxed);
        self.ejected.store(counts.ejected as u64, Ordering::Relaxed);
        self.held.store(counts.held as u64, Ordering::Relaxed);
    }

    /// Says whether the endpoints come from a snapshot rather than from the registry.
    pub fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::Relaxed);
    }

    pub(crate) fn endpoints(&self) -> [(&'static str, u64); 4] {
        [
            ("eligible", self.eligible.load(Ordering::Relaxed)),
            ("ineligible", self.ineligible.load(Ordering::Relaxed)),
            ("ejected", self.ejected.load(Ordering::Relaxed)),
            ("held", self.held.load(Ordering::Relaxed)),
        ]
    }

    pub(crate) fn stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}
