//! One request's endpoint, and what became of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::Share;
use crate::endpoint::Endpoint;
use crate::standing::{Condition, Failure};
use crate::transport::{Http, Transport};

/// An endpoint chosen for one request; it counts as in flight until this is dropped.
///
/// Say with [`Pick::report`] what became of it. A pick that is dropped without a report says nothing.
#[derive(Debug)]
#[must_use = "a pick is in flight only as long as it is held"]
pub struct Pick {
    endpoint: Arc<Endpoint>,
    transport: Transport,
    grpc_port: Option<u16>,
    host: Option<Arc<str>>,
    /// The term it was picked in.
    term: u32,
    /// Whether this is the one request of an endpoint on trial.
    is_test: bool,
}

/// What became of a request to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered: it is alive, whatever it said.
    Answered {
        /// The status of the answer.
        status: u16,
        /// From the beginning of the try to the head of the answer.
        latency: Duration,
    },
    /// What it answered cannot be understood: it is alive, and this counts like an answer with a status of 500 or more.
    Malformed,
    /// It refused the connection, or the network says that there is no such host.
    Refused,
    /// The connection was not made in time.
    ConnectTimeout,
    /// It broke a connection before its answer was complete. An idle connection that it closed before the request arrived is not meant:
    /// an endpoint may do that.
    Reset,
    /// It took the request and did not answer in time.
    Timeout,
    /// TLS with it failed: its certificate is not believed, or it does not believe ours.
    Tls,
}

impl Pick {
    /// Takes an endpoint that is well or on trial, or, with `anyhow`, in whatever condition it is; none that has `most` requests.
    pub(crate) fn take(share: &Share, anyhow: bool, most: u32) -> Option<Pick> {
        let endpoint = &share.endpoint;
        if endpoint.is_full(most) {
            return None;
        }
        let standing = endpoint.standing();
        let is_test = standing.condition == Condition::OnTrial
            && endpoint.shift(standing.term, Condition::OnTrial, Condition::Tested);
        if !is_test && !standing.is_well() && !anyhow {
            return None;
        }
        if !endpoint.begin(most) {
            if is_test {
                endpoint.shift(standing.term, Condition::Tested, Condition::OnTrial);
            }
            return None;
        }
        Some(Pick {
            endpoint: Arc::clone(endpoint),
            transport: share.transport,
            grpc_port: share.grpc_port,
            host: share.host.clone(),
            term: standing.term,
            is_test,
        })
    }

    /// The address that the endpoint is known by.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Where a request in that version of HTTP goes: the same address, and perhaps another port.
    pub fn address_for(&self, http: Http) -> SocketAddr {
        let mut address = self.endpoint.address();
        if let (Http::Http2, Some(port)) = (http, self.grpc_port) {
            address.set_port(port);
        }
        address
    }

    /// How it is spoken to, by what it says of itself.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The host name that it registered, if it did.
    pub fn host(&self) -> Option<&Arc<str>> {
        self.host.as_ref()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Reports the outcome of the request. Takes no lock: a failure marks the endpoint out by one atomic, and the supervisor does the rest.
    ///
    /// A pick from before the endpoint's latest ejection or return says nothing about the present, and changes nothing.
    pub fn report(&self, outcome: Outcome) {
        let failure = match outcome {
            Outcome::Answered { status, latency } => {
                return self.endpoint.answered(self.term, status, latency);
            }
            Outcome::Malformed => return self.endpoint.answered_nonsense(self.term),
            Outcome::Refused => Failure::Refused,
            Outcome::ConnectTimeout => Failure::ConnectTimeout,
            Outcome::Reset => Failure::Reset,
            Outcome::Timeout => Failure::Timeout,
            Outcome::Tls => Failure::Tls,
        };
        self.endpoint.failed(self.term, failure);
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.endpoint.end();
        if self.is_test {
            // Without a report the trial is still open. After a report the condition has changed already.
            self.endpoint
                .shift(self.term, Condition::Tested, Condition::OnTrial);
        }
    }
}
