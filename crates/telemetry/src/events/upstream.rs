//! What happens to services and endpoints.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::ServiceMetrics;

/// An endpoint failed and gets no traffic until its back-off is over.
#[derive(Clone, Copy, Debug)]
pub struct EndpointEjected<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// The endpoint.
    pub address: SocketAddr,
    /// What it did, out of a fixed list ([`EJECTIONS`](crate::words::EJECTIONS)).
    pub cause: &'static str,
    /// What was measured of an outlier, in words.
    pub evidence: Option<&'a str>,
    /// For how long.
    pub backoff: Duration,
    /// Whether the log knows already that the address is in trouble, with this service or another. It gets a line a minute then.
    pub is_known: bool,
}

impl EndpointEjected<'_> {
    /// Counts it, and logs it the first time.
    pub fn record(&self) {
        self.service.ejections.count(self.cause);
        let backoff_ms = self.backoff.as_millis() as u64;
        let service = self.service.name();
        let EndpointEjected {
            address,
            cause: error,
            evidence,
            ..
        } = *self;
        if self.is_known {
            debug!(target: "pailou", service, %address, error, evidence, backoff_ms, "an endpoint was ejected again, or by another service");
        } else {
            warn!(target: "pailou", service, %address, error, evidence, backoff_ms, "an endpoint was ejected");
        }
    }
}

/// An endpoint that was ejected goes on failing: said once a minute.
#[derive(Clone, Copy, Debug)]
pub struct EndpointStillFailing<'a> {
    /// The services that it was ejected by.
    pub services: &'a str,
    /// The endpoint.
    pub address: SocketAddr,
    /// What it did last.
    pub cause: &'static str,
    /// How often it was ejected since the last line about it.
    pub ejections: u32,
}

impl EndpointStillFailing<'_> {
    /// Logs it; its ejections are counted already.
    pub fn record(&self) {
        warn!(
            target: "pailou",
            services = self.services,
            address = %self.address,
            error = self.cause,
            ejections = self.ejections,
            "an ejected endpoint goes on failing"
        );
    }
}

/// The ejections of one address, from the first until it was well for all services.
#[derive(Clone, Copy, Debug)]
pub struct EjectionStory<'a> {
    /// The services that it was ejected by.
    pub services: &'a str,
    /// How often.
    pub ejections: u32,
    /// Since the first time.
    pub lasted: Duration,
}

/// An endpoint that a service ejected is well again.
#[derive(Clone, Copy, Debug)]
pub struct EndpointReturned<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// The endpoint.
    pub address: SocketAddr,
    /// Why: `answered`, `registered afresh`.
    pub reason: &'static str,
    /// What there was, if it is well for all services.
    pub story: Option<EjectionStory<'a>>,
}

impl EndpointReturned<'_> {
    /// Counts it, and logs it if it is well for all services.
    pub fn record(&self) {
        self.service.returns.fetch_add(1, Ordering::Relaxed);
        let EndpointReturned {
            address, reason, ..
        } = *self;
        let Some(story) = self.story else {
            let service = self.service.name();
            debug!(target: "pailou", service, %address, reason, "an endpoint returned that another service has ejected");
            return;
        };
        info!(
            target: "pailou",
            services = story.services,
            %address,
            reason,
            ejections = story.ejections,
            lasted_ms = story.lasted.as_millis() as u64,
            "an ejected endpoint returned"
        );
    }
}

/// No service that is used lists an endpoint any more that was ejected.
#[derive(Clone, Copy, Debug)]
pub struct EjectedEndpointGone<'a> {
    /// The endpoint.
    pub address: SocketAddr,
    /// What there was.
    pub story: EjectionStory<'a>,
}

impl EjectedEndpointGone<'_> {
    /// Logs it; its ejections are counted already.
    pub fn record(&self) {
        info!(
            target: "pailou",
            services = self.story.services,
            address = %self.address,
            ejections = self.story.ejections,
            lasted_ms = self.story.lasted.as_millis() as u64,
            "an ejected endpoint is no longer listed"
        );
    }
}

/// An endpoint has failed an active check so often that it gets no traffic.
#[derive(Clone, Copy, Debug)]
pub struct CheckFailing<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// The endpoint.
    pub address: SocketAddr,
    /// What it was asked.
    pub check: &'a str,
    /// What was wrong with the last answer.
    pub error: &'a str,
}

impl CheckFailing<'_> {
    /// Logs it; its answers are counted already.
    pub fn record(&self) {
        warn!(
            target: "pailou",
            service = self.service.name(),
            address = %self.address,
            check = self.check,
            error = self.error,
            "an endpoint fails its health check"
        );
    }
}

/// An endpoint passes its active checks again.
#[derive(Clone, Copy, Debug)]
pub struct CheckPassing<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// The endpoint.
    pub address: SocketAddr,
    /// What it was asked.
    pub check: &'a str,
}

impl CheckPassing<'_> {
    /// Logs it.
    pub fn record(&self) {
        info!(
            target: "pailou",
            service = self.service.name(),
            address = %self.address,
            check = self.check,
            "an endpoint passes its health check again"
        );
    }
}

/// So many endpoints of a service are ejected that the ejected ones are used again.
#[derive(Clone, Copy, Debug)]
pub struct PanicBegan<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// Live endpoints that are ejected.
    pub ejected: usize,
    /// Live endpoints that would be eligible.
    pub eligible: usize,
}

impl PanicBegan<'_> {
    /// Logs it and raises the gauge.
    pub fn record(&self) {
        self.service.panic.store(true, Ordering::Relaxed);
        warn!(
            target: "pailou",
            service = self.service.name(),
            ejected = self.ejected,
            eligible = self.eligible,
            "panic mode began: too many endpoints are ejected, they are used again"
        );
    }
}

/// Enough endpoints of a service are well again.
#[derive(Clone, Copy, Debug)]
pub struct PanicEnded<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
}

impl PanicEnded<'_> {
    /// Logs it and lowers the gauge.
    pub fn record(&self) {
        self.service.panic.store(false, Ordering::Relaxed);
        info!(target: "pailou", service = self.service.name(), "panic mode ended");
    }
}

/// An endpoint is listed but not used: its weight or its address is not acceptable.
#[derive(Clone, Copy, Debug)]
pub struct EndpointRefused<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// The endpoint, as it is listed.
    pub address: &'a str,
    /// Why, out of a fixed list ([`ENDPOINT_REFUSALS`](crate::words::ENDPOINT_REFUSALS)).
    pub reason: &'static str,
}

impl EndpointRefused<'_> {
    /// Logs and counts it.
    pub fn record(&self) {
        self.service.count_refused(self.reason);
        warn!(
            target: "pailou",
            service = self.service.name(),
            address = self.address,
            error = self.reason,
            "an endpoint is listed but refused"
        );
    }
}

/// Endpoints that Nacos no longer lists are kept for a while.
#[derive(Clone, Copy, Debug)]
pub struct HoldBegan<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// How many are kept.
    pub endpoints: usize,
    /// Why, out of a fixed list ([`HOLDS`](crate::words::HOLDS)).
    pub reason: &'static str,
}

impl HoldBegan<'_> {
    /// Logs and counts it, and raises the gauge.
    pub fn record(&self) {
        self.service.count_hold(self.reason);
        self.service.holding.store(true, Ordering::Relaxed);
        warn!(
            target: "pailou",
            service = self.service.name(),
            endpoints = self.endpoints,
            reason = self.reason,
            "a hold began: endpoints that are no longer listed are kept"
        );
    }
}

/// A hold is over. From now on only listed endpoints are used.
#[derive(Clone, Copy, Debug)]
pub struct HoldEnded<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// How many endpoints were still held, and are dropped.
    pub dropped: usize,
}

impl HoldEnded<'_> {
    /// Logs and counts it, and lowers the gauge.
    pub fn record(&self) {
        self.service
            .held_dropped
            .fetch_add(self.dropped as u64, Ordering::Relaxed);
        self.service.holding.store(false, Ordering::Relaxed);
        info!(target: "pailou", service = self.service.name(), dropped = self.dropped, "a hold ended");
    }
}

/// Nacos did not say in time which endpoints a service has. The gateway goes on without them.
#[derive(Clone, Copy, Debug)]
pub struct ServiceFirstStateLate<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
    /// How long it was waited for.
    pub waited: Duration,
}

impl ServiceFirstStateLate<'_> {
    /// Logs and counts it.
    pub fn record(&self) {
        self.service
            .first_state_late
            .fetch_add(1, Ordering::Relaxed);
        warn!(
            target: "pailou",
            service = self.service.name(),
            waited_ms = self.waited.as_millis() as u64,
            "a service's first state is late"
        );
    }
}

/// An audit found that pushes had left a service's state behind Nacos's.
#[derive(Clone, Copy, Debug)]
pub struct DriftFound<'a> {
    /// The service.
    pub service: &'a ServiceMetrics,
}

impl DriftFound<'_> {
    /// Logs and counts it.
    pub fn record(&self) {
        self.service.drift.fetch_add(1, Ordering::Relaxed);
        warn!(target: "pailou", service = self.service.name(), "an audit found drift and mended it");
    }
}
