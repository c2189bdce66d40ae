//! Histograms with fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// No bound: the last bucket takes everything.
const ENDLESS: u64 = u64::MAX;

/// Of requests: from a local cache hit to the slowest report, 1 ms to 60 s, each about twice the one before, in microseconds.
const REQUEST_BOUNDS: [u64; 16] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000, ENDLESS,
];

/// Of streams: from a second to a day, in microseconds.
const STREAM_BOUNDS: [u64; 10] = [
    1_000_000,
    5_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
    ENDLESS,
];

/// Of what ends within a minute, as a rule.
pub(crate) type RequestHistogram = Histogram<{ REQUEST_BOUNDS.len() }>;
/// Of what stays open.
pub(crate) type StreamHistogram = Histogram<{ STREAM_BOUNDS.len() }>;

/// Durations by bucket; recording is two relaxed additions.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    buckets: [AtomicU64; N],
    /// Enough for 584 years of summed durations.
    nanoseconds: AtomicU64,
}

/// What histograms held when they were read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) sum_seconds: f64,
    pub(crate) count: u64,
    /// Upper bound in seconds, and how many fell into this bucket alone.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Default for RequestHistogram {
    fn default() -> RequestHistogram {
        Histogram::of(&REQUEST_BOUNDS)
    }
}

impl Default for StreamHistogram {
    fn default() -> StreamHistogram {
        Histogram::of(&STREAM_BOUNDS)
    }
}

impl<const N: usize> Histogram<N> {
    fn of(bounds: &'static [u64; N]) -> Histogram<N> {
        Histogram {
            bounds,
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            nanoseconds: AtomicU64::new(0),
        }
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(ENDLESS);
        let bucket = self.bounds.partition_point(|bound| *bound < microseconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What several of them hold together.
    pub(crate) fn read<'a>(all: impl Iterator<Item = &'a Histogram<N>>) -> Reading {
        let mut counts = [0; N];
        let mut nanoseconds = 0_u64;
        let mut bounds: &[u64] = &[];
        for histogram in all {
            bounds = histogram.bounds;
            for (count, bucket) in counts.iter_mut().zip(&histogram.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
            nanoseconds = nanoseconds.saturating_add(histogram.nanoseconds.load(Ordering::Relaxed));
        }
        let bounds = bounds.iter().map(|bound| match *bound {
            ENDLESS => f64::INFINITY,
            bound => bound as f64 / 1e6,
        });
        Reading {
            sum_seconds: nanoseconds as f64 / 1e9,
            count: counts.iter().sum(),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_pass() {
        let (one, other) = (RequestHistogram::default(), RequestHistogram::default());
        for microseconds in [0, 1_000, 1_001, 2_500, 60_000_000, 60_000_001] {
            one.observe(Duration::from_micros(microseconds));
        }
        other.observe(Duration::MAX);
        let reading = Histogram::read([&one].into_iter());
        assert_eq!(reading.count, 6);
        assert!((reading.sum_seconds - 120.004502).abs() < 1e-6);
        let reading = Histogram::read([&one, &other].into_iter());
        let counts: Vec<u64> = reading.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts[..3], [2, 2, 0]);
        assert_eq!(counts[14..], [1, 2]);
        let bounds: Vec<f64> = reading.buckets.iter().map(|(bound, _)| *bound).collect();
        assert_eq!(
            (bounds[0], bounds[14], bounds[15]),
            (0.001, 60.0, f64::INFINITY)
        );
    }

    #[test]
    fn nothing_read_is_an_empty_reading() {
        let reading = StreamHistogram::read(std::iter::empty());
        assert_eq!((reading.count, reading.buckets.len()), (0, 0));
    }
}
