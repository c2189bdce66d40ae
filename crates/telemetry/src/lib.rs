//! Events, metrics, the access log and log set-up.
//!
//! One job: to make what happens visible. It takes events (one type each, in [`events`]). It gives log lines, metric series in two
//! text formats and one access-log line for each request. Each event makes its log line and its metric in the same call, so that
//! neither is forgotten.
//!
//! Nothing here blocks the caller: what is measured per request are atomics reached through `Arc` handles ([`RouteMetrics`],
//! [`ServiceMetrics`]), and every line goes through a bounded queue to a writer thread; a full queue drops the line and counts it.
//!
//! It must not know any other crate of the workspace: names arrive as strings.

mod access_log;
mod escape;
pub mod events;
mod lines;
mod log;
mod metrics;
pub mod own_file;
pub mod tasks;
pub mod words;

pub use access_log::{
    AccessFields, AccessFormat, AccessLog, AccessTemplate, FIELDS as ACCESS_FIELDS, TemplateFault,
    now_rfc3339,
};
pub use log::{
    Format, LogControl, LogError, LogFiles, LogGuard, LogOptions, init_logs, look_at_access_log,
    look_at_log,
};
pub use metrics::{
    Agreement, BreakerMetrics, ConnectionOpen, EndpointCounts, LimitMetrics, Metrics,
    MirrorMetrics, RequestInFlight, RequestWaiting, RouteMetrics, ServiceLabels, ServiceMetrics,
    SlotMetrics, TextFormat,
};
