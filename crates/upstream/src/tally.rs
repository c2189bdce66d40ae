//! How the requests to one endpoint went since the last look.
//!
//! Requests only add to it, each by one or two relaxed atomics of the endpoint. The supervisor takes it once in an interval.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use pailou_config::EjectionSettings;

/// Times below this count as this: 2^6 µs.
const SHORTEST: u32 = 6;
/// Times from this on count as this: 2^26 µs, 67 s.
const LONGEST: u32 = 26;
/// Each doubling of the time has so many classes, so that a median is right within an eighth.
const CLASSES: u32 = 4;

/// The counts since the last look. Nobody keeps one unless outliers are looked for.
#[derive(Debug)]
pub(crate) struct Tally {
    well: AtomicU32,
    ill: AtomicU32,
    /// Answers by how long they took, if that is judged.
    times: Option<Box<[AtomicU32]>>,
}

/// What a tally had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    /// Requests that went well.
    pub(crate) well: u32,
    /// Requests that did not, by the endpoint's fault.
    pub(crate) ill: u32,
    /// The median time to an answer; `None` without an answer, or where times are not judged.
    pub(crate) median: Option<Duration>,
}

impl Tally {
    /// What is needed for these settings.
    pub(crate) fn new(settings: &EjectionSettings) -> Option<Box<Tally>> {
        let has_times = settings.latency.is_some();
        let classes = (LONGEST - SHORTEST) * CLASSES + 1;
        (has_times || settings.success_rate.is_some()).then(|| {
            Box::new(Tally {
                well: AtomicU32::new(0),
                ill: AtomicU32::new(0),
                times: has_times.then(|| (0..classes).map(|_| AtomicU32::new(0)).collect()),
            })
        })
    }

    /// Counts a request, and how long its answer took, if there was one.
    pub(crate) fn count(&self, went_well: bool, latency: Option<Duration>) {
        let count = match went_well {
            true => &self.well,
            false => &self.ill,
        };
        count.fetch_add(1, Relaxed);
        if let (Some(times), Some(latency)) = (&self.times, latency) {
            times[class(latency)].fetch_add(1, Relaxed);
        }
    }

    /// Takes all that was counted.
    pub(crate) fn take(&self) -> Counted {
        Counted {
            well: self.well.swap(0, Relaxed),
            ill: self.ill.swap(0, Relaxed),
            median: self.times.as_deref().and_then(take_median),
        }
    }
}

impl Counted {
    pub(crate) fn requests(self) -> u32 {
        self.well.saturating_add(self.ill)
    }

    /// The share of requests that went well, in percent.
    pub(crate) fn success_percent(self) -> f64 {
        f64::from(self.well) * 100.0 / f64::from(self.requests().max(1))
    }
}

fn class(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let micros = micros.clamp(1 << SHORTEST, 1 << LONGEST);
    let doubling = micros.ilog2();
    // The two bits below the highest.
    let part = (micros >> (doubling - 2)) as u32 % CLASSES;
    ((doubling - SHORTEST) * CLASSES + part) as usize
}

/// The middle of a class.
fn time_of(class: usize) -> Duration {
    let (doubling, part) = (class as u32 / CLASSES, class as u32 % CLASSES);
    let base = 1_u64 << (doubling + SHORTEST);
    Duration::from_micros(base + base * u64::from(2 * part + 1) / 8)
}

fn take_median(times: &[AtomicU32]) -> Option<Duration> {
    let counts: Vec<u64> = times.iter().map(|it| it.swap(0, Relaxed).into()).collect();
    let total: u64 = counts.iter().sum();
    let mut below = 0;
    let is_middle = |count: &u64| {
        below += count;
        below * 2 >= total
    };
    let class = counts.iter().position(is_middle)?;
    (total > 0).then(|| time_of(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_right_within_an_eighth() {
        let settings = EjectionSettings {
            latency: Some(3.0),
            ..EjectionSettings::default()
        };
        let tally = Tally::new(&settings).expect("times are judged");
        assert_eq!(tally.take(), Counted::default());
        for micros in [64, 100, 127, 128, 999, 5_000, 123_456, 60_000_000] {
            let time = Duration::from_micros(micros);
            (0..3).for_each(|_| tally.count(true, Some(time)));
            // One slow answer and one without a time change nothing.
            tally.count(true, Some(Duration::from_secs(50)));
            tally.count(false, None);
            let counted = tally.take();
            let ratio = counted.median.expect("answers").as_secs_f64() / time.as_secs_f64();
            assert!((0.875..=1.125).contains(&ratio), "{micros}: {ratio}");
            assert_eq!((counted.well, counted.ill), (4, 1));
            assert_eq!(counted.success_percent(), 80.0);
        }
        tally.count(true, Some(Duration::MAX));
        tally.count(true, Some(Duration::ZERO));
        assert!(tally.take().median < Some(Duration::from_micros(80)));
        assert_eq!(tally.take(), Counted::default(), "all is taken");
    }

    #[test]
    fn nobody_keeps_a_tally_that_nobody_reads() {
        assert!(Tally::new(&EjectionSettings::default()).is_none());
        let settings = EjectionSettings {
            success_rate: Some(1.9),
            ..EjectionSettings::default()
        };
        let tally = Tally::new(&settings).expect("rates are judged");
        tally.count(true, Some(Duration::from_secs(1)));
        assert_eq!(tally.take().median, None);
    }
}
