//! The series of bounds on requests under way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Counter, counters};
use crate::metrics::slots::SlotMetrics;

pub(super) fn export(out: &mut DescriptorEncoder<'_>, slots: &[Arc<SlotMetrics>]) -> fmt::Result {
    let gauges: [Counter<SlotMetrics>; 2] = [
        (
            "pailou_concurrency_places",
            "Requests that may be under way at once",
            |slots| &slots.places,
        ),
        (
            "pailou_concurrency_requests",
            "Requests under way that have a place",
            |slots| &slots.requests,
        ),
    ];
    for (name, help, value) in gauges {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for one in slots {
            metric
                .encode_family(&[("limit", one.name())])?
                .encode_gauge(&value(one).load(Ordering::Relaxed))?;
        }
    }
    let refused: Counter<SlotMetrics> = (
        "pailou_concurrency_refused",
        "Requests that found no place, or none in time",
        |slots| &slots.refused,
    );
    counters(out, &[refused], slots, |slots| [("limit", slots.name())])
}
