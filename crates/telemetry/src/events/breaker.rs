//! What happens to circuit breakers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use crate::BreakerMetrics;

/// So many of the last requests failed, or were slow, that no more are let through for a while.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOpened<'a> {
    /// The breaker.
    pub breaker: &'a BreakerMetrics,
    /// How many requests were counted.
    pub calls: u32,
    /// How many of them failed.
    pub failures: u32,
    /// How many of them took too long.
    pub slow_calls: u32,
    /// For how long.
    pub wait: Duration,
}

impl BreakerOpened<'_> {
    /// Logs and counts it.
    pub fn record(&self) {
        self.breaker.open.store(true, Ordering::Relaxed);
        self.breaker.openings.fetch_add(1, Ordering::Relaxed);
        warn!(
            target: "pailou",
            breaker = self.breaker.name(),
            calls = self.calls,
            failures = self.failures,
            slow_calls = self.slow_calls,
            wait_ms = self.wait.as_millis() as u64,
            "a circuit breaker opened"
        );
    }
}

/// The wait is over, and a few requests are let through as a test.
#[derive(Clone, Copy, Debug)]
pub struct BreakerTries<'a> {
    /// The breaker.
    pub breaker: &'a BreakerMetrics,
}

impl BreakerTries<'_> {
    /// Logs it.
    pub fn record(&self) {
        info!(target: "pailou", breaker = self.breaker.name(), "a circuit breaker lets a few requests through");
    }
}

/// The requests that were let through went well.
#[derive(Clone, Copy, Debug)]
pub struct BreakerClosed<'a> {
    /// The breaker.
    pub breaker: &'a BreakerMetrics,
}

impl BreakerClosed<'_> {
    /// Logs and counts it.
    pub fn record(&self) {
        self.breaker.open.store(false, Ordering::Relaxed);
        info!(target: "pailou", breaker = self.breaker.name(), "a circuit breaker closed");
    }
}
