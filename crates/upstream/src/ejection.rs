//! How long and how far ejection goes.

use std::time::Duration;

use pailou_config::EjectionSettings;

/// The back-off after `failures` earlier ones in a row, shortened by up to a fifth by `jitter` (0 to 1), so that
/// endpoints that failed together do not return together.
pub(crate) fn backoff_after(settings: &EjectionSettings, failures: u32, jitter: f64) -> Duration {
    let doubled = settings
        .backoff
        .saturating_mul(2_u32.saturating_pow(failures));
    doubled
        .min(settings.max_backoff)
        .mul_f64(1.0 - jitter / 5.0)
}

/// Whether so many ejected ones, out of so many, are too many.
pub(crate) fn is_panic(settings: &EjectionSettings, ejected: usize, eligible: usize) -> bool {
    ejected * 100 > settings.max_percent as usize * eligible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_up_to_its_maximum_and_jitters_downwards() {
        let settings = EjectionSettings::default();
        for (failures, seconds) in [(0, 1), (1, 2), (2, 4), (4, 16), (5, 30), (40, 30)] {
            let longest = backoff_after(&settings, failures, 0.0);
            assert_eq!(longest, Duration::from_secs(seconds), "{failures}");
            assert_eq!(
                backoff_after(&settings, failures, 1.0),
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
                is_panic(&settings, ejected, eligible),
                expected,
                "{ejected} of {eligible}"
            );
        }
        let never = EjectionSettings {
            max_percent: 100,
            ..settings
        };
        assert!(!is_panic(&never, 3, 3));
    }
}
