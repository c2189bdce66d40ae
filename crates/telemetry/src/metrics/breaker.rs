//! What is measured of a circuit breaker.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The metrics of one circuit breaker, held by the breaker itself.
#[derive(Debug)]
pub struct BreakerMetrics {
    name: Box<str>,
    pub(crate) open: AtomicBool,
    pub(crate) openings: AtomicU64,
    pub(crate) refusals: AtomicU64,
}

impl BreakerMetrics {
    pub(crate) fn new(name: &str) -> BreakerMetrics {
        BreakerMetrics {
            name: name.into(),
            open: AtomicBool::new(false),
            openings: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// The breaker's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request that was not let through.
    pub fn count_refusal(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }
}
