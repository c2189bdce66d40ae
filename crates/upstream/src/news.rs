//! What a service tells the log and the metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use pailou_telemetry::events::{
    CheckFailing, CheckPassing, EjectionStory, EndpointEjected, EndpointRefused, EndpointReturned,
    PanicBegan, PanicEnded,
};
use pailou_telemetry::{EndpointCounts, Metrics, ServiceMetrics};

use crate::id::ServiceId;
use crate::trouble::{Told, Troubles};

/// One service's voice.
#[derive(Debug)]
pub(crate) struct News {
    metrics: Arc<ServiceMetrics>,
    /// What all services say together.
    troubles: Arc<Troubles>,
}

impl News {
    pub(crate) fn of(id: &ServiceId, metrics: &Metrics, troubles: &Arc<Troubles>) -> News {
        News {
            metrics: metrics.service(&id.labels()),
            troubles: Arc::clone(troubles),
        }
    }

    pub(crate) fn metrics(&self) -> &ServiceMetrics {
        &self.metrics
    }

    pub(crate) fn troubles(&self) -> &Arc<Troubles> {
        &self.troubles
    }

    pub(crate) fn stale(&self, stale: bool) {
        self.metrics.set_stale(stale);
    }

    /// The share of requests that leaves the gateway's own cluster, of the selection where it is largest.
    pub(crate) fn away(&self, percent: u8) {
        self.metrics.set_away(percent);
    }

    pub(crate) fn counts(&self, counts: EndpointCounts) {
        self.metrics.set_endpoints(counts);
    }

    pub(crate) fn ejected(&self, told: Told<'_>, is_known: bool) {
        EndpointEjected {
            service: &self.metrics,
            address: told.address,
            cause: told.cause,
            evidence: told.evidence,
            backoff: told.backoff,
            is_known,
        }
        .record();
    }

    pub(crate) fn returned(
        &self,
        address: SocketAddr,
        reason: &'static str,
        story: Option<EjectionStory<'_>>,
    ) {
        EndpointReturned {
            service: &self.metrics,
            address,
            reason,
            story,
        }
        .record();
    }

    pub(crate) fn checked(&self, failure: Option<&'static str>) {
        self.metrics.count_check(failure);
    }

    /// A check says otherwise than before: `failure` is why an endpoint is out now.
    pub(crate) fn check_changed(&self, address: SocketAddr, check: &str, failure: Option<&str>) {
        let service = &*self.metrics;
        match failure {
            Some(error) => CheckFailing {
                service,
                address,
                check,
                error,
            }
            .record(),
            None => CheckPassing {
                service,
                address,
                check,
            }
            .record(),
        }
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
