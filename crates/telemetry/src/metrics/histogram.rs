//! A histogram with fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds, from a local cache hit to the slowest report: each about twice the one before, in microseconds.
const BOUNDS_MICROSECONDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Durations by bucket; recording is two relaxed additions.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One more than the bounds: the last bucket has no end.
    buckets: [AtomicU64; BOUNDS_MICROSECONDS.len() + 1],
    /// Enough for 584 years of summed durations.
    nanoseconds: AtomicU64,
}

/// What a histogram held when it was read.
pub(crate) struct Reading {
    pub(crate) sum_seconds: f64,
    pub(crate) count: u64,
    /// Upper bound in seconds, and how many fell into this bucket alone.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(crate) fn observe(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROSECONDS.partition_point(|bound| *bound < microseconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        let bounds = BOUNDS_MICROSECONDS
            .iter()
            .map(|bound| *bound as f64 / 1e6)
            .chain([f64::INFINITY]);
        let counts = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        Reading {
            sum_seconds: self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_pass() {
        let histogram = Histogram::default();
        for microseconds in [0, 500, 501, 1_000, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let reading = histogram.read();
        assert_eq!(reading.count, 6);
        assert!((reading.sum_seconds - 120.002002).abs() < 1e-6);
        let counts: Vec<u64> = reading.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts[..3], [2, 2, 0]);
        assert_eq!(counts[15..], [1, 1]);
    }
}
