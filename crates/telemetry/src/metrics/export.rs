//! Reads every series at scrape and hands it to the text encoder.

mod breakers;
mod compression;
mod limits;
mod mirrors;
mod process;
mod routes;
mod services;
mod slots;
mod tls;
mod totals;

use std::fmt::{self, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::State;
use super::process::Process;

/// To bound a scrape: in a table of more routes than this, a route's series begin with its first request. With more services than
/// this, the series by cause begin with the first event.
pub(super) const MAX_AT_ZERO: usize = 1_000;

/// A name, its help, and where the value is.
type Family<T, V> = (&'static str, &'static str, fn(&T) -> V);
/// The same for a counter, which is an atomic.
type Counter<T> = (&'static str, &'static str, fn(&T) -> &AtomicU64);
/// Labels of one series.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// What Prometheus's registry asks at each scrape.
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
        totals::export(out, &self.state)?;
        tls::export(out, &self.state)?;
        routes::export(out, &self.state.live_routes())?;
        services::export(out, &self.state.live_services())?;
        breakers::export(out, &self.state.live_breakers())?;
        limits::export(out, &self.state)?;
        slots::export(out, &self.state.live_slots())?;
        mirrors::export(out, &self.state.live_mirrors())?;
        compression::export(out, &self.state.compression)?;
        process::export(out, &Process::read())
    }
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&value)
}

fn count(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

/// The series of counters, one for each of `all` by its labels.
fn counters<'m, T, const N: usize>(
    out: &mut DescriptorEncoder<'_>,
    families: &[Counter<T>],
    all: &'m [Arc<T>],
    labels: impl Fn(&'m T) -> Labels<'m, N>,
) -> fmt::Result {
    for (name, help, value) in families {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for one in all {
            count_with(
                &mut metric,
                &labels(one),
                value(one).load(Ordering::Relaxed),
            )?;
        }
    }
    Ok(())
}

fn count_with<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    value: u64,
) -> fmt::Result {
    count(&mut metric.encode_family(labels)?, value)
}
