//! What is measured of a route.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::causes::Causes;
use super::histogram::Histogram;

/// The status classes, by their first digit; `none` is a request that got no answer because its client had gone.
pub(crate) const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics of one route to one service, held by the compiled route. Recording takes no lock and looks nothing up.
#[derive(Debug)]
pub struct RouteMetrics {
    route: Box<str>,
    service: Box<str>,
    pub(crate) requests: [AtomicU64; STATUS_CLASSES.len()],
    pub(crate) durations: Histogram,
    pub(crate) retries: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) causes: Causes,
}

impl RouteMetrics {
    pub(crate) fn new(route: &str, service: &str) -> RouteMetrics {
        RouteMetrics {
            route: route.into(),
            service: service.into(),
            requests: Default::default(),
            durations: Histogram::default(),
            retries: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            causes: Causes::default(),
        }
    }

    /// The route's id, as it is labelled.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The service's name, as it is labelled.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// How many requests it has had, whatever came of them.
    pub fn requests(&self) -> u64 {
        self.requests
            .iter()
            .map(|class| class.load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn observe(&self, status: u16, duration: Duration, tries: u32) {
        let class = usize::from(status / 100);
        let class = if class < STATUS_CLASSES.len() {
            class
        } else {
            0
        };
        self.requests[class].fetch_add(1, Ordering::Relaxed);
        self.durations.observe(duration);
        if tries > 1 {
            self.retries
                .fetch_add(u64::from(tries - 1), Ordering::Relaxed);
        }
    }

    pub(crate) fn observe_bytes(&self, bytes_in: u64, bytes_out: u64) {
        if bytes_in > 0 {
            self.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        }
        if bytes_out > 0 {
            self.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        }
    }
}
