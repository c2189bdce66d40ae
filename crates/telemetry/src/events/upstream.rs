//! What happens to services and endpoints.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use crate::Metrics;

/// An endpoint failed and gets no traffic until its back-off is over.
#[derive(Clone, Copy, Debug)]
pub struct EndpointEjected<'a> {
    /// The service.
    pub service: &'a str,
    /// The endpoint.
    pub address: SocketAddr,
    /// What it did.
    pub cause: &'static str,
    /// For how long.
    pub backoff: Duration,
}

impl EndpointEjected<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics.service(self.service).ejections.count(self.cause);
        warn!(
            target: "pailou",
            service = self.service,
            address = %self.address,
            error = self.cause,
            backoff_ms = self.backoff.as_millis() as u64,
            "an endpoint was ejected"
        );
    }
}

/// An ejected endpoint may get traffic again.
#[derive(Clone, Copy, Debug)]
pub struct EndpointReturned<'a> {
    /// The service.
    pub service: &'a str,
    /// The endpoint.
    pub address: SocketAddr,
    /// Why: `backoff over`, `answered`, `registered afresh`.
    pub reason: &'static str,
}

impl EndpointReturned<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .service(self.service)
            .returns
            .fetch_add(1, Ordering::Relaxed);
        info!(
            target: "pailou",
            service = self.service,
            address = %self.address,
            reason = self.reason,
            "an ejected endpoint returned"
        );
    }
}

/// So many endpoints of a service are ejected that the ejected ones are used again.
#[derive(Clone, Copy, Debug)]
pub struct PanicBegan<'a> {
    /// The service.
    pub service: &'a str,
    /// Live endpoints that are ejected.
    pub ejected: usize,
    /// Live endpoints that would be eligible.
    pub eligible: usize,
}

impl PanicBegan<'_> {
    /// Logs it and raises the gauge.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .service(self.service)
            .panic
            .store(true, Ordering::Relaxed);
        warn!(
            target: "pailou",
            service = self.service,
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
    pub service: &'a str,
}

impl PanicEnded<'_> {
    /// Logs it and lowers the gauge.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .service(self.service)
            .panic
            .store(false, Ordering::Relaxed);
        info!(target: "pailou", service = self.service, "panic mode ended");
    }
}

/// An endpoint is listed but not used: its weight or its address is not acceptable.
#[derive(Clone, Copy, Debug)]
pub struct EndpointRefused<'a> {
    /// The service.
    pub service: &'a str,
    /// The endpoint, as it is listed.
    pub address: &'a str,
    /// Why, out of a fixed list (`weight is not a number`, `address is denied`).
    pub reason: &'static str,
}

impl EndpointRefused<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics.service(self.service).refused.count(self.reason);
        warn!(
            target: "pailou",
            service = self.service,
            address = self.address,
            error = self.reason,
            "an endpoint is listed but refused"
        );
    }
}

/// Endpoints that the registry no longer lists are kept for a while.
#[derive(Clone, Copy, Debug)]
pub struct HoldBegan<'a> {
    /// The service.
    pub service: &'a str,
    /// How many are kept.
    pub endpoints: usize,
    /// Why, out of a fixed list (`reconnect`, `empty push`).
    pub reason: &'static str,
}

impl HoldBegan<'_> {
    /// Logs and counts it, and raises the gauge.
    pub fn record(&self, metrics: &Metrics) {
        let service = metrics.service(self.service);
        service.holds.count(self.reason);
        service.holding.store(true, Ordering::Relaxed);
        warn!(
            target: "pailou",
            service = self.service,
            endpoints = self.endpoints,
            reason = self.reason,
            "a hold began: endpoints that are no longer listed are kept"
        );
    }
}

/// A hold is over: what is listed now is all there is.
#[derive(Clone, Copy, Debug)]
pub struct HoldEnded<'a> {
    /// The service.
    pub service: &'a str,
    /// How many endpoints were still held, and are dropped.
    pub dropped: usize,
}

impl HoldEnded<'_> {
    /// Logs and counts it, and lowers the gauge.
    pub fn record(&self, metrics: &Metrics) {
        let service = metrics.service(self.service);
        service
            .held_dropped
            .fetch_add(self.dropped as u64, Ordering::Relaxed);
        service.holding.store(false, Ordering::Relaxed);
        info!(target: "pailou", service = self.service, dropped = self.dropped, "a hold ended");
    }
}

/// The registry did not say in time which endpoints a service has; the gateway goes on without.
#[derive(Clone, Copy, Debug)]
pub struct ServiceFirstStateLate<'a> {
    /// The service.
    pub service: &'a str,
    /// How long it was waited for.
    pub waited: Duration,
}

impl ServiceFirstStateLate<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .service(self.service)
            .first_state_late
            .fetch_add(1, Ordering::Relaxed);
        warn!(
            target: "pailou",
            service = self.service,
            waited_ms = self.waited.as_millis() as u64,
            "a service's first state is late"
        );
    }
}

/// An audit found that pushes had left a service's state behind the registry's.
#[derive(Clone, Copy, Debug)]
pub struct DriftFound<'a> {
    /// The service.
    pub service: &'a str,
}

impl DriftFound<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics
            .service(self.service)
            .drift
            .fetch_add(1, Ordering::Relaxed);
        warn!(target: "pailou", service = self.service, "an audit found drift and mended it");
    }
}
