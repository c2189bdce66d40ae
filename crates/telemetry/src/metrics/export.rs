//! Reads every series at scrape and hands it to the text encoder.

use std::fmt::{self, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::process::Process;
use super::route::{RouteMetrics, STATUS_CLASSES};
use super::service::ServiceMetrics;
use super::{DocumentState, State};

/// A name, its help, and where the value is.
type Family<T, V> = (&'static str, &'static str, fn(&T) -> V);
/// The same for a counter, which is an atomic.
type Counter<T> = (&'static str, &'static str, fn(&T) -> &AtomicU64);
/// Counts by a static word.
type Counts = Vec<(&'static str, u64)>;
/// Labels of one series.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

#[derive(Debug)]
pub(crate) struct Export {
    state: Arc<State>,
}

impl Export {
    pub(crate) fn new(state: Arc<State>) -> Export {
        Export { state }
    }
}

impl Collector for Export {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let out = &mut encoder;
        totals(out, &self.state)?;
        routes(out, &self.state.live_routes())?;
        services(out, &self.state.live_services())?;
        process(out, &Process::read())
    }
}

fn totals(out: &mut DescriptorEncoder<'_>, state: &State) -> fmt::Result {
    let totals = &state.totals;
    let counters: [(&str, &str, &AtomicU64); 10] = [
        (
            "gateway_table_publishes",
            "Route tables published",
            &totals.table_publishes,
        ),
        (
            "gateway_document_refusals",
            "Route documents refused",
            &totals.document_refusals,
        ),
        (
            "gateway_source_failures",
            "Failures of route sources",
            &totals.source_failures,
        ),
        (
            "gateway_session_connects",
            "Sessions set up with the registry",
            &totals.session_connects,
        ),
        (
            "gateway_session_losses",
            "Sessions with the registry lost",
            &totals.session_losses,
        ),
        (
            "gateway_login_failures",
            "Logins at the registry refused or failed",
            &totals.login_failures,
        ),
        (
            "gateway_registration_failures",
            "Failed registrations of the gateway itself",
            &totals.registration_failures,
        ),
        (
            "gateway_tasks_ended",
            "Tasks that ended unexpectedly",
            &totals.tasks_ended,
        ),
        (
            "gateway_access_log_dropped",
            "Access-log lines dropped, the queue being full",
            &totals.access_log_dropped,
        ),
        (
            "gateway_log_dropped",
            "Log lines dropped, the queue being full",
            &totals.log_dropped,
        ),
    ];
    for (name, help, value) in counters {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        count(&mut metric, value.load(Ordering::Relaxed))?;
    }
    let gauges: [(&str, &str, u64); 6] = [
        (
            "gateway_table_revision",
            "Revision of the route table in use",
            totals.table_revision.load(Ordering::Relaxed),
        ),
        (
            "gateway_table_routes",
            "Routes in the table in use",
            totals.table_routes.load(Ordering::Relaxed),
        ),
        (
            "gateway_ready",
            "1 when the gateway is ready for traffic",
            totals.ready.load(Ordering::Relaxed),
        ),
        (
            "gateway_sessions",
            "Sessions with the registry that are connected",
            state.sessions_connected(),
        ),
        (
            "gateway_requests_in_flight",
            "Requests in flight",
            totals.requests_in_flight.load(Ordering::Relaxed),
        ),
        (
            "gateway_connections_open",
            "Client connections open",
            totals.connections_open.load(Ordering::Relaxed),
        ),
    ];
    for (name, help, value) in gauges {
        gauge(out, name, help, value)?;
    }
    let publish_seconds = totals.table_publish_nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
    let help = "How long the newest table took from its document to traffic";
    out.encode_descriptor(
        "gateway_table_publish_seconds",
        help,
        None,
        MetricType::Gauge,
    )?
    .encode_gauge(&publish_seconds)?;
    let mut metric = out.encode_descriptor(
        "gateway_documents",
        "Route documents by what became of their newest version",
        None,
        MetricType::Gauge,
    )?;
    for (word, wanted) in [
        ("applied", DocumentState::Applied),
        ("refused", DocumentState::Refused),
        ("missing", DocumentState::Missing),
    ] {
        let labels = [("state", word)];
        metric
            .encode_family(&labels)?
            .encode_gauge(&state.documents_that_are(wanted))?;
    }
    let help = "Client connections accepted";
    let mut metric =
        out.encode_descriptor("gateway_connections", help, None, MetricType::Counter)?;
    count(&mut metric, totals.connections.load(Ordering::Relaxed))?;
    let help = "Client connections turned away or cut, by reason";
    let mut metric = out.encode_descriptor(
        "gateway_connections_refused",
        help,
        None,
        MetricType::Counter,
    )?;
    for (reason, value) in totals.connections_refused.counts() {
        count_with(&mut metric, &[("reason", reason)], value)?;
    }
    let help = "The version that runs";
    let build = [("version", env!("CARGO_PKG_VERSION"))];
    out.encode_descriptor("gateway_build", help, None, MetricType::Info)?
        .encode_info(&build)
}

fn routes(out: &mut DescriptorEncoder<'_>, routes: &[Arc<RouteMetrics>]) -> fmt::Result {
    let help = "Requests done, by status class; no route where the route is empty";
    let mut metric = out.encode_descriptor("gateway_requests", help, None, MetricType::Counter)?;
    for route in routes {
        for (class, requests) in STATUS_CLASSES.iter().zip(&route.requests) {
            let value = requests.load(Ordering::Relaxed);
            if value > 0 {
                let [r, s] = labels(route);
                count_with(&mut metric, &[r, s, ("status_class", class)], value)?;
            }
        }
    }
    let help = "From the request's head to the end of the answer";
    let mut metric = out.encode_descriptor(
        "gateway_request_duration_seconds",
        help,
        None,
        MetricType::Histogram,
    )?;
    for route in routes {
        let reading = route.durations.read();
        if reading.count > 0 {
            metric
                .encode_family(&labels(route))?
                .encode_histogram::<NoLabelSet>(
                    reading.sum_seconds,
                    reading.count,
                    &reading.buckets,
                    None,
                )?;
        }
    }
    let counters: [Counter<RouteMetrics>; 3] = [
        (
            "gateway_request_retries",
            "Tries after the first",
            |route| &route.retries,
        ),
        (
            "gateway_request_body_bytes",
            "Body bytes received from clients",
            |route| &route.bytes_in,
        ),
        (
            "gateway_response_body_bytes",
            "Body bytes sent to clients",
            |route| &route.bytes_out,
        ),
    ];
    for (name, help, value) in counters {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for route in routes {
            let value = value(route).load(Ordering::Relaxed);
            if value > 0 {
                count_with(&mut metric, &labels(route), value)?;
            }
        }
    }
    let help = "Requests that the gateway answered or ended itself, by cause";
    let mut metric =
        out.encode_descriptor("gateway_request_causes", help, None, MetricType::Counter)?;
    for route in routes {
        for (cause, value) in route.causes.counts() {
            let [r, s] = labels(route);
            count_with(&mut metric, &[r, s, ("cause", cause)], value)?;
        }
    }
    Ok(())
}

fn services(out: &mut DescriptorEncoder<'_>, services: &[Arc<ServiceMetrics>]) -> fmt::Result {
    let help = "Endpoints by state";
    let mut metric =
        out.encode_descriptor("gateway_service_endpoints", help, None, MetricType::Gauge)?;
    for service in services {
        for (state, value) in service.endpoints() {
            let labels = [("service", service.service()), ("state", state)];
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    let gauges: [Family<ServiceMetrics, bool>; 3] = [
        (
            "gateway_service_panic",
            "1 while ejected endpoints are used again, too many being ejected",
            |service| service.panic.load(Ordering::Relaxed),
        ),
        (
            "gateway_service_holding",
            "1 while endpoints are held that the registry does not list",
            |service| service.holding.load(Ordering::Relaxed),
        ),
        (
            "gateway_service_stale",
            "1 while the endpoints come from a snapshot",
            ServiceMetrics::stale,
        ),
    ];
    for (name, help, value) in gauges {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for service in services {
            let labels = [("service", service.service())];
            metric
                .encode_family(&labels)?
                .encode_gauge(&u64::from(value(service)))?;
        }
    }
    let counters: [Counter<ServiceMetrics>; 4] = [
        (
            "gateway_service_returns",
            "Endpoints that returned from ejection",
            |service| &service.returns,
        ),
        (
            "gateway_service_held_dropped",
            "Endpoints dropped when a hold ended",
            |service| &service.held_dropped,
        ),
        (
            "gateway_service_drift",
            "Differences that an audit found",
            |service| &service.drift,
        ),
        (
            "gateway_service_first_state_late",
            "Times the first state came late",
            |service| &service.first_state_late,
        ),
    ];
    for (name, help, value) in counters {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for service in services {
            let labels = [("service", service.service())];
            count_with(&mut metric, &labels, value(service).load(Ordering::Relaxed))?;
        }
    }
    let by_cause: [(&'static str, Family<ServiceMetrics, Counts>); 3] = [
        (
            "cause",
            (
                "gateway_service_ejections",
                "Endpoints ejected, by cause",
                |service| service.ejections.counts(),
            ),
        ),
        (
            "reason",
            (
                "gateway_service_holds",
                "Holds begun, by reason",
                |service| service.holds.counts(),
            ),
        ),
        (
            "reason",
            (
                "gateway_service_endpoints_refused",
                "Listed endpoints not used, by reason",
                |service| service.refused.counts(),
            ),
        ),
    ];
    for (label, (name, help, counts)) in by_cause {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for service in services {
            for (cause, value) in counts(service) {
                count_with(
                    &mut metric,
                    &[("service", service.service()), (label, cause)],
                    value,
                )?;
            }
        }
    }
    Ok(())
}

fn process(out: &mut DescriptorEncoder<'_>, process: &Process) -> fmt::Result {
    if let Some(seconds) = process.cpu_seconds {
        let help = "CPU time used, user and system";
        out.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
    }
    if let Some(seconds) = process.start_time_seconds {
        let help = "When the process started, in seconds since 1970";
        out.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?
            .encode_gauge(&seconds)?;
    }
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory",
            process.resident_memory_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory",
            process.virtual_memory_bytes,
        ),
        (
            "process_open_fds",
            "Open file descriptors",
            process.open_fds,
        ),
        (
            "process_max_fds",
            "Most file descriptors that may be open",
            process.max_fds,
        ),
        ("process_threads", "Threads", process.threads),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            gauge(out, name, help, value)?;
        }
    }
    Ok(())
}

fn labels(route: &RouteMetrics) -> Labels<'_, 2> {
    [("route", route.route()), ("service", route.service())]
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&value)
}

fn count(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn count_with<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    value: u64,
) -> fmt::Result {
    count(&mut metric.encode_family(labels)?, value)
}
