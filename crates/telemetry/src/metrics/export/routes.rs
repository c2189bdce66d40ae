//! The series of routes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{MAX_AT_ZERO, count_with};
use crate::events::StreamKind;
use crate::metrics::codes::Labelled;
use crate::metrics::histogram::{Histogram, Reading, RequestHistogram};
use crate::metrics::route::{Counts, RouteMetrics};
use crate::words::{CAUSES, When};

/// A name, its help, and where the histogram is.
type Durations = (&'static str, &'static str, fn(&Counts) -> &RequestHistogram);
/// A name, its help, and the value.
type Sum = (&'static str, &'static str, fn(&RouteMetrics) -> u64);

pub(super) fn export(out: &mut DescriptorEncoder<'_>, routes: &[Arc<RouteMetrics>]) -> fmt::Result {
    requests(out, routes)?;
    durations(out, routes)?;
    streams(out, routes)?;
    let all_at_zero = routes.len() <= MAX_AT_ZERO;
    let shown = routes.iter().map(|route| &**route);
    let shown: Vec<&RouteMetrics> = shown
        .filter(|route| all_at_zero || route.has_requests())
        .collect();
    sums(out, &shown)?;
    causes(out, &shown)
}

fn requests(out: &mut DescriptorEncoder<'_>, routes: &[Arc<RouteMetrics>]) -> fmt::Result {
    let help = "Requests done, by method and status code; no route where the route is empty";
    let mut metric = out.encode_descriptor("pailou_requests", help, None, MetricType::Counter)?;
    for route in routes {
        let mut labelled = Labelled::new();
        for counts in route.counts.all() {
            counts.codes.add_to(&mut labelled);
        }
        let [r, a, b, c, d] = labels(route);
        for ((method, status), value) in labelled {
            let (m, s) = (("method", method), ("status_code", status.as_str()));
            count_with(&mut metric, &[r, a, b, c, d, m, s], value)?;
        }
    }
    Ok(())
}

fn durations(out: &mut DescriptorEncoder<'_>, routes: &[Arc<RouteMetrics>]) -> fmt::Result {
    let all: [Durations; 3] = [
        (
            "pailou_request_duration_seconds",
            "From the request's head to the end of the answer; streams and tunnels aside",
            |counts| &counts.durations,
        ),
        (
            "pailou_request_first_byte_seconds",
            "From the request's head to the head of the answer",
            |counts| &counts.first_bytes,
        ),
        (
            "pailou_upstream_duration_seconds",
            "From the first try to the end of an endpoint's answer; streams and tunnels aside",
            |counts| &counts.upstream_durations,
        ),
    ];
    for (name, help, of) in all {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for route in routes {
            let reading = Histogram::read(route.counts.all().map(of));
            histogram(&mut metric, &labels(route), &reading)?;
        }
    }
    Ok(())
}

fn streams(out: &mut DescriptorEncoder<'_>, routes: &[Arc<RouteMetrics>]) -> fmt::Result {
    let name = "pailou_stream_duration_seconds";
    let help = "From the request's head to the end of an event stream, a gRPC stream or a tunnel";
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for route in routes {
        let Some(streams) = route.streams.get() else {
            continue;
        };
        for (kind, durations) in StreamKind::ALL.iter().zip(&**streams) {
            let [r, a, b, c, d] = labels(route);
            let labels = [r, a, b, c, d, ("kind", kind.word())];
            let reading = Histogram::read([durations].into_iter());
            histogram(&mut metric, &labels, &reading)?;
        }
    }
    Ok(())
}

/// Nothing, if nothing was observed.
fn histogram(
    metric: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    reading: &Reading,
) -> fmt::Result {
    if reading.count == 0 {
        return Ok(());
    }
    metric
        .encode_family(labels)?
        .encode_histogram::<NoLabelSet>(reading.sum_seconds, reading.count, &reading.buckets, None)
}

fn sums(out: &mut DescriptorEncoder<'_>, routes: &[&RouteMetrics]) -> fmt::Result {
    let sums: [Sum; 3] = [
        ("pailou_request_retries", "Tries after the first", |route| {
            route.retries.load(Ordering::Relaxed)
        }),
        (
            "pailou_request_body_bytes",
            "Body bytes received from clients",
            |route| sum(route, |counts| &counts.bytes_in),
        ),
        (
            "pailou_response_body_bytes",
            "Body bytes sent to clients",
            |route| sum(route, |counts| &counts.bytes_out),
        ),
    ];
    for (name, help, value) in sums {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for route in routes {
            count_with(&mut metric, &labels(route), value(route))?;
        }
    }
    Ok(())
}

fn sum(route: &RouteMetrics, of: fn(&Counts) -> &AtomicU64) -> u64 {
    let all = route.counts.all();
    all.map(|counts| of(counts).load(Ordering::Relaxed)).sum()
}

fn causes(out: &mut DescriptorEncoder<'_>, routes: &[&RouteMetrics]) -> fmt::Result {
    let help = "Requests that the gateway answered or ended itself, by cause";
    let mut metric =
        out.encode_descriptor("pailou_request_causes", help, None, MetricType::Counter)?;
    for route in routes {
        let elsewhere = match route.route().is_empty() {
            true => When::Routed,
            false => When::Unrouted,
        };
        // Beside the words there is `other`.
        let whens = CAUSES.iter().map(|(_, when)| *when).chain([elsewhere]);
        for ((cause, value), when) in route.causes.counts().zip(whens) {
            if value > 0 || when != elsewhere {
                let [r, a, b, c, d] = labels(route);
                count_with(&mut metric, &[r, a, b, c, d, ("cause", cause)], value)?;
            }
        }
    }
    Ok(())
}

fn labels(route: &RouteMetrics) -> [(&'static str, &str); 5] {
    let [nacos, namespace, group, service] = route.service().pairs();
    [("route", route.route()), nacos, namespace, group, service]
}
