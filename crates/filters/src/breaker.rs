//! Circuit breakers: a service that fails too often gets no requests for a while.
//!
//! The state machine is Resilience4j's, with a window that counts calls: closed;
//! open once the share of failures among the last calls reaches a threshold;
//! half-open after a wait, when a few calls decide between the two.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pailou_telemetry::BreakerMetrics;
use pailou_telemetry::events::{BreakerClosed, BreakerOpened, BreakerTries};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// How many of the last calls count.
    pub window: u32,
    /// How many calls there must have been.
    pub minimum: u32,
    /// The share of failures, in percent, at which it opens.
    pub failure_percent: f64,
    /// How long it stays open.
    pub wait: Duration,
    /// How many calls are let through then, as a test.
    pub trials: u32,
}

impl Default for BreakerSettings {
    /// Resilience4j's.
    fn default() -> BreakerSettings {
        BreakerSettings {
            window: 100,
            minimum: 100,
            failure_percent: 50.0,
            wait: Duration::from_secs(60),
            trials: 10,
        }
    }
}

/// One breaker, which all routes share that name it.
///
/// Cost per call: a few atomics; no lock. Calls that end at the same moment may
/// count in either order.
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
    Open { until: Instant },
    HalfOpen { left: AtomicU32 },
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
                Kind::Open { until } if now < *until => break,
                Kind::Open { .. } => {
                    if self.change(&state, State::half_open(&self.settings)) {
                        BreakerTries {
                            breaker: &self.metrics,
                        }
                        .record();
                    }
                    continue;
                }
                Kind::HalfOpen { left } => {
                    let taken = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
                    if taken.is_err() {
                        break;
                    }
                }
            }
            return Some(Permit {
                breaker: Arc::clone(self),
                state,
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

    fn judge(&self, state: &Arc<State>, now: Instant) {
        let (calls, failures) = state.window.counts();
        let minimum = match &state.kind {
            Kind::Closed => self.settings.minimum.min(self.settings.window),
            Kind::HalfOpen { .. } => self.settings.trials,
            Kind::Open { .. } => return,
        };
        if calls < minimum {
            return;
        }
        let percent = 100.0 * f64::from(failures) / f64::from(calls.max(1));
        let fails = percent >= self.settings.failure_percent;
        let until = now + self.settings.wait;
        match (&state.kind, fails) {
            (_, true) if self.change(state, State::open(until)) => BreakerOpened {
                breaker: &self.metrics,
                calls,
                failures,
                wait: self.settings.wait,
            }
            .record(),
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

    fn open(until: Instant) -> State {
        State {
            kind: Kind::Open { until },
            window: Window::new(0),
        }
    }

    fn half_open(settings: &BreakerSettings) -> State {
        State {
            kind: Kind::HalfOpen {
                left: AtomicU32::new(settings.trials),
            },
            window: Window::new(settings.trials),
        }
    }
}

/// A call that was let through. If it is dropped without a result, it does not count.
#[derive(Debug)]
#[must_use = "the breaker learns from how the call ends"]
pub struct Permit {
    breaker: Arc<Breaker>,
    state: Arc<State>,
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
        self.state.window.count(is_failure);
        self.breaker.judge(&self.state, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Kind::HalfOpen { left } = &self.state.kind
            && !self.is_over
        {
            left.fetch_add(1, Relaxed);
        }
    }
}

/// The ends of the last calls.
#[derive(Debug)]
struct Window {
    /// For each place nothing, a success or a failure.
    calls: Box<[AtomicU8]>,
    next: AtomicUsize,
    failures: AtomicU32,
}

impl Window {
    const SUCCESS: u8 = 1;
    const FAILURE: u8 = 2;

    fn new(size: u32) -> Window {
        Window {
            calls: (0..size).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
        }
    }

    fn count(&self, is_failure: bool) {
        let number = self.next.fetch_add(1, Relaxed);
        let place = number.checked_rem(self.calls.len());
        let Some(call) = place.and_then(|place| self.calls.get(place)) else {
            return;
        };
        let now = if is_failure {
            Window::FAILURE
        } else {
            Window::SUCCESS
        };
        // The addition comes first, so that the number never falls below zero.
        if is_failure {
            self.failures.fetch_add(1, Relaxed);
        }
        if call.swap(now, Relaxed) == Window::FAILURE {
            self.failures.fetch_sub(1, Relaxed);
        }
    }

    /// How many calls there are in it, and how many of them failed.
    fn counts(&self) -> (u32, u32) {
        let calls = self.next.load(Relaxed).min(self.calls.len());
        (calls as u32, self.failures.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use pailou_telemetry::Metrics;

    use super::*;

    struct Scene {
        breaker: Arc<Breaker>,
        metrics: Metrics,
        now: Instant,
    }

    fn scene(settings: BreakerSettings) -> Scene {
        let metrics = Metrics::new();
        Scene {
            breaker: Arc::new(Breaker::new(settings, metrics.breaker("b"))),
            metrics,
            now: Instant::now(),
        }
    }

    impl Scene {
        /// One call per letter: `.` goes well, `x` fails, `-` has no end; `!` must
        /// be refused.
        fn calls(&self, calls: &str) {
            for call in calls.chars() {
                let permit = self.breaker.enter(self.now);
                match (call, permit) {
                    ('.', Some(permit)) => permit.succeeded(self.now),
                    ('x', Some(permit)) => permit.failed(self.now),
                    ('-', Some(permit)) => drop(permit),
                    ('!', None) => {}
                    (call, permit) => panic!("{call} of {calls}: {permit:?}"),
                }
            }
        }

        fn passes(&mut self, time: Duration) {
            self.now += time;
        }
    }

    const SMALL: BreakerSettings = BreakerSettings {
        window: 4,
        minimum: 3,
        failure_percent: 50.0,
        wait: Duration::from_secs(10),
        trials: 2,
    };

    #[test]
    fn it_opens_at_the_share_of_failures_in_the_window() {
        for calls in ["xx.!", "..xx!!", "x.x!", "..........xx!", "-xx-x!"] {
            scene(SMALL).calls(calls);
        }
        for calls in ["xx", "....x....x", "x...x...x..."] {
            let scene = scene(SMALL);
            scene.calls(calls);
            scene.calls(".");
        }
    }

    #[test]
    fn fewer_calls_than_the_minimum_say_nothing() {
        let scene = scene(BreakerSettings::default());
        scene.calls(&"x".repeat(99));
        scene.calls("x!");
        // A window that is smaller than the minimum is full sooner.
        let small = BreakerSettings {
            minimum: 100,
            ..SMALL
        };
        self::scene(small).calls("xxxx!");
    }

    #[test]
    fn after_the_wait_a_few_calls_decide() {
        let mut scene = scene(SMALL);
        scene.calls("xxx!");
        scene.passes(Duration::from_secs(9));
        scene.calls("!");
        scene.passes(Duration::from_secs(1));
        let (one, two) = (
            scene.breaker.enter(scene.now),
            scene.breaker.enter(scene.now),
        );
        scene.calls("!");
        one.expect("a trial").succeeded(scene.now);
        two.expect("a trial").failed(scene.now);
        scene.calls("!");
        scene.passes(Duration::from_secs(10));
        scene.calls("-..");
        scene.calls("..xx!");
    }

    #[test]
    fn a_call_counts_in_the_state_that_it_began_in() {
        let mut scene = scene(SMALL);
        let late = scene.breaker.enter(scene.now).expect("closed");
        scene.calls("xxx!");
        scene.passes(Duration::from_secs(10));
        late.failed(scene.now);
        scene.calls("..");
        scene.calls("...");
    }

    #[test]
    fn it_says_what_becomes_of_it() {
        let scene = scene(SMALL);
        scene.calls("xxx!!");
        let text = scene.metrics.render();
        for line in [
            "pailou_breaker_open{breaker=\"b\"} 1",
            "pailou_breaker_openings_total{breaker=\"b\"} 1",
            "pailou_breaker_refusals_total{breaker=\"b\"} 2",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn many_threads_count_every_call() {
        let settings = BreakerSettings {
            window: 1000,
            minimum: 1000,
            failure_percent: 100.0,
            ..SMALL
        };
        let scene = scene(settings);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| scene.calls(&"x".repeat(249)));
            }
        });
        scene.calls("xxxx!");
    }
}
