//! The series of mirrors.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{MAX_AT_ZERO, count_with};
use crate::metrics::mirror::MirrorMetrics;
use crate::words::OTHER;

pub(super) fn export(
    out: &mut DescriptorEncoder<'_>,
    mirrors: &[Arc<MirrorMetrics>],
) -> fmt::Result {
    let help = "Copies of requests that are under way";
    let mut metric =
        out.encode_descriptor("pailou_mirror_in_flight", help, None, MetricType::Gauge)?;
    for mirror in mirrors {
        metric
            .encode_family(&[("mirror", mirror.name())])?
            .encode_gauge(&mirror.in_flight.load(Ordering::Relaxed))?;
    }
    let all_at_zero = mirrors.len() <= MAX_AT_ZERO;
    let help = "Copies of requests, by what became of them";
    let mut metric =
        out.encode_descriptor("pailou_mirror_copies", help, None, MetricType::Counter)?;
    for mirror in mirrors {
        for (outcome, value) in mirror.outcomes.counts() {
            if value > 0 || (all_at_zero && outcome != OTHER) {
                let labels = [("mirror", mirror.name()), ("outcome", outcome)];
                count_with(&mut metric, &labels, value)?;
            }
        }
    }
    let help =
        "Answers to copies, by the class of their status and by how it agrees with the original's";
    let mut metric =
        out.encode_descriptor("pailou_mirror_answers", help, None, MetricType::Counter)?;
    for mirror in mirrors {
        for (class, agreement, value) in mirror.answers() {
            if value > 0 || all_at_zero {
                let labels = [
                    ("mirror", mirror.name()),
                    ("class", class),
                    ("agreement", agreement),
                ];
                count_with(&mut metric, &labels, value)?;
            }
        }
    }
    Ok(())
}
