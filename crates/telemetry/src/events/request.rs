//! The end of a request.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{AccessLog, Metrics, RouteMetrics};

/// A request is done: answered, or ended for a cause. Makes one access-log line and counts at the route.
#[derive(Clone, Copy, Debug)]
pub struct RequestDone<'a> {
    /// The route that took it; `None` when no route did. It names the route and the service in the log.
    pub route: Option<&'a RouteMetrics>,
    /// The method.
    pub method: &'a str,
    /// The path as it was matched, without the query: queries carry secrets.
    pub path: &'a str,
    /// The status that was sent; 0 when the client had gone before an answer.
    pub status: u16,
    /// Why the gateway itself answered or ended the request; `None` for the upstream's own answer.
    pub cause: Option<&'static str>,
    /// The request id.
    pub request_id: &'a str,
    /// The client, by the forwarded-for rules.
    pub client: Option<IpAddr>,
    /// The endpoint of the last try.
    pub upstream: Option<SocketAddr>,
    /// How many endpoints were tried.
    pub tries: u32,
    /// From the first byte of the head to the last byte of the answer.
    pub duration: Duration,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
}

impl RequestDone<'_> {
    /// Counts the request and writes its line. Takes no lock, never blocks, and formats nothing when the access log is off.
    pub fn record(&self, metrics: &Metrics, access_log: &AccessLog) {
        let route = self.route.unwrap_or_else(|| metrics.unrouted());
        route.observe(self.status, self.duration, self.tries);
        route.observe_bytes(self.bytes_in, self.bytes_out);
        if let Some(cause) = self.cause {
            route.causes.count(cause);
        }
        access_log.write(self);
    }
}
