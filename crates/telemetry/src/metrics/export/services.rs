//! The series of services.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Counter, Family, MAX_AT_ZERO, count_with, counters};
use crate::metrics::causes::Causes;
use crate::metrics::service::ServiceMetrics;
use crate::words::OTHER;

/// The label of the word, a name, its help, and where the counts are.
type ByWord = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ServiceMetrics) -> &Causes,
);

pub(super) fn export(
    out: &mut DescriptorEncoder<'_>,
    services: &[Arc<ServiceMetrics>],
) -> fmt::Result {
    let help = "Endpoints by state";
    let mut metric =
        out.encode_descriptor("pailou_service_endpoints", help, None, MetricType::Gauge)?;
    for service in services {
        for (state, value) in service.endpoints() {
            let [a, b, c, d] = service.labels().pairs();
            let labels = [a, b, c, d, ("state", state)];
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    let gauges: [Family<ServiceMetrics, u64>; 3] = [
        (
            "pailou_service_panic",
            "1 while ejected endpoints are used again, too many being ejected",
            |service| service.panic.load(Ordering::Relaxed).into(),
        ),
        (
            "pailou_service_holding",
            "1 while endpoints are held that Nacos does not list",
            |service| service.holding.load(Ordering::Relaxed).into(),
        ),
        (
            "pailou_service_stale",
            "1 while the endpoints come from a snapshot",
            |service| service.stale().into(),
        ),
    ];
    for (name, help, value) in gauges {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for service in services {
            metric
                .encode_family(&service.labels().pairs())?
                .encode_gauge(&value(service))?;
        }
    }
    let help = "The share of requests that leaves the gateway's own cluster, from 0 to 1";
    let mut metric =
        out.encode_descriptor("pailou_service_away_ratio", help, None, MetricType::Gauge)?;
    for service in services {
        metric
            .encode_family(&service.labels().pairs())?
            .encode_gauge(&service.away_ratio())?;
    }
    let families: [Counter<ServiceMetrics>; 5] = [
        (
            "pailou_service_returns",
            "Ejected endpoints that are well again",
            |service| &service.returns,
        ),
        (
            "pailou_service_held_dropped",
            "Endpoints dropped when a hold ended",
            |service| &service.held_dropped,
        ),
        (
            "pailou_service_drift",
            "Differences that an audit found",
            |service| &service.drift,
        ),
        (
            "pailou_service_first_state_late",
            "Times the first state came late",
            |service| &service.first_state_late,
        ),
        (
            "pailou_service_checks_passed",
            "Active checks that endpoints passed",
            |service| &service.checks_passed,
        ),
    ];
    counters(out, &families, services, |service| service.labels().pairs())?;
    by_word(out, services)
}

fn by_word(out: &mut DescriptorEncoder<'_>, services: &[Arc<ServiceMetrics>]) -> fmt::Result {
    let families: [ByWord; 4] = [
        (
            "cause",
            "pailou_service_ejections",
            "Endpoints ejected, by cause",
            |service| &service.ejections,
        ),
        (
            "reason",
            "pailou_service_holds",
            "Holds begun, by reason",
            |service| &service.holds,
        ),
        (
            "reason",
            "pailou_service_endpoints_refused",
            "Listed endpoints not used, by reason",
            |service| &service.refused,
        ),
        (
            "cause",
            "pailou_service_checks_failed",
            "Active checks that endpoints did not pass, by cause",
            |service| &service.checks_failed,
        ),
    ];
    let all_at_zero = services.len() <= MAX_AT_ZERO;
    for (label, name, help, counts) in families {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for service in services {
            let [a, b, c, d] = service.labels().pairs();
            for (word, value) in counts(service).counts() {
                if value > 0 || (all_at_zero && word != OTHER) {
                    count_with(&mut metric, &[a, b, c, d, (label, word)], value)?;
                }
            }
        }
    }
    Ok(())
}
