//! The largest of the last minutes.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A value has the lower bits, the minute that it is of the rest.
const VALUE_BITS: u32 = 44;
const MAX_VALUE: u64 = (1 << VALUE_BITS) - 1;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The largest value of this minute and of the one before, in microseconds. Two threads that meet at the turn of a minute may lose
/// one value of the old one.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    current: AtomicU64,
    before: AtomicU64,
}

impl Peak {
    pub(crate) fn observe(&self, duration: Duration) {
        self.observe_at(duration, minute());
    }

    /// 0 where nothing was observed lately.
    pub(crate) fn microseconds(&self) -> u64 {
        self.at(minute())
    }

    fn observe_at(&self, duration: Duration, minute: u64) {
        let value = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let packed = minute << VALUE_BITS | value.min(MAX_VALUE);
        let current = self.current.load(Ordering::Relaxed);
        if current >> VALUE_BITS < minute {
            self.before.fetch_max(current, Ordering::Relaxed);
        }
        // A later minute is larger than every value of an earlier one.
        self.current.fetch_max(packed, Ordering::Relaxed);
    }

    fn at(&self, minute: u64) -> u64 {
        let of_late = |packed: u64| match packed >> VALUE_BITS {
            at if at + 1 >= minute => packed & MAX_VALUE,
            _ => 0,
        };
        let (current, before) = (&self.current, &self.before);
        of_late(current.load(Ordering::Relaxed)).max(of_late(before.load(Ordering::Relaxed)))
    }
}

/// Minutes of this process, from 1 on.
fn minute() -> u64 {
    START.elapsed().as_secs() / 60 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_lasts_for_its_minute_and_the_next() {
        let peak = Peak::default();
        assert_eq!(peak.at(1), 0);
        for (minute, milliseconds) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            peak.observe_at(Duration::from_millis(milliseconds), minute);
        }
        for (minute, expected) in [(1, 9_000), (2, 9_000), (3, 3_000), (4, 0)] {
            assert_eq!(peak.at(minute), expected, "{minute}");
        }
        peak.observe_at(Duration::MAX, 9);
        assert_eq!(peak.at(9), MAX_VALUE);
    }
}
