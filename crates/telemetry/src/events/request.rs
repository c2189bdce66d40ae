//! The end of a request.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{AccessLog, Metrics, RouteMetrics};

/// A request is done: answered, or ended for a cause. Makes one access-log line and counts at the route.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestDone<'a> {
    /// The route that took it; `None` when no route did. It names the route and the service in the log.
    pub route: Option<&'a RouteMetrics>,
    /// The method; empty when no head was read.
    pub method: &'a str,
    /// How the client spoke: `http` or `https`, by the word of a trusted proxy if there is one.
    pub scheme: &'static str,
    /// The version of HTTP that the client spoke: `1.0`, `1.1`, `2`; empty when no head was read.
    pub version: &'static str,
    /// The Host header as it came, or HTTP/2's authority.
    pub host: Option<&'a [u8]>,
    /// The path as it was matched; empty when no target was read. Whatever follows a `?` is not written: queries carry secrets.
    pub path: &'a str,
    /// The status that was sent; 0 when the client had gone before an answer.
    pub status: u16,
    /// Why the gateway itself answered or ended the request, out of [`CAUSES`](crate::words::CAUSES); `None` for the upstream's
    /// own answer.
    pub cause: Option<&'static str>,
    /// What stayed open, if it was no plain request: its time is counted apart.
    pub stream: Option<StreamKind>,
    /// The request id.
    pub request_id: &'a str,
    /// The trace that the request belongs to, of a well-formed `traceparent`.
    pub trace_id: Option<&'a str>,
    /// The client, by the rules of `forwarded.trusted_proxies`.
    pub client: Option<IpAddr>,
    /// Who the request is of, as an authentication filter found: the subject of a token, a user, a consumer.
    pub user: Option<&'a str>,
    /// The User-Agent header.
    pub user_agent: Option<&'a [u8]>,
    /// The Referer header. Whatever follows a `?` or a `#` is not written.
    pub referrer: Option<&'a [u8]>,
    /// The endpoint of the last try.
    pub upstream: Option<SocketAddr>,
    /// How many endpoints were tried.
    pub tries: u32,
    /// Those of them that failed, in order.
    pub failed_tries: &'a [TryEnd],
    /// From the first byte of the head to the last byte of the answer.
    pub duration: Duration,
    /// From the first byte of the head to the head of the answer, if there was one.
    pub first_byte: Option<Duration>,
    /// From the first try to the last byte that an endpoint sent, if there was a try.
    pub upstream_duration: Option<Duration>,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryEnd {
    /// The endpoint that was asked.
    pub endpoint: SocketAddr,
    /// Why, out of [`FAILED_TRIES`](crate::words::FAILED_TRIES); `status` where it was answered.
    pub reason: &'static str,
    /// The status of its answer, where it was answered.
    pub status: Option<u16>,
    /// From the beginning of the try until its answer's head, or until it was given up.
    pub took: Duration,
}

impl std::fmt::Display for TryEnd {
    /// Such as `10.0.0.1:8080 connect_failed 0.3ms` or `10.0.0.1:8080 503 12.0ms`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.endpoint)?;
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => f.write_str(self.reason)?,
        }
        write!(f, " {:.1}ms", self.took.as_secs_f64() * 1_000.0)
    }
}

/// An exchange that stays open for as long as both sides like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A response of events, such as `text/event-stream`.
    EventStream,
    /// A gRPC call of more than one message.
    Grpc,
    /// A connection whose protocol was switched, such as a WebSocket.
    Tunnel,
}

impl StreamKind {
    pub(crate) const ALL: [StreamKind; 3] = [
        StreamKind::EventStream,
        StreamKind::Grpc,
        StreamKind::Tunnel,
    ];

    /// The static word for logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            StreamKind::EventStream => "event_stream",
            StreamKind::Grpc => "grpc",
            StreamKind::Tunnel => "tunnel",
        }
    }
}

impl RequestDone<'_> {
    /// Counts the request and writes its line. Takes no lock, never blocks, and formats nothing when the access log is off.
    pub fn record(&self, metrics: &Metrics, access_log: &AccessLog) {
        let route = self.route.unwrap_or_else(|| metrics.unrouted());
        route.observe(self);
        for failed in self.failed_tries {
            metrics.count_failed_try(failed.reason);
        }
        access_log.write(self);
    }
}
