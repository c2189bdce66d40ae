use std::time::Duration;

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
    /// One call per letter: `.` goes well, `x` fails, `s` is slow, `-` has no end; `!` must be
    /// refused.
    fn calls(&self, calls: &str) {
        let slow = self.breaker.settings().slow_call + Duration::from_millis(1);
        for call in calls.chars() {
            let permit = self.breaker.enter(self.now);
            match (call, permit) {
                ('.', Some(permit)) => permit.succeeded(self.now),
                ('x', Some(permit)) => permit.failed(self.now),
                ('s', Some(permit)) => permit.succeeded(self.now + slow),
                ('-', Some(permit)) => drop(permit),
                ('!', None) => {}
                (call, permit) => panic!("{call} of {calls}: {permit:?}"),
            }
        }
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    fn seconds(&mut self, seconds: u64) {
        self.passes(Duration::from_secs(seconds));
    }
}

const SMALL: BreakerSettings = BreakerSettings {
    window: BreakerWindow::Calls(4),
    minimum: 3,
    failure_percent: 50.0,
    slow_call: Duration::from_secs(2),
    slow_percent: 50.0,
    wait: BreakerWait {
        first: Duration::from_secs(10),
        factor: 1.0,
        most: None,
        jitter: 0.0,
    },
    trials: 2,
    trial_time: None,
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
fn it_opens_at_the_share_of_slow_calls_too() {
    for calls in ["ss.!", "..ss!", "....s...ss!"] {
        scene(SMALL).calls(calls);
    }
    // A failure and a slow call are two things.
    scene(SMALL).calls("x..s..");
    let unlimited = BreakerSettings {
        slow_percent: 100.0,
        ..SMALL
    };
    scene(unlimited).calls("sss!");
    scene(unlimited).calls("sss!!");
    scene(unlimited).calls("ss.ss.ss.");
    // So long is not slow yet.
    let scene = scene(SMALL);
    for _ in 0..5 {
        let permit = scene.breaker.enter(scene.now).expect("closed");
        permit.succeeded(scene.now + SMALL.slow_call);
    }
    scene.calls(".");
}

#[test]
fn slow_trials_open_it_again() {
    let mut scene = scene(SMALL);
    scene.calls("xxx!");
    scene.seconds(10);
    scene.calls(".s!");
}

#[test]
fn a_window_of_time_forgets_by_seconds() {
    let settings = BreakerSettings {
        window: BreakerWindow::Seconds(10),
        ..SMALL
    };
    let mut scene = scene(settings);
    scene.calls("xx");
    scene.seconds(10);
    scene.calls("x.......");
    scene.seconds(9);
    scene.calls("xxxxx");
    // Six of thirteen have failed so far, of those that count.
    scene.calls("x!");
    let mut quiet = self::scene(settings);
    quiet.calls("xx");
    quiet.seconds(100);
    quiet.calls("xx");
    quiet.calls("x!");
}

#[test]
fn fewer_calls_than_the_minimum_say_nothing() {
    let scene = scene(BreakerSettings::default());
    scene.calls(&"x".repeat(99));
    scene.calls("x!");
    // A window that is smaller than the minimum is full sooner; one of time is never full.
    let small = BreakerSettings {
        minimum: 100,
        ..SMALL
    };
    self::scene(small).calls("xxxx!");
    let time = BreakerSettings {
        window: BreakerWindow::Seconds(10),
        ..small
    };
    let scene = self::scene(time);
    scene.calls(&"x".repeat(99));
    scene.calls("x!");
}

#[test]
fn after_the_wait_a_few_calls_decide() {
    let mut scene = scene(SMALL);
    scene.calls("xxx!");
    scene.seconds(9);
    scene.calls("!");
    scene.seconds(1);
    let (one, two) = (
        scene.breaker.enter(scene.now),
        scene.breaker.enter(scene.now),
    );
    scene.calls("!");
    one.expect("a trial").succeeded(scene.now);
    two.expect("a trial").failed(scene.now);
    scene.calls("!");
    scene.seconds(10);
    scene.calls("-..");
    scene.calls("..xx!");
}

/// As in Resilience4j: fewer trials than are let through decide where fewer calls say something.
#[test]
fn the_minimum_holds_for_trials_too() {
    let mut scene = scene(BreakerSettings {
        minimum: 1,
        trials: 3,
        ..SMALL
    });
    scene.calls("x!");
    scene.seconds(10);
    scene.calls(".");
    scene.calls(".....");
}

#[test]
fn trials_that_take_too_long_open_it_again() {
    let mut scene = scene(BreakerSettings {
        trial_time: Some(Duration::from_secs(5)),
        ..SMALL
    });
    scene.calls("xxx!");
    scene.seconds(10);
    let trials: Vec<_> = (0..2).map(|_| scene.breaker.enter(scene.now)).collect();
    scene.seconds(4);
    scene.calls("!");
    // It is open from the end of their time on, for as long as ever.
    scene.seconds(2);
    scene.calls("!");
    for trial in trials {
        trial.expect("a trial").succeeded(scene.now);
    }
    scene.seconds(8);
    scene.calls("!");
    scene.seconds(1);
    scene.calls("...");
}

#[test]
fn waits_grow_while_its_trials_fail() {
    let mut scene = scene(BreakerSettings {
        wait: BreakerWait {
            factor: 2.0,
            ..SMALL.wait
        },
        ..SMALL
    });
    scene.calls("xxx!");
    for wait in [10, 20, 40] {
        scene.seconds(wait - 1);
        scene.calls("!");
        scene.seconds(1);
        scene.calls("xx!");
    }
    scene.seconds(80);
    scene.calls("..");
    // It has closed: the next wait is the first.
    scene.calls("xxx!");
    scene.seconds(10);
    scene.calls("..");
}

#[test]
fn a_call_counts_in_the_state_that_it_began_in() {
    let mut scene = scene(SMALL);
    let late = scene.breaker.enter(scene.now).expect("closed");
    scene.calls("xxx!");
    scene.seconds(10);
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
    for window in [BreakerWindow::Calls(1000), BreakerWindow::Seconds(3)] {
        let scene = scene(BreakerSettings {
            window,
            minimum: 1000,
            failure_percent: 100.0,
            ..SMALL
        });
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| scene.calls(&"x".repeat(249)));
            }
        });
        scene.calls("xxxx!");
    }
}
