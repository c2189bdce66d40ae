//! `CircuitBreaker`: stops asking a service that fails, and asks another route in its place.

use std::time::Duration;

use http::StatusCode;
use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::{path, status};
use crate::{
    BreakerSettings, BreakerWait, BreakerWindow, CircuitBreaker, Fallback, Scope, Step,
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::scg(
    "CircuitBreaker",
    "name (the id of the route)",
    "Lets no request through for a while when too many of the last ones failed or were slow, as `resilience4j` in the document says; `fallbackUri: forward:/path` sends those that fail to the route of that path, `statusCodes` are answers that count as failures.",
    Shortcut::Fields(&["name"]),
    compile,
);

/// Failures are failed connections, missing answers, and answers of `statusCodes`. The
/// reader of documents puts Resilience4j's settings for the breaker's name into the
/// arguments `circuitbreaker` and `timelimiter`.
///
/// Spring's default time-out is one second. Here the route's own time counts.
fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let name = args.get("name");
    let name = name
        .as_ref()
        .map(ScgArg::text)
        .filter(|name| !name.is_empty());
    let statuses = statuses(args);
    let fallback = fallback(args, scope);
    let settings = settings(args);
    let timeout = match args.get("timelimiter.timeoutDuration") {
        Some(timeout) => Some(timeout.duration()?),
        None => None,
    };
    let settings = settings?;
    let breaker = scope.shared.breaker(name.unwrap_or(scope.route), settings);
    Some(vec![Step::Breaker(Box::new(CircuitBreaker {
        breaker,
        statuses: statuses?,
        timeout,
        fallback: fallback?,
    }))])
}

fn statuses(args: &ScgArgs<'_>) -> Option<Vec<StatusCode>> {
    let given = args.list("statusCodes");
    let read: Vec<_> = given.iter().filter_map(status::read).collect();
    (read.len() == given.len()).then_some(read)
}

fn fallback(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Option<Fallback>> {
    let resumes = match args.get("resumeWithoutError") {
        Some(flag) => flag.boolean()?,
        None => false,
    };
    let Some(uri) = args.get("fallbackUri").filter(|uri| !uri.text().is_empty()) else {
        return Some(resumes.then_some(Fallback::Nothing));
    };
    let Some(target) = uri.text().strip_prefix("forward:") else {
        uri.fault_expected(
            "a fallback leads to another route of this gateway",
            "`forward:/path`",
        );
        return None;
    };
    let path = target.strip_prefix("//").unwrap_or(target);
    let template = path::template_of(path, &uri, scope)?;
    Some(Some(Fallback::Forward(Box::new(move |bindings| {
        let path = template.expand(bindings, path::encode_value).ok()?;
        Some(path::settled(&path))
    }))))
}

fn settings(args: &ScgArgs<'_>) -> Option<BreakerSettings> {
    let default = BreakerSettings::default();
    let calls = |name, default| number(args, name, BreakerWindow::MOST_CALLS, default);
    let percent = |name, default| match args.get(name) {
        Some(percent) => percent.number(0.01..=100.0),
        None => Some(default),
    };
    let time = |name, default| duration(args, name, default);
    let window = window(args);
    let minimum = calls("circuitbreaker.minimumNumberOfCalls", default.minimum);
    let trials = calls(
        "circuitbreaker.permittedNumberOfCallsInHalfOpenState",
        default.trials,
    );
    let failure_percent = percent(
        "circuitbreaker.failureRateThreshold",
        default.failure_percent,
    );
    let slow_percent = percent("circuitbreaker.slowCallRateThreshold", default.slow_percent);
    let slow_call = time(
        "circuitbreaker.slowCallDurationThreshold",
        default.slow_call,
    );
    let trial_time = time(
        "circuitbreaker.maxWaitDurationInHalfOpenState",
        Duration::ZERO,
    );
    let wait = wait(args);
    look_past(args);
    Some(BreakerSettings {
        window: window?,
        minimum: minimum?,
        failure_percent: failure_percent?,
        slow_call: slow_call?,
        slow_percent: slow_percent?,
        wait: wait?,
        trials: trials?,
        trial_time: Some(trial_time?).filter(|time| !time.is_zero()),
    })
}

fn window(args: &ScgArgs<'_>) -> Option<BreakerWindow> {
    const SIZE: &str = "circuitbreaker.slidingWindowSize";
    let is_count_based = match args.get("circuitbreaker.slidingWindowType") {
        Some(kind) => kind.one_of(&[("COUNT_BASED", true), ("TIME_BASED", false)])?,
        None => true,
    };
    if is_count_based {
        return number(args, SIZE, BreakerWindow::MOST_CALLS, 100).map(BreakerWindow::Calls);
    }
    number(args, SIZE, BreakerWindow::MOST_SECONDS, 100).map(BreakerWindow::Seconds)
}

fn number(args: &ScgArgs<'_>, name: &str, most: u32, default: u32) -> Option<u32> {
    match args.get(name) {
        Some(number) => number.integer(1..=most),
        None => Some(default),
    }
}

fn duration(args: &ScgArgs<'_>, name: &str, default: Duration) -> Option<Duration> {
    match args.get(name) {
        Some(arg) => arg.duration(),
        None => Some(default),
    }
}

fn wait(args: &ScgArgs<'_>) -> Option<BreakerWait> {
    let default = BreakerSettings::default().wait;
    let flag = |name| match args.get(name) {
        Some(flag) => flag.boolean(),
        None => Some(false),
    };
    let number = |name, range, default| match args.get(name) {
        Some(number) => number.number(range),
        None => Some(default),
    };
    let first = duration(
        args,
        "circuitbreaker.waitDurationInOpenState",
        default.first,
    );
    let grows = flag("circuitbreaker.enableExponentialBackoff");
    let factor = number(
        "circuitbreaker.exponentialBackoffMultiplier",
        1.0..=1_000.0,
        1.5,
    );
    let most = match args.get("circuitbreaker.exponentialMaxWaitDurationInOpenState") {
        Some(most) => most.duration().map(Some),
        None => Some(None),
    };
    let varies = flag("circuitbreaker.enableRandomizedWait");
    let jitter = number("circuitbreaker.randomizedWaitFactor", 0.0..=1.0, 0.5);
    let (grows, factor, most) = (grows?, factor?, most?);
    Some(BreakerWait {
        first: first?,
        factor: if grows { factor } else { 1.0 },
        most: most.filter(|_| grows),
        jitter: if varies? { jitter? } else { 0.0 },
    })
}

/// Settings that change nothing which a request sees, and those that name classes of Java.
fn look_past(args: &ScgArgs<'_>) {
    const OF_THE_APPLICATION: [&str; 6] = [
        "circuitbreaker.registerHealthIndicator",
        "circuitbreaker.allowHealthIndicatorToFail",
        "circuitbreaker.eventConsumerBufferSize",
        "circuitbreaker.writableStackTraceEnabled",
        "circuitbreaker.automaticTransitionFromOpenToHalfOpenEnabled",
        "timelimiter.cancelRunningFuture",
    ];
    for name in OF_THE_APPLICATION {
        args.get(name);
    }
    for name in [
        "circuitbreaker.recordExceptions",
        "circuitbreaker.ignoreExceptions",
    ] {
        if let Some(first) = args.list(name).first() {
            first.warn("names exceptions of Java, which do not happen here: a connection or an answer that does not come about is a failure, and an answer of `statusCodes`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bindings;
    use crate::registry::tests::steps;

    fn breaker(args: &str) -> CircuitBreaker {
        let (mut steps, _) = steps("CircuitBreaker", args, &["v"]).expect(args);
        match steps.pop() {
            Some(Step::Breaker(breaker)) => *breaker,
            other => panic!("not a breaker: {other:?}"),
        }
    }

    #[test]
    fn the_name_is_the_routes_unless_it_is_given() {
        for (args, name) in [("b2", "b2"), ("{ name: b1 }", "b1"), ("~", "test")] {
            assert_eq!(breaker(args).breaker.name(), name);
        }
    }

    #[test]
    fn the_fallback_is_a_path() {
        let mut bindings = Bindings::default();
        bindings.bind(&"v".into(), "a b/c");
        for (uri, path) in [
            ("forward:/fallback/x", "/fallback/x"),
            ("forward:/fallback/{v}", "/fallback/a%20b%2Fc"),
            ("forward:/fallback/x?y=1", "/fallback/x"),
            ("forward:///fallback", "/fallback"),
        ] {
            let Some(Fallback::Forward(forward)) =
                breaker(&format!("{{ fallbackUri: '{uri}' }}")).fallback
            else {
                panic!("{uri}");
            };
            assert_eq!(forward(&bindings).as_deref(), Some(path), "{uri}");
        }
        assert!(breaker("x").fallback.is_none());
        let resumes = breaker("{ resumeWithoutError: 'true' }").fallback;
        assert!(matches!(resumes, Some(Fallback::Nothing)));
    }

    #[test]
    fn failures_and_windows_are_those_of_the_arguments() {
        for args in [
            "{ statusCodes: [500, BAD_GATEWAY] }",
            "{ statusCodes: '500,502' }",
        ] {
            let breaker = breaker(args);
            for (status, is_failure) in [(500, true), (502, true), (503, false), (200, false)] {
                let status = StatusCode::from_u16(status).expect("a status");
                assert_eq!(breaker.is_failure(status), is_failure, "{args} {status}");
            }
        }
        let breaker = breaker(
            "{ circuitbreaker: { slidingWindowSize: 3, minimum-number-of-calls: 3, failureRateThreshold: 25, waitDurationInOpenState: 5s, permittedNumberOfCallsInHalfOpenState: 2 }, timelimiter: { timeoutDuration: 400ms } }",
        );
        let expected = BreakerSettings {
            window: BreakerWindow::Calls(3),
            minimum: 3,
            failure_percent: 25.0,
            wait: BreakerWait::of(Duration::from_secs(5)),
            trials: 2,
            ..BreakerSettings::default()
        };
        assert_eq!(*breaker.breaker.settings(), expected);
        assert_eq!(breaker.timeout, Some(Duration::from_millis(400)));
    }

    #[test]
    fn windows_of_time_slow_calls_and_waits_that_grow_are_read() {
        let breaker = breaker(
            "{ circuitbreaker: { sliding-window-type: TIME_BASED, slidingWindowSize: 20, slowCallDurationThreshold: 2s, slow-call-rate-threshold: 30, maxWaitDurationInHalfOpenState: 1m, waitDurationInOpenState: 10s, enableExponentialBackoff: true, exponentialBackoffMultiplier: 2, exponentialMaxWaitDurationInOpenState: 2m, enableRandomizedWait: true } }",
        );
        let seconds = Duration::from_secs;
        let expected = BreakerSettings {
            window: BreakerWindow::Seconds(20),
            slow_call: seconds(2),
            slow_percent: 30.0,
            trial_time: Some(seconds(60)),
            wait: BreakerWait {
                first: seconds(10),
                factor: 2.0,
                most: Some(seconds(120)),
                jitter: 0.5,
            },
            ..BreakerSettings::default()
        };
        assert_eq!(*breaker.breaker.settings(), expected);
        // What is not turned on says nothing.
        let plain = self::breaker(
            "{ circuitbreaker: { exponentialBackoffMultiplier: 2, exponentialMaxWaitDurationInOpenState: 2m, randomizedWaitFactor: 0.1 } }",
        );
        assert_eq!(*plain.breaker.settings(), BreakerSettings::default());
    }

    #[test]
    fn of_what_means_nothing_here_only_what_matters_is_told() {
        let told = |args: &str| steps("CircuitBreaker", args, &[]).expect(args).1;
        let quiet = told(
            "{ circuitbreaker: { registerHealthIndicator: true, eventConsumerBufferSize: 10, automaticTransitionFromOpenToHalfOpenEnabled: true }, timelimiter: { cancelRunningFuture: false } }",
        );
        assert_eq!(quiet, "");
        let loud = told(
            "{ circuitbreaker: { ignoreExceptions: [ java.lang.IllegalStateException, a.B ], recordFailurePredicate: x.Y } }",
        );
        assert!(loud.contains("exceptions of Java"), "{loud}");
        assert!(loud.contains("recordFailurePredicate"), "{loud}");
        assert_eq!(loud.lines().count(), 2, "{loud}");
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (args, problem) in [
            ("{ fallbackUri: 'http://other/' }", "`forward:/path`"),
            (
                "{ fallbackUri: 'forward:fallback' }",
                "would not begin with `/`",
            ),
            ("{ fallbackUri: 'forward:/{w}' }", "binds `{w}`"),
            ("{ statusCodes: abc }", "is not a status"),
            ("{ circuitbreaker: { slidingWindowSize: 0 } }", "from 1 to"),
            (
                "{ circuitbreaker: { slidingWindowType: NONE } }",
                "TIME_BASED",
            ),
            (
                "{ circuitbreaker: { slidingWindowType: TIME_BASED, slidingWindowSize: 3601 } }",
                "from 1 to 3600",
            ),
            (
                "{ circuitbreaker: { slowCallRateThreshold: 101 } }",
                "to 100",
            ),
        ] {
            let error = steps("CircuitBreaker", args, &["v"]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
