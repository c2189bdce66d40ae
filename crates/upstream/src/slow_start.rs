//! Slow start: an endpoint that begins to take requests gets a part of its weight at first.
//!
//! A process that has just begun has cold caches, no connections and code that nothing has compiled yet.

use std::time::Duration;

use tokio::time::Instant;

/// How long an endpoint that was registered afresh after an ejection takes to its full share, whatever routes say: it may fail again.
const AFTER_EJECTION: Duration = Duration::from_secs(10);
/// It rises in steps: each is a rebuild.
const STEP: Duration = Duration::from_secs(1);
/// What it begins with, of its weight.
const FROM: f64 = 0.1;

/// A slow start that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowStart {
    since: Instant,
    /// What it takes whatever a route says.
    least: Duration,
    /// What it takes for the most patient.
    longest: Duration,
}

impl SlowStart {
    /// One that takes at most `window`, or longer after an ejection that was lifted; `None` if it takes no time at all.
    pub(crate) fn begin(is_lifted: bool, window: Duration, now: Instant) -> Option<SlowStart> {
        let least = match is_lifted {
            true => AFTER_EJECTION,
            false => Duration::ZERO,
        };
        let longest = least.max(window);
        (!longest.is_zero()).then_some(SlowStart {
            since: now,
            least,
            longest,
        })
    }

    /// How much of its weight the endpoint gets from those who give it so long.
    pub(crate) fn part(self, window: Duration, now: Instant) -> f64 {
        let window = window.max(self.least);
        let age = now.saturating_duration_since(self.since);
        if age >= window {
            return 1.0;
        }
        let step = self.steps(now);
        let steps = window.as_secs_f64() / STEP.as_secs_f64();
        FROM + (1.0 - FROM) * step / steps
    }

    /// The same for the most patient, in percent.
    pub(crate) fn percent(self, now: Instant) -> u8 {
        (self.part(self.longest, now) * 100.0).round() as u8
    }

    pub(crate) fn is_over(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.longest
    }

    /// When it rises next.
    pub(crate) fn next_step(self, now: Instant) -> Instant {
        let next = self.since + STEP.mul_f64(self.steps(now) + 1.0);
        next.min(self.since + self.longest).max(now)
    }

    fn steps(self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.since);
        (age.as_secs_f64() / STEP.as_secs_f64()).floor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rises_from_a_tenth_to_all_within_its_window() {
        let start = Instant::now();
        for (window, is_lifted, rises) in [
            (
                10,
                false,
                [
                    (0, 10),
                    (999, 10),
                    (1_000, 19),
                    (5_500, 55),
                    (9_999, 91),
                    (10_000, 100),
                ],
            ),
            (
                0,
                true,
                [
                    (0, 10),
                    (999, 10),
                    (1_000, 19),
                    (5_500, 55),
                    (9_999, 91),
                    (10_000, 100),
                ],
            ),
            (
                20,
                true,
                [
                    (0, 10),
                    (1_000, 15),
                    (2_000, 19),
                    (11_000, 60),
                    (19_999, 96),
                    (20_000, 100),
                ],
            ),
        ] {
            let window = Duration::from_secs(window);
            let slow = SlowStart::begin(is_lifted, window, start).expect("it takes time");
            for (milliseconds, percent) in rises {
                let now = start + Duration::from_millis(milliseconds);
                let part = slow.part(window, now) * 100.0;
                assert_eq!(
                    part.round(),
                    f64::from(percent),
                    "{window:?} {milliseconds}"
                );
                assert_eq!(slow.is_over(now), percent == 100);
                let next = slow.next_step(now);
                assert!(next > now || slow.is_over(now));
                assert!(next <= now + STEP);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_no_time_gets_all_at_once() {
        let now = Instant::now();
        assert!(SlowStart::begin(false, Duration::ZERO, now).is_none());
        let slow = SlowStart::begin(false, Duration::from_secs(60), now).expect("for another");
        assert_eq!(slow.part(Duration::ZERO, now), 1.0);
    }
}
