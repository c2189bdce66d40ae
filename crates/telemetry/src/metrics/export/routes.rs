//! The series of routes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{Counter, Labels, count_with};
use crate::metrics::route::{RouteMetrics, STATUS_CLASSES};

pub(super) fn export(out: &mut DescriptorEncoder<'_>, routes: &[Arc<RouteMetrics>]) -> fmt::Result {
    let help = "Requests done, by status class; no route where the route is empty";
    let mut metric = out.encode_descriptor("pailou_requests", help, None, MetricType::Counter)?;
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
        "pailou_request_duration_seconds",
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
        ("pailou_request_retries", "Tries after the first", |route| {
            &route.retries
        }),
        (
            "pailou_request_body_bytes",
            "Body bytes received from clients",
            |route| &route.bytes_in,
        ),
        (
            "pailou_response_body_bytes",
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
        out.encode_descriptor("pailou_request_causes", help, None, MetricType::Counter)?;
    for route in routes {
        for (cause, value) in route.causes.counts() {
            let [r, s] = labels(route);
            count_with(&mut metric, &[r, s, ("cause", cause)], value)?;
        }
    }
    Ok(())
}

fn labels(route: &RouteMetrics) -> Labels<'_, 2> {
    [("route", route.route()), ("service", route.service())]
}
