//! What a service tells the log and the metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_telemetry::events::{
    EjectedEndpointGone, EndpointEjected, EndpointRefused, EndpointReturned, EndpointStillFailing,
    PanicBegan, PanicEnded,
};
use pailou_telemetry::{EndpointCounts, Metrics, ServiceMetrics};

use crate::id::ServiceId;

/// One service's voice.
#[derive(Debug)]
pub(crate) struct News {
    metrics: Arc<ServiceMetrics>,
}

impl News {
    pub(crate) fn of(id: &ServiceId, metrics: &Metrics) -> News {
        News {
            metrics: metrics.service(&id.labels()),
        }
    }

    pub(crate) fn metrics(&self) -> &ServiceMetrics {
        &self.metrics
    }

    pub(crate) fn stale(&self, stale: bool) {
        self.metrics.set_stale(stale);
    }

    pub(crate) fn counts(&self, counts: EndpointCounts) {
        self.metrics.set_endpoints(counts);
    }

    pub(crate) fn ejected(
        &self,
        address: SocketAddr,
        cause: &'static str,
        backoff: Duration,
        is_again: bool,
    ) {
        EndpointEjected {
            service: &self.metrics,
            address,
            cause,
            backoff,
            is_again,
        }
        .record();
    }

    pub(crate) fn still_failing(&self, address: SocketAddr, cause: &'static str, ejections: u32) {
        EndpointStillFailing {
            service: &self.metrics,
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
            service: &self.metrics,
            address,
            reason,
            ejections,
            lasted,
        }
        .record();
    }

    pub(crate) fn gone(&self, address: SocketAddr, ejections: u32, lasted: Duration) {
        EjectedEndpointGone {
            service: &self.metrics,
            address,
            ejections,
            lasted,
        }
        .record();
    }

    pub(crate) fn refused(&self, address: SocketAddr, reason: &'static str) {
        EndpointRefused {
            service: &self.metrics,
            address: &address.to_string(),
            reason,
        }
        .record();
    }

    pub(crate) fn panic_began(&self, ejected: usize, eligible: usize) {
        PanicBegan {
            service: &self.metrics,
            ejected,
            eligible,
        }
        .record();
    }

    pub(crate) fn panic_ended(&self) {
        PanicEnded {
            service: &self.metrics,
        }
        .record();
    }
}
