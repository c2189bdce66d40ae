//! The series of rate limits, and of the Redis that they are counted in.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Counter, count_with, counters, gauge};
use crate::metrics::State;
use crate::metrics::limit::LimitMetrics;
use crate::words::OTHER;

pub(super) fn export(out: &mut DescriptorEncoder<'_>, state: &State) -> fmt::Result {
    let totals = &state.totals;
    for (name, help, value) in [
        (
            "pailou_redis_up",
            "1 while Redis answers in time",
            &totals.redis_up,
        ),
        (
            "pailou_redis_gateways",
            "Gateways that count in Redis, as it said last",
            &totals.redis_gateways,
        ),
    ] {
        gauge(out, name, help, value.load(Ordering::Relaxed))?;
    }
    let help = "Questions of limits to Redis, by what came of them";
    let mut metric =
        out.encode_descriptor("pailou_redis_requests", help, None, MetricType::Counter)?;
    for (outcome, value) in state.redis_requests.counts() {
        if value > 0 || outcome != OTHER {
            count_with(&mut metric, &[("outcome", outcome)], value)?;
        }
    }
    let limits = state.live_limits();
    let shadowed: Counter<LimitMetrics> = (
        "pailou_rate_limit_shadowed",
        "Requests beyond a limit that only counts, which went on",
        |limit| &limit.shadowed,
    );
    counters(out, &[shadowed], &limits, |limit| [("limit", limit.name())])?;
    let help = "Requests that a limit has judged without Redis, which gave no answer, by what was done instead";
    let mut metric = out.encode_descriptor(
        "pailou_rate_limit_fallbacks",
        help,
        None,
        MetricType::Counter,
    )?;
    type Policy = (&'static str, fn(&LimitMetrics) -> &AtomicU64);
    let policies: [Policy; 3] = [
        ("local", |limit| &limit.local),
        ("open", |limit| &limit.open),
        ("closed", |limit| &limit.closed),
    ];
    for limit in limits {
        for (policy, value) in policies {
            let labels = [("limit", limit.name()), ("policy", policy)];
            count_with(&mut metric, &labels, value(&limit).load(Ordering::Relaxed))?;
        }
    }
    Ok(())
}
