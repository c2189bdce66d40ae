//! What becomes of a failed endpoint: how long it is out, how it returns, and how many may be out.

use std::sync::Arc;
use std::time::Duration;

use pailou_config::EjectionSettings;
use tokio::time::Instant;

use crate::member::Member;
use crate::news::News;
use crate::standing::{Condition, Failure};
use crate::trouble::{Told, Trouble};

/// An endpoint that has answered is believed after this long without a further ejection.
const CALM: Duration = Duration::from_secs(10);
/// What the supervisor may be late by.
const REST: Duration = Duration::from_secs(1);

/// Since when an endpoint is out, and why.
#[derive(Clone, Debug)]
pub(crate) struct Ejection {
    pub(crate) until: Instant,
    pub(crate) cause: &'static str,
    /// What was measured of an outlier, in words.
    pub(crate) evidence: Option<Arc<str>>,
    /// With earlier ones of its kind.
    pub(crate) count: u32,
}

impl Member {
    /// Takes the marks of requests since the last look. Returns whether anything changed.
    ///
    /// `window` is the longest time that a route gives for a slow start.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        window: Duration,
        settings: &EjectionSettings,
        news: &News,
    ) -> bool {
        let standing = self.endpoint.standing();
        let is_next = standing.term == self.seen.wrapping_add(1);
        if standing.term == self.seen {
            return false;
        }
        self.seen = standing.term;
        match standing.condition {
            Condition::Out(failure) => {
                // There were two marks since the last look, with an answer between them.
                if !is_next {
                    self.failures = 0;
                }
                self.eject(failure, now, settings, news);
            }
            Condition::Well => {
                self.failures = 0;
                self.ejection = None;
                self.begins(false, window, now);
                if let Some(trouble) = &mut self.trouble {
                    trouble.answered(now);
                }
            }
            // The supervisor itself puts an endpoint on trial, so it knows.
            Condition::OnTrial | Condition::Tested => {}
        }
        true
    }

    fn eject(&mut self, failure: Failure, now: Instant, settings: &EjectionSettings, news: &News) {
        let (backoff, count) = self.backoff_after(failure, settings);
        let (cause, evidence) = (failure.word(), self.evidence.take());
        let evidence = evidence.filter(|_| failure.is_by_comparison());
        self.slow_start = None;
        self.ejection = Some(Ejection {
            until: now + backoff,
            cause,
            evidence: evidence.clone(),
            count,
        });
        let told = Told {
            address: self.endpoint.address(),
            cause,
            evidence: evidence.as_deref(),
            backoff,
            calm: calm_after(failure, settings),
        };
        Trouble::ejected(&mut self.trouble, told, now, news);
    }

    /// Counts another failure. Returns for how long it puts the endpoint out, and the number of its kind.
    fn backoff_after(&mut self, failure: Failure, settings: &EjectionSettings) -> (Duration, u32) {
        let (bounds, count) = match failure.is_by_comparison() {
            true => (
                (settings.outlier_backoff, settings.outlier_max_backoff),
                &mut self.strikes,
            ),
            false => ((settings.backoff, settings.max_backoff), &mut self.failures),
        };
        let backoff = backoff_after(bounds, *count, fastrand::f64());
        *count = count.saturating_add(1);
        (backoff, *count)
    }

    /// Does what is due: ends the back-off, moves a slow start on, logs a reminder. Returns whether a schedule may differ now.
    pub(crate) fn advance(&mut self, now: Instant, news: &News) -> bool {
        let is_over = self.ejection.as_ref().is_some_and(|it| it.until <= now) && self.may_return();
        let mut changed = false;
        // An answer may have come first. The next look sees that.
        if is_over && let Some(trial) = self.endpoint.try_again() {
            self.seen = trial.term;
            self.ejection = None;
            changed = true;
        }
        if self.slow_start.is_some() {
            self.slow_start = self
                .slow_start
                .filter(|slow_start| !slow_start.is_over(now));
            changed = true;
        }
        let calm = self.trouble.take_if(|trouble| trouble.is_calm(now));
        if let Some(trouble) = calm {
            trouble.returned("answered", news);
        }
        changed
    }

    /// A fresh registration means another process. All failures of the address are forgotten, but it starts slowly.
    pub(crate) fn lift(&mut self, now: Instant, window: Duration, news: &News) {
        let is_well = self.endpoint.standing().is_well();
        self.begins(!is_well, window, now);
        self.strikes = 0;
        self.counted = None;
        if is_well {
            return;
        }
        self.failures = 0;
        self.ejection = None;
        self.seen = self.endpoint.absolve().term;
        if let Some(trouble) = self.trouble.take() {
            trouble.returned("registered afresh", news);
        }
    }

    /// Whether an ejected endpoint may return by itself. A held one may not, since Nacos does not list it.
    pub(crate) fn may_return(&self) -> bool {
        !self.is_held()
    }
}

/// The back-off after `failures` earlier ones in a row, shortened by up to a fifth by `jitter` (0 to 1), so that
/// endpoints that failed together do not return together.
pub(crate) fn backoff_after(
    (first, longest): (Duration, Duration),
    failures: u32,
    jitter: f64,
) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures));
    doubled.min(longest).mul_f64(1.0 - jitter / 5.0)
}

/// For how long an endpoint must be well after such a failure until its trouble is over. An outlier must have been compared twice: once
/// for a part of an interval.
fn calm_after(failure: Failure, settings: &EjectionSettings) -> Duration {
    match failure.is_by_comparison() {
        true => CALM.max(2 * settings.outlier_interval + REST),
        false => CALM,
    }
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
        let bounds = (settings.backoff, settings.max_backoff);
        for (failures, seconds) in [(0, 1), (1, 2), (2, 4), (4, 16), (5, 30), (40, 30)] {
            let longest = backoff_after(bounds, failures, 0.0);
            assert_eq!(longest, Duration::from_secs(seconds), "{failures}");
            assert_eq!(
                backoff_after(bounds, failures, 1.0),
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
