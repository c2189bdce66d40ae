//! What can be set.

use std::{fmt, net::SocketAddr, time::Duration};

/// How a [`Registry`](crate::Registry) is started. The default listens on two free loopback ports, without
/// authentication, with the delays of a real server.
#[derive(Clone)]
pub struct Options {
    /// Address of the HTTP half; port 0 finds a free pair of ports.
    pub http: SocketAddr,
    /// Address of the gRPC half; the HTTP address with its port + 1000 when not set, as clients expect.
    pub grpc: Option<SocketAddr>,
    /// Whether gRPC is out of reach from the start; [`Faults::block_grpc`](crate::Faults::block_grpc) changes that.
    pub block_grpc: bool,
    /// Whether there is HTTP v1; without it every path of it answers 410, as since 3.0 where it is switched off.
    pub v1: bool,
    /// Poll interval that clients over HTTP v1 are advised to keep; 10 s.
    pub poll_interval: Duration,
    /// User and password; no authentication when not set.
    pub auth: Option<(String, String)>,
    /// Life of a token; 5 h.
    pub token_ttl: Duration,
    /// How long changes of a service are gathered before its subscribers are told; 500 ms.
    pub push_delay: Duration,
    /// How long the acknowledgement of a push is awaited; 5 s.
    pub push_timeout: Duration,
    /// Pause before an unacknowledged push of a service is repeated; 1 s.
    pub push_retry: Duration,
    /// Time without a beat until an instance is unhealthy, if its metadata does not say otherwise; 15 s.
    pub unhealthy_after: Duration,
    /// Time without a beat until an instance is removed, if its metadata does not say otherwise; 30 s.
    pub remove_after: Duration,
    /// Silence on a connection until the client is asked whether it is there; 20 s.
    pub detect_after: Duration,
    /// How long the answer to that is awaited; 5 s.
    pub detect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            grpc: None,
            block_grpc: false,
            v1: true,
            poll_interval: Duration::from_secs(10),
            auth: None,
            token_ttl: Duration::from_secs(18_000),
            push_delay: Duration::from_millis(500),
            push_timeout: Duration::from_secs(5),
            push_retry: Duration::from_secs(1),
            unhealthy_after: Duration::from_secs(15),
            remove_after: Duration::from_secs(30),
            detect_after: Duration::from_secs(20),
            detect_timeout: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Options {
    /// All but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("http", &self.http)
            .field("grpc", &self.grpc)
            .field("user", &self.auth.as_ref().map(|(user, _)| user))
            .field("push_delay", &self.push_delay)
            .finish_non_exhaustive()
    }
}
