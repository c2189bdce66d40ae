//! The series of circuit breakers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Counter, counters};
use crate::metrics::breaker::BreakerMetrics;

pub(super) fn export(
    out: &mut DescriptorEncoder<'_>,
    breakers: &[Arc<BreakerMetrics>],
) -> fmt::Result {
    let help = "1 while a circuit breaker is open or lets only a few requests through to see";
    let mut metric = out.encode_descriptor("pailou_breaker_open", help, None, MetricType::Gauge)?;
    for breaker in breakers {
        let open = breaker.open.load(Ordering::Relaxed);
        metric
            .encode_family(&[("breaker", breaker.name())])?
            .encode_gauge(&u64::from(open))?;
    }
    let families: [Counter<BreakerMetrics>; 2] = [
        (
            "pailou_breaker_openings",
            "Times a circuit breaker opened",
            |breaker| &breaker.openings,
        ),
        (
            "pailou_breaker_refusals",
            "Requests that a circuit breaker did not let through",
            |breaker| &breaker.refusals,
        ),
    ];
    counters(out, &families, breakers, |breaker| {
        [("breaker", breaker.name())]
    })
}
