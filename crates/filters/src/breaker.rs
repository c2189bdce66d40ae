//! Circuit breakers: who fails too often, or is too slow, is not asked for a while.
//!
//! The state machine is Resilience4j's: closed; open once the share of failures or of slow calls in a window
//! reaches a threshold; half-open after a wait, when a few calls decide between the two.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use arc_swap::ArcSwap;
use pailou_telemetry::BreakerMetrics;
use pailou_telemetry::events::{BreakerClosed, BreakerOpened, BreakerTries};

mod settings;
mod window;

pub use settings::{BreakerSettings, BreakerWait, BreakerWindow};

use window::{CallEnd, Counts, Window};

/// One breaker, which all routes share that name it.
///
/// Cost per call: a few atomics. A window of time has a lock as well, for a few
/// additions. Calls that end at the same moment may count in either order.
pub struct Breaker {
    settings: BreakerSettings,
    metrics: Arc<BreakerMetrics>,
    state: ArcSwap<State>,
}

/// A state from its beginning to its end. A call counts in the state in which it
/// began.
#[derive(Debug)]
struct State {
    kind: Kind,
    window: Window,
}

#[derive(Debug)]
enum Kind {
    Closed,
    Open {
        until: Instant,
        /// How many times in a row it has opened.
        number: u32,
    },
    HalfOpen {
        left: AtomicU32,
        /// When it opens again unless its calls have decided.
        until: Option<Instant>,
        number: u32,
    },
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings, metrics: Arc<BreakerMetrics>) -> Breaker {
        Breaker {
            state: ArcSwap::from_pointee(State::closed(&settings)),
            settings,
            metrics,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metrics.name()
    }

    /// How it is set.
    pub fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    /// Lets a call through; `None` while the breaker is open.
    pub fn enter(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        loop {
            let state = self.state.load_full();
            match &state.kind {
                Kind::Closed => {}
                Kind::Open { until, .. } if now < *until => break,
                Kind::Open { number, .. } => {
                    self.half_open(&state, *number, now);
                    continue;
                }
                Kind::HalfOpen {
                    until: Some(until),
                    number,
                    ..
                } if now >= *until => {
                    // Its calls had their time; the wait began when that was over.
                    self.open(&state, number + 1, Counts::default(), *until);
                    continue;
                }
                Kind::HalfOpen { left, .. } => {
                    let taken = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
                    if taken.is_err() {
                        break;
                    }
                }
            }
            return Some(Permit {
                breaker: Arc::clone(self),
                state,
                began: now,
                is_over: false,
            });
        }
        self.metrics.count_refusal();
        None
    }

    /// Puts another state in the place of this one, if it is still in force.
    fn change(&self, from: &Arc<State>, to: State) -> bool {
        let before = self.state.compare_and_swap(from, Arc::new(to));
        Arc::ptr_eq(&before, from)
    }

    fn half_open(&self, from: &Arc<State>, number: u32, now: Instant) {
        let kind = Kind::HalfOpen {
            left: AtomicU32::new(self.settings.trials),
            until: self.settings.trial_time.map(|time| now + time),
            number,
        };
        let window = Window::new(BreakerWindow::Calls(self.settings.trials));
        if self.change(from, State { kind, window }) {
            BreakerTries {
                breaker: &self.metrics,
            }
            .record();
        }
    }

    /// Opens it for the time that is its due after so many openings in a row.
    fn open(&self, from: &Arc<State>, number: u32, counts: Counts, now: Instant) {
        let wait = self.settings.wait.after(number, fastrand::f64());
        let kind = Kind::Open {
            until: now + wait,
            number,
        };
        let window = Window::new(BreakerWindow::Calls(0));
        if self.change(from, State { kind, window }) {
            BreakerOpened {
                breaker: &self.metrics,
                calls: counts.calls,
                failures: counts.failures,
                slow_calls: counts.slow,
                wait,
            }
            .record();
        }
    }

    fn judge(&self, state: &Arc<State>, counts: Counts, now: Instant) {
        let (minimum, number) = match &state.kind {
            Kind::Closed => (self.settings.minimum_of(self.settings.window), 0),
            Kind::HalfOpen { number, .. } => {
                let trials = BreakerWindow::Calls(self.settings.trials);
                (self.settings.minimum_of(trials), *number)
            }
            Kind::Open { .. } => return,
        };
        if counts.calls < minimum {
            return;
        }
        let percent = |some: u32| 100.0 * f64::from(some) / f64::from(counts.calls.max(1));
        let fails = percent(counts.failures) >= self.settings.failure_percent
            || percent(counts.slow) >= self.settings.slow_percent;
        match (&state.kind, fails) {
            (_, true) => self.open(state, number + 1, counts, now),
            (Kind::HalfOpen { .. }, false) if self.change(state, State::closed(&self.settings)) => {
                BreakerClosed {
                    breaker: &self.metrics,
                }
                .record();
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Breaker").field(&self.name()).finish()
    }
}

impl State {
    fn closed(settings: &BreakerSettings) -> State {
        State {
            kind: Kind::Closed,
            window: Window::new(settings.window),
        }
    }
}

/// A call that was let through. If it is dropped without a result, it does not count.
#[derive(Debug)]
#[must_use = "the breaker learns from how the call ends"]
pub struct Permit {
    breaker: Arc<Breaker>,
    state: Arc<State>,
    began: Instant,
    is_over: bool,
}

impl Permit {
    /// The call went well.
    pub fn succeeded(self, now: Instant) {
        self.ended(false, now);
    }

    /// The call failed.
    pub fn failed(self, now: Instant) {
        self.ended(true, now);
    }

    fn ended(mut self, is_failure: bool, now: Instant) {
        self.is_over = true;
        let took = now.saturating_duration_since(self.began);
        let end = CallEnd {
            is_failure,
            is_slow: took > self.breaker.settings.slow_call,
        };
        let counts = self.state.window.count(end, now);
        self.breaker.judge(&self.state, counts, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Kind::HalfOpen { left, .. } = &self.state.kind
            && !self.is_over
        {
            left.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
