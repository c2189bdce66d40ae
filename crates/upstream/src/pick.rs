//! One request's endpoint, and what became of it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::endpoint::{Condition, Endpoint};

/// So many requests in a row without an answer in time eject an endpoint: it accepts and hangs.
const TIMEOUTS_TO_EJECT: u32 = 5;

/// An endpoint chosen for one request; it counts as in flight until this is dropped.
///
/// Say with [`Pick::report`] what became of it. A pick that is dropped without a report says nothing.
#[derive(Debug)]
#[must_use = "a pick is in flight only as long as it is held"]
pub struct Pick {
    endpoint: Arc<Endpoint>,
    /// The term it was picked in.
    term: u32,
    /// Whether this is the one request of an endpoint on trial.
    is_test: bool,
}

/// What became of a request to an endpoint, as far as the endpoint's health goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, with whatever status: it is alive.
    Answered,
    /// It refused the connection, or the network says that there is no such host.
    Refused,
    /// The connection did not come about in time.
    ConnectTimeout,
    /// It broke a connection before its answer was complete. Not for an idle connection that it closed before the request arrived: that
    /// is its right, and says nothing.
    Reset,
    /// It took the request and did not answer in time.
    Timeout,
}

impl Outcome {
    /// The static word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Refused => "refused",
            Outcome::ConnectTimeout => "connect_timeout",
            Outcome::Reset => "reset",
            Outcome::Timeout => "timeout",
        }
    }
}

impl Pick {
    /// Takes an endpoint that is well or on trial, or, with `anyhow`, in whatever condition it is.
    pub(crate) fn take(endpoint: &Arc<Endpoint>, anyhow: bool) -> Option<Pick> {
        let standing = endpoint.standing();
        let is_test = match standing.condition {
            Condition::Well => false,
            Condition::OnTrial => {
                endpoint.shift(standing.term, Condition::OnTrial, Condition::Tested)
            }
            Condition::Tested | Condition::Out => false,
        };
        let is_free = is_test || standing.condition == Condition::Well;
        if !is_free && !anyhow {
            return None;
        }
        endpoint.begin();
        Some(Pick {
            endpoint: Arc::clone(endpoint),
            term: standing.term,
            is_test,
        })
    }

    /// Where the request goes.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Says what became of the request. Costs two loads when it was answered and all is well; ejection takes the service's lock.
    ///
    /// A pick that was made before the endpoint's latest ejection or return says nothing about it now, and is ignored.
    pub fn report(&self, outcome: Outcome) {
        let standing = self.endpoint.standing();
        let is_current = standing.term == self.term;
        match outcome {
            Outcome::Answered => {
                self.endpoint.forget_timeouts();
                if is_current && standing.condition != Condition::Well {
                    self.with_service(|service| service.answered(&self.endpoint, self.term));
                }
            }
            _ if !is_current || standing.condition == Condition::Out => {}
            Outcome::Timeout => {
                let timeouts = self.endpoint.count_timeout();
                if standing.condition != Condition::Well || timeouts >= TIMEOUTS_TO_EJECT {
                    self.with_service(|service| service.failed(&self.endpoint, self.term, outcome));
                }
            }
            Outcome::Refused | Outcome::ConnectTimeout | Outcome::Reset => {
                self.with_service(|service| service.failed(&self.endpoint, self.term, outcome));
            }
        }
    }

    /// The service may be gone while its last requests end.
    fn with_service(&self, act: impl FnOnce(&crate::Service)) {
        if let Some(service) = self.endpoint.service().upgrade() {
            act(&service);
        }
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.endpoint.end();
        if self.is_test {
            // Without a report the trial is still open; the condition has changed already if there was one.
            self.endpoint
                .shift(self.term, Condition::Tested, Condition::OnTrial);
        }
    }
}
