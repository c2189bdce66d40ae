//! What is measured of a rate limit.

use std::sync::atomic::{AtomicU64, Ordering};

/// The metrics of the rate limits of one name, held by the limits themselves.
#[derive(Debug)]
pub struct LimitMetrics {
    name: Box<str>,
    pub(crate) shadowed: AtomicU64,
    pub(crate) local: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) closed: AtomicU64,
}

impl LimitMetrics {
    pub(crate) fn new(name: &str) -> LimitMetrics {
        LimitMetrics {
            name: name.into(),
            shadowed: AtomicU64::new(0),
            local: AtomicU64::new(0),
            open: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request that went on although it was beyond the limit, which only counts.
    pub fn shadowed(&self) {
        self.shadowed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that this gateway has judged by itself, within its share, since Redis gave no answer.
    pub fn fell_back_to_local(&self) {
        self.local.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that was let through uncounted for that reason.
    pub fn fell_open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that was refused for that reason.
    pub fn fell_closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}
