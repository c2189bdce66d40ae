//! How long and how far ejection goes.

use std::time::Duration;

/// Settings of ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionSettings {
    /// How long an endpoint is out the first time; doubled each time it fails again before it has answered. 1 s by default: a process
    /// that restarts takes about that long.
    pub backoff: Duration,
    /// The longest. 30 s by default: what a person waits for.
    pub max_backoff: Duration,
    /// While more than this share of a selection's live and otherwise eligible endpoints is ejected, in percent, they are all used
    /// again: if everything seems dead, the fault is more likely here. 50 by default.
    pub max_percent: u8,
}

impl Default for EjectionSettings {
    fn default() -> EjectionSettings {
        EjectionSettings {
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            max_percent: 50,
        }
    }
}

impl EjectionSettings {
    /// The back-off after `failures` earlier ones in a row, shortened by up to a fifth by `jitter` (0 to 1), so that endpoints that
    /// failed together do not return together.
    pub(crate) fn backoff_after(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(failures));
        doubled.min(self.max_backoff).mul_f64(1.0 - jitter / 5.0)
    }

    /// Whether so many ejected ones, out of so many, are too many.
    pub(crate) fn is_panic(&self, ejected: usize, eligible: usize) -> bool {
        ejected * 100 > usize::from(self.max_percent) * eligible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_up_to_its_maximum_and_jitters_downwards() {
        let settings = EjectionSettings::default();
        for (failures, seconds) in [(0, 1), (1, 2), (2, 4), (4, 16), (5, 30), (40, 30)] {
            let longest = settings.backoff_after(failures, 0.0);
            assert_eq!(longest, Duration::from_secs(seconds), "{failures}");
            assert_eq!(
                settings.backoff_after(failures, 1.0),
                longest.mul_f64(0.8),
                "{failures}"
            );
        }
    }

    #[test]
    fn panic_begins_beyond_the_share() {
        let settings = EjectionSettings::default();
        for (ejected, eligible, expected) in [
            (0, 0, false),
            (0, 3, false),
            (1, 2, false),
            (1, 1, true),
            (2, 3, true),
            (5, 10, false),
            (6, 10, true),
        ] {
            assert_eq!(
                settings.is_panic(ejected, eligible),
                expected,
                "{ejected} of {eligible}"
            );
        }
        let never = EjectionSettings {
            max_percent: 100,
            ..settings
        };
        assert!(!never.is_panic(3, 3));
    }
}
