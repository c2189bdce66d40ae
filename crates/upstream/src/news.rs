//! What a service tells the log and the metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_telemetry::events::{
    EjectedEndpointGone, EndpointEjected, EndpointRefused, EndpointReturned, EndpointStillFailing,
    PanicBegan, PanicEnded,
};
use pailou_telemetry::{EndpointCounts, Metrics, ServiceMetrics};

/// One service's voice.
#[derive(Debug)]
pub(crate) struct News {
    label: String,
    metrics: Metrics,
    of_service: Arc<ServiceMetrics>,
}

impl News {
    pub(crate) fn of(label: String, metrics: &Metrics) -> News {
        News {
            of_service: metrics.service(&label),
            metrics: metrics.clone(),
            label,
        }
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn stale(&self, stale: bool) {
        self.of_service.set_stale(stale);
    }

    pub(crate) fn counts(&self, counts: EndpointCounts) {
        self.of_service.set_endpoints(counts);
    }

    pub(crate) fn ejected(
        &self,
        address: SocketAddr,
        cause: &'static str,
        backoff: Duration,
        is_again: bool,
    ) {
        EndpointEjected {
            service: &self.label,
            address,
            cause,
            backoff,
            is_again,
        }
        .record(&self.metrics);
    }

    pub(crate) fn still_failing(&self, address: SocketAddr, cause: &'static str, ejections: u32) {
        EndpointStillFailing {
            service: &self.label,
            address,
            cause,
            ejections,
        }
        .record();
    }

    pub(crate) fn returned(
        &self,
        address: SocketAddr,
        reason: &'static str,
        ejections: u32,
        lasted: Duration,
    ) {
        EndpointReturned {
            service: &self.label,
            address,
            reason,
            ejections,
            lasted,
        }
        .record(&self.metrics);
    }

    pub(crate) fn gone(&self, address: SocketAddr, ejections: u32, lasted: Duration) {
        EjectedEndpointGone {
            service: &self.label,
            address,
            ejections,
            lasted,
        }
        .record();
    }

    pub(crate) fn refused(&self, address: SocketAddr, reason: &'static str) {
        EndpointRefused {
            service: &self.label,
            address: &address.to_string(),
            reason,
        }
        .record(&self.metrics);
    }

    pub(crate) fn panic_began(&self, ejected: usize, eligible: usize) {
        PanicBegan {
            service: &self.label,
            ejected,
            eligible,
        }
        .record(&self.metrics);
    }

    pub(crate) fn panic_ended(&self) {
        PanicEnded {
            service: &self.label,
        }
        .record(&self.metrics);
    }
}
