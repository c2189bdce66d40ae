//! What happens to requests on their way to an endpoint.

use std::time::Duration;

use super::{
    kind::{DecimalOrOff, Maybe, Part, Time, TimeOrOff, bytes, whole},
    schema::section,
    values::HEADER_NAME,
};
use crate::{
    fault::Position,
    node::Node,
    route::{Limit, PartSpec},
};

section! {
    /// What a route does unless it says otherwise.
    RouteDefaults in "defaults" {
        /// The time until the head of the response, over all tries; then 504.
        timeout: Duration = Duration::from_secs(60), Time(ms(1)..=hours(24));
        /// The time for one connection to an endpoint; then the next endpoint is tried.
        connect_timeout: Duration = Duration::from_secs(1), Time(ms(1)..=secs(60));
        /// The time between two reads of a response; not on upgraded connections. Raise it for streams that are silent for longer.
        read_timeout: Duration = Duration::from_secs(60), Time(ms(1)..=hours(24));
        /// How long an upgraded connection, such as a WebSocket, may be silent both ways; then it is closed.
        tunnel_idle_timeout: Duration = Duration::from_secs(600), Time(ms(1)..=hours(24));
        /// The time for a whole exchange with its bodies. It is off, since a long download may be what a client wants.
        total_timeout: Limit = Limit::Off, TimeOrOff(ms(1)..=hours(24));
        /// How many more endpoints are tried when the first one failed and another try is safe. An endpoint that refuses the
        /// connection does not count: the next one is tried at once. 0 allows a single try in any case.
        retries: u32 = 2, whole(0..=10);
        /// How an endpoint is chosen: [policies](recipes/balancing.md).
        balance: PartSpec = round_robin(), Part;
        /// How long an endpoint that begins to take requests takes to its whole share: one that joins, is registered afresh, or returns
        /// from ejection or a failed health check. It begins with a tenth.
        slow_start: Limit = Limit::Off, TimeOrOff(secs(1)..=hours(1));
    }
}

section! {
    /// Bounds on retries, so that they do not bring down services that are already failing.
    RetrySettings in "retry" {
        /// The most retries, in percent of the requests for the same service in the last 10s, and 1,000 a second. A try after a
        /// refused connection does not count, since no endpoint has seen the request.
        budget_percent: u32 = 20, whole(0..=100);
        /// This many retries a second are always allowed for each service. Otherwise a request of a quiet service could never be retried.
        min_per_second: u32 = 10, whole(0..=100_000);
        /// The most bytes of a request's body that are kept for a retry. A longer body is sent once.
        buffer_bytes: usize = 64 << 10, bytes(0..=16 << 20);
        /// A header in which answers list every try: endpoint, status or reason, and time. Use it to find a fault only: it tells
        /// clients the addresses of endpoints.
        tries_header: Option<String> = None, Maybe(HEADER_NAME);
    }
}

section! {
    /// Endpoints that refuse or reset connections are left out for a while, and those that do worse than the others of their service.
    EjectionSettings in "ejection" {
        /// For how long after the first failure. Each further failure doubles it.
        backoff: Duration = Duration::from_secs(1), Time(ms(10)..=secs(300));
        /// The longest time that an endpoint is left out.
        max_backoff: Duration = Duration::from_secs(30), Time(ms(10)..=secs(3_600));
        /// The largest share of a service's endpoints that is left out, in percent. Beyond it the network is the likely fault, and
        /// all are used again.
        max_percent: u32 = 50, whole(0..=100);
        /// So many answers of 502, 503 or 504 in a row eject an endpoint too, though it is alive; 0 for never. It returns when it answers
        /// with anything else.
        gateway_errors: u32 = 0, whole(0..=1_000);
        /// An endpoint is an outlier when the share of its requests that went well is more than so many standard deviations below the
        /// mean of the service's endpoints, and 5 percentage points. Statuses from 500 on, and no answer, did not go well; what is the
        /// client's fault does not count. 1.9 is Envoy's number. It is off, since an answer of 500 may be the fault of its request:
        /// where requests are hashed, those of one client all reach the same endpoint.
        success_rate: Option<f64> = None, DecimalOrOff(0.5..=10.0);
        /// An endpoint is an outlier too when its median time to answer is more than so many times the median of the others' and 5ms
        /// more. 3 is a good beginning. It is off, since endpoints may be of unequal strength on purpose.
        latency: Option<f64> = None, DecimalOrOff(1.5..=100.0);
        /// So often endpoints are compared.
        outlier_interval: Duration = Duration::from_secs(10), Time(ms(100)..=hours(1));
        /// So many requests in an interval make an endpoint comparable. Of fewer, chance says more than the endpoint.
        outlier_min_requests: u32 = 100, whole(1..=1_000_000);
        /// So many comparable endpoints are needed to find outliers among them.
        outlier_min_endpoints: u32 = 5, whole(3..=1_000);
        /// For how long an outlier is left out the first time: longer than one that refuses, since it takes an interval to find it again.
        /// Each further time doubles it; each interval in which it is like the others halves it.
        outlier_backoff: Duration = Duration::from_secs(30), Time(ms(10)..=secs(3_600));
        /// The longest time that an outlier is left out.
        outlier_max_backoff: Duration = Duration::from_secs(300), Time(ms(10)..=hours(24));
    }
}

fn round_robin() -> PartSpec {
    let at = Position { line: 1, column: 1 };
    PartSpec {
        name: "round_robin".to_owned(),
        args: Node::null(at),
        at,
        path: "defaults.balance".to_owned(),
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(3_600 * hours)
}
