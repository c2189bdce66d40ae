//! Active checks: what endpoints are asked, and what their answers make of them.
//!
//! Whoever can speak to endpoints asks ([`Services::targets`](crate::Services::targets)) and reports ([`Target::report`]). A check lives as long as somebody holds its [`Checking`], which routes do.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use pailou_config::{CheckKind, HealthCheckSpec};
use tokio::sync::Notify;

use crate::service::Service;
use crate::set::EndpointSpec;
use crate::transport::Transport;

/// A check of a service's endpoints. Equal ones are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked, and when.
    pub spec: HealthCheckSpec,
    /// What endpoints speak, whatever they say of themselves.
    pub transport: Option<Transport>,
    /// Which way of TLS is meant, by its place in the settings.
    pub upstream_tls: usize,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// `tcp`, `http /path` or `grpc service`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.spec.kind {
            CheckKind::Tcp => f.write_str("tcp")?,
            CheckKind::Http(path) => write!(f, "http {path}")?,
            CheckKind::Grpc(service) if service.is_empty() => f.write_str("grpc")?,
            CheckKind::Grpc(service) => write!(f, "grpc {service}")?,
        }
        match self.spec.port {
            Some(port) => write!(f, " at port {port}"),
            None => Ok(()),
        }
    }
}

/// A wish that a service's endpoints be checked. The check ends when nobody holds it any more.
#[derive(Debug)]
pub struct Checking {
    check: Check,
    changed: Arc<Notify>,
}

impl Checking {
    pub(crate) fn new(check: Check, changed: &Arc<Notify>) -> Arc<Checking> {
        Arc::new(Checking {
            check,
            changed: Arc::clone(changed),
        })
    }

    /// What is checked.
    pub fn check(&self) -> &Check {
        &self.check
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        // What it said of endpoints holds no longer.
        self.changed.notify_one();
    }
}

/// An endpoint that is to be asked, again and again.
///
/// It keeps neither its service nor its check alive.
#[derive(Clone, Debug)]
pub struct Target {
    service: Weak<Service>,
    checking: Weak<Checking>,
    /// By which check.
    pub check: Check,
    /// The address that it is known by.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub transport: Transport,
    /// The port where it speaks HTTP/2, if that is another one.
    pub grpc_port: Option<u16>,
    /// The host name that it was registered by.
    pub host: Option<Arc<str>>,
}

/// What tells targets apart. It means something while the target is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetId {
    service: usize,
    checking: usize,
    address: SocketAddr,
}

impl Target {
    /// What tells it from other targets.
    pub fn id(&self) -> TargetId {
        TargetId {
            service: self.service.as_ptr().addr(),
            checking: self.checking.as_ptr().addr(),
            address: self.address,
        }
    }

    /// Says what came of a question. Takes the service's lock: not for a request thread.
    pub fn report(&self, answer: Result<(), CheckFailure>) {
        if let (Some(service), Some(checking)) = (self.service.upgrade(), self.checking.upgrade()) {
            service.checked(&checking, self.address, answer);
        }
    }

    pub(crate) fn new(
        service: &Arc<Service>,
        checking: &Arc<Checking>,
        listing: &EndpointSpec,
    ) -> Target {
        Target {
            service: Arc::downgrade(service),
            checking: Arc::downgrade(checking),
            check: checking.check.clone(),
            address: listing.address,
            transport: listing.transport,
            grpc_port: listing.grpc_port,
            host: listing.host.clone(),
        }
    }
}

/// Two targets that are asked in the same way.
impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        self.id() == other.id()
            && self.transport == other.transport
            && self.grpc_port == other.grpc_port
            && self.host == other.host
    }
}

/// Why an endpoint did not pass a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFailure {
    /// It refused the connection, or the network says that there is no such host.
    Refused,
    /// The connection did not come about in time.
    ConnectTimeout,
    /// It does not speak TLS as it should.
    Tls,
    /// It took the question and did not answer in time.
    Timeout,
    /// The connection ended before the answer was complete, or it is none.
    Broken,
    /// It answered with this status of HTTP.
    Status(u16),
    /// It answered with this status of gRPC, such as 5 or 12 from a server that has no such service.
    GrpcStatus(u16),
    /// It says of itself that it does not serve.
    NotServing,
}

impl CheckFailure {
    /// The static word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            CheckFailure::Refused => "refused",
            CheckFailure::ConnectTimeout => "connect_timeout",
            CheckFailure::Tls => "tls",
            CheckFailure::Timeout => "timeout",
            CheckFailure::Broken => "broken",
            CheckFailure::Status(_) => "status",
            CheckFailure::GrpcStatus(_) => "grpc_status",
            CheckFailure::NotServing => "not_serving",
        }
    }
}

/// The same for people, with the number.
impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckFailure::Status(status) | CheckFailure::GrpcStatus(status) => {
                write!(f, "{} {status}", self.word())
            }
            _ => f.write_str(self.word()),
        }
    }
}

/// What a check has found of one address.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) checking: Weak<Checking>,
    /// Whether it is out. It is in until it fails.
    pub(crate) is_failing: bool,
    /// Answers in a row that speak against how it stands.
    streak: u32,
    /// What the last answer was, if there was one.
    pub(crate) last: Option<Result<(), CheckFailure>>,
}

impl Health {
    pub(crate) fn new(checking: &Arc<Checking>) -> Health {
        Health {
            checking: Arc::downgrade(checking),
            is_failing: false,
            streak: 0,
            last: None,
        }
    }

    /// Takes an answer; whether the endpoint stands otherwise now.
    pub(crate) fn take(
        &mut self,
        spec: &HealthCheckSpec,
        answer: Result<(), CheckFailure>,
    ) -> bool {
        self.last = Some(answer);
        if answer.is_ok() != self.is_failing {
            self.streak = 0;
            return false;
        }
        self.streak += 1;
        let enough = match self.is_failing {
            true => spec.healthy_after,
            false => spec.unhealthy_after,
        };
        if self.streak < enough {
            return false;
        }
        self.streak = 0;
        self.is_failing = !self.is_failing;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_endpoint_is_out_after_so_many_failures_in_a_row_and_back_after_so_many_answers() {
        let spec = HealthCheckSpec {
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let check = Check {
            spec: spec.clone(),
            transport: None,
            upstream_tls: 0,
            proxy_protocol: false,
        };
        let mut health = Health::new(&Checking::new(check, &Arc::default()));
        let answers = "x x . x x x . x . . x x x";
        let stands = "+ + + + + - - - - + + + -";
        for (answer, stand) in answers.split(' ').zip(stands.split(' ')) {
            let answer = match answer {
                "." => Ok(()),
                _ => Err(CheckFailure::Refused),
            };
            let before = health.is_failing;
            let changed = health.take(&spec, answer);
            assert_eq!(health.is_failing, stand == "-");
            assert_eq!(changed, before != health.is_failing);
        }
    }
}
