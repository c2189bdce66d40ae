//! What is measured of a bound on requests under way.

use std::sync::atomic::{AtomicU64, Ordering};

/// The metrics of the places of one name, held by these.
#[derive(Debug)]
pub struct SlotMetrics {
    name: Box<str>,
    pub(crate) places: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl SlotMetrics {
    pub(crate) fn new(name: &str) -> SlotMetrics {
        SlotMetrics {
            name: name.into(),
            places: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes how many places there are.
    pub fn set_limit(&self, places: u64) {
        self.places.store(places, Ordering::Relaxed);
    }

    /// A request has a place.
    pub fn taken(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Its place is free again.
    pub fn freed(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a request that found no place.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}
