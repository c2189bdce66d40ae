//! When a breaker opens, and for how long.

use std::time::Duration;

/// How a breaker is set. The names are those of Resilience4j in other words; so are the defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Which calls count.
    pub window: BreakerWindow,
    /// How many calls there must have been. A window of fewer calls is full sooner.
    pub minimum: u32,
    /// The share of failures, in percent, at which it opens.
    pub failure_percent: f64,
    /// A call that takes longer is slow, whether it fails or not.
    pub slow_call: Duration,
    /// The share of slow calls, in percent, at which it opens.
    pub slow_percent: f64,
    /// How long it stays open.
    pub wait: BreakerWait,
    /// How many calls are let through then, to see.
    pub trials: u32,
    /// How long these calls may take to decide, before it opens again; `None` is as long as they take.
    pub trial_time: Option<Duration>,
}

/// Which calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerWindow {
    /// The last ones, so many of them.
    Calls(u32),
    /// Those of the last seconds.
    Seconds(u32),
}

/// How long a breaker stays open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerWait {
    /// How long the first time.
    pub first: Duration,
    /// Each time in a row it is so many times as long; 1 is always the same.
    pub factor: f64,
    /// The longest time; `None` is no bound.
    pub most: Option<Duration>,
    /// The share of a wait, from 0 to 1, that it may be longer or shorter by, by chance.
    pub jitter: f64,
}

impl Default for BreakerSettings {
    fn default() -> BreakerSettings {
        BreakerSettings {
            window: BreakerWindow::Calls(100),
            minimum: 100,
            failure_percent: 50.0,
            slow_call: Duration::from_secs(60),
            slow_percent: 100.0,
            wait: BreakerWait::of(Duration::from_secs(60)),
            trials: 10,
            trial_time: None,
        }
    }
}

impl BreakerSettings {
    /// How many calls of a window say something.
    pub(super) fn minimum_of(&self, window: BreakerWindow) -> u32 {
        match window {
            BreakerWindow::Calls(calls) => self.minimum.min(calls),
            BreakerWindow::Seconds(_) => self.minimum,
        }
    }
}

impl BreakerWindow {
    /// The most calls of a window, a byte each.
    pub(crate) const MOST_CALLS: u32 = 100_000;
    /// The most seconds of a window, twelve bytes each.
    pub(crate) const MOST_SECONDS: u32 = 3_600;
}

impl BreakerWait {
    /// Beyond a century no clock follows.
    const MOST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// Always the same time.
    pub fn of(first: Duration) -> BreakerWait {
        BreakerWait {
            first,
            factor: 1.0,
            most: None,
            jitter: 0.0,
        }
    }

    /// The time after the opening of that number in a row, which begins at 1. `draw` is a
    /// random number from 0 to 1.
    pub(super) fn after(&self, number: u32, draw: f64) -> Duration {
        let most = self.most.unwrap_or(Self::MOST).min(Self::MOST);
        let times = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
        let wait = self.first.as_secs_f64() * self.factor.powi(times);
        let share = 1.0 + self.jitter * (2.0 * draw - 1.0);
        let wait = wait.min(most.as_secs_f64()) * share.max(0.0);
        Duration::try_from_secs_f64(wait).map_or(most, |wait| wait.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_their_bound() {
        let seconds = Duration::from_secs;
        let wait = BreakerWait {
            factor: 2.0,
            most: Some(seconds(30)),
            ..BreakerWait::of(seconds(10))
        };
        let waits = [1, 2, 3, u32::MAX].map(|number| wait.after(number, 0.9));
        assert_eq!(waits, [10, 20, 30, 30].map(seconds));
        let wait = BreakerWait {
            jitter: 0.5,
            ..BreakerWait::of(seconds(10))
        };
        let waits = [0.0, 0.5, 1.0].map(|draw| wait.after(7, draw));
        assert_eq!(waits, [5, 10, 15].map(seconds));
        let endless = BreakerWait {
            factor: 100.0,
            ..BreakerWait::of(seconds(10))
        };
        assert_eq!(endless.after(u32::MAX, 0.5), BreakerWait::MOST);
    }
}
