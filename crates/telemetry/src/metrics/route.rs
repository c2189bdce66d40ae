//! What is measured of a route.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::causes::Causes;
use super::codes::Codes;
use super::histogram::{RequestHistogram, StreamHistogram};
use super::labels::ServiceLabels;
use super::sharded::Sharded;
use crate::events::{RequestDone, StreamKind};
use crate::words::{CAUSES, words};

static CAUSE_WORDS: [&str; CAUSES.len()] = words(CAUSES);

/// The metrics of one route to one service, held by the compiled route. Recording takes no lock and looks nothing up.
#[derive(Debug)]
pub struct RouteMetrics {
    route: Box<str>,
    service: ServiceLabels,
    /// What Spring Cloud Gateway calls its target.
    uri: Mutex<Box<str>>,
    /// Whether requests are timed by method and status.
    is_timed: bool,
    pub(crate) counts: Sharded<Counts>,
    pub(crate) retries: AtomicU64,
    pub(crate) causes: Causes,
    /// By the kind of stream.
    pub(crate) streams: OnceLock<Box<[StreamHistogram; StreamKind::ALL.len()]>>,
}

/// What is written for each request.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) codes: Codes,
    pub(crate) durations: RequestHistogram,
    pub(crate) first_bytes: RequestHistogram,
    pub(crate) upstream_durations: RequestHistogram,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

impl RouteMetrics {
    pub(crate) fn new(route: &str, service: &ServiceLabels, is_timed: bool) -> RouteMetrics {
        RouteMetrics {
            route: route.into(),
            service: service.clone(),
            uri: Mutex::default(),
            is_timed,
            counts: Sharded::default(),
            retries: AtomicU64::new(0),
            causes: Causes::of(&CAUSE_WORDS),
            streams: OnceLock::new(),
        }
    }

    /// The route's id, as it is labelled; empty for requests that no route took.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The service that answers, as it is labelled; empty where a filter does.
    pub fn service(&self) -> &ServiceLabels {
        &self.service
    }

    /// Says where the route goes, as a URI: `lb://user-service`. Call it when the route is compiled; it takes a lock.
    pub fn set_uri(&self, uri: &str) {
        *self.uri.lock().unwrap_or_else(PoisonError::into_inner) = uri.into();
    }

    pub(crate) fn uri(&self) -> String {
        let uri = self.uri.lock().unwrap_or_else(PoisonError::into_inner);
        uri.clone().into()
    }

    /// How many requests it has had, whatever came of them.
    pub fn requests(&self) -> u64 {
        self.counts.all().map(|counts| counts.codes.sum()).sum()
    }

    pub(crate) fn has_requests(&self) -> bool {
        self.counts.all().next().is_some()
    }

    pub(crate) fn observe(&self, done: &RequestDone<'_>) {
        let counts = self.counts.own();
        let slot = counts.codes.count(done.method, done.status);
        if self.is_timed {
            slot.time(done.duration);
        }
        if let Some(first_byte) = done.first_byte {
            counts.first_bytes.observe(first_byte);
        }
        match done.stream {
            None => {
                counts.durations.observe(done.duration);
                if let Some(upstream) = done.upstream_duration {
                    counts.upstream_durations.observe(upstream);
                }
            }
            Some(kind) => {
                self.streams.get_or_init(Box::default)[kind as usize].observe(done.duration)
            }
        }
        for (count, bytes) in [
            (&counts.bytes_in, done.bytes_in),
            (&counts.bytes_out, done.bytes_out),
        ] {
            if bytes > 0 {
                count.fetch_add(bytes, Ordering::Relaxed);
            }
        }
        if done.tries > 1 {
            self.retries
                .fetch_add(u64::from(done.tries - 1), Ordering::Relaxed);
        }
        if let Some(cause) = done.cause {
            self.causes.count(cause);
        }
    }
}
