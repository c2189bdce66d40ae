//! Stops asking a service that fails or is slow, and asks another route in its place.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pailou_config::{Field, Fields};

use crate::{
    Bindings, Breaker, BreakerSettings, BreakerWait, BreakerWindow, Scope, Step, registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::steps(
    "circuit_breaker",
    "{ name: users, failure_percent: 50, slow_percent: 80, slow_call: 2s, window: 30s, minimum_calls: 20, wait: 10s, trials: 5, timeout: 3s, statuses: [ 500, 503 ], fallback: /sorry }",
    "Lets no request through for `wait` (60s) when too many of the last ones, at least `minimum_calls` (100), failed (50 %) or took longer than `slow_call` (60s, 100 %); then `trials` (10) decide. `window` is a number of calls (100) or a time. Failures are connections and answers that do not come about, within `timeout` if that is set, and answers of `statuses`. `fallback` is the path of a route that answers in the place of a failure; without one it is 503. Routes that give one `name` share it; it is the route's id unless set.",
    compile,
);

/// A breaker in a route, and what is done where it counts a failure.
#[derive(Debug)]
pub struct CircuitBreaker {
    /// The breaker, which other routes may share.
    pub breaker: Arc<Breaker>,
    /// Answers that count as failures.
    pub statuses: Vec<StatusCode>,
    /// How long the rest of the route may take to answer; `None` is the route's own
    /// time.
    pub timeout: Option<Duration>,
    /// What takes the place of the failure, if anything.
    pub fallback: Option<Fallback>,
}

/// Makes a path from the bound variables.
pub type FallbackPath = Box<dyn Fn(&Bindings) -> Option<String> + Send + Sync>;

/// What takes the place of a failure.
pub enum Fallback {
    /// The route that takes a path. This makes the path from the bound variables; `None`
    /// if a variable is missing.
    Forward(FallbackPath),
    /// An empty answer, 200.
    Nothing,
}

impl CircuitBreaker {
    /// Whether an answer of this status counts as a failure.
    pub fn is_failure(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status)
    }
}

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fallback::Forward(_) => "Forward",
            Fallback::Nothing => "Nothing",
        })
    }
}

const TIMES: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let name = match fields.optional("name") {
        Some(name) => name.string(),
        None => Some(scope.route.to_string()),
    };
    let settings = settings(&mut fields);
    let timeout = match fields.optional("timeout") {
        Some(timeout) => timeout.duration(TIMES).map(Some),
        None => Some(None),
    };
    let statuses = match fields.optional("statuses") {
        Some(statuses) => statuses.each(status),
        None => Some(Vec::new()),
    };
    let fallback = match fields.optional("fallback") {
        Some(path) => fallback(&path).map(Some),
        None => Some(None),
    };
    fields.finish();
    let (name, settings) = (name?, settings?);
    Some(vec![Step::Breaker(Box::new(CircuitBreaker {
        statuses: statuses?,
        timeout: timeout?,
        fallback: fallback?,
        breaker: scope.shared.breaker(&name, settings),
    }))])
}

fn settings(fields: &mut Fields<'_>) -> Option<BreakerSettings> {
    let default = BreakerSettings::default();
    let window = match fields.optional("window") {
        Some(window) => window_of(&window),
        None => Some(default.window),
    };
    let minimum = number(fields, "minimum_calls", default.minimum);
    let failure_percent = percent(fields, "failure_percent", default.failure_percent);
    let slow_percent = percent(fields, "slow_percent", default.slow_percent);
    let slow_call = time(fields, "slow_call", default.slow_call);
    let wait = time(fields, "wait", default.wait.first);
    let trials = number(fields, "trials", default.trials);
    Some(BreakerSettings {
        window: window?,
        minimum: minimum?,
        failure_percent: failure_percent?,
        slow_call: slow_call?,
        slow_percent: slow_percent?,
        wait: BreakerWait::of(wait?),
        trials: trials?,
        trial_time: None,
    })
}

/// `100` is calls, `30s` is time.
fn window_of(field: &Field<'_>) -> Option<BreakerWindow> {
    let is_number = |text: String| text.bytes().all(|byte| byte.is_ascii_digit());
    if field.string().is_some_and(is_number) {
        let calls = field.integer(1..=u64::from(BreakerWindow::MOST_CALLS))?;
        return u32::try_from(calls).ok().map(BreakerWindow::Calls);
    }
    let most = Duration::from_secs(BreakerWindow::MOST_SECONDS.into());
    let time = field.duration(Duration::from_secs(1)..=most)?;
    if time.subsec_nanos() != 0 {
        field.fault_expected("not a window", "whole seconds");
        return None;
    }
    u32::try_from(time.as_secs())
        .ok()
        .map(BreakerWindow::Seconds)
}

fn number(fields: &mut Fields<'_>, key: &'static str, default: u32) -> Option<u32> {
    match fields.optional(key) {
        Some(field) => u32::try_from(field.integer(1..=100_000)?).ok(),
        None => Some(default),
    }
}

fn percent(fields: &mut Fields<'_>, key: &'static str, default: f64) -> Option<f64> {
    let Some(field) = fields.optional(key) else {
        return Some(default);
    };
    let percent = field.number(0.0..=100.0)?;
    if percent == 0.0 {
        field.fault_expected("not a share in percent", "more than 0, at most 100");
        return None;
    }
    Some(percent)
}

fn time(fields: &mut Fields<'_>, key: &'static str, default: Duration) -> Option<Duration> {
    match fields.optional(key) {
        Some(field) => field.duration(TIMES),
        None => Some(default),
    }
}

fn status(field: &Field<'_>) -> Option<StatusCode> {
    let status = u16::try_from(field.integer(200..=599)?).ok()?;
    StatusCode::from_u16(status).ok()
}

fn fallback(field: &Field<'_>) -> Option<Fallback> {
    let path = field.string()?;
    if !path.starts_with('/') || path.contains(['?', '#']) {
        field.fault_expected("not a path", "a path that begins with `/`");
        return None;
    }
    Some(Fallback::Forward(Box::new(move |_| Some(path.clone()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::{step, steps};

    fn breaker(args: &str) -> CircuitBreaker {
        match step("circuit_breaker", args) {
            Ok(Step::Breaker(breaker)) => *breaker,
            other => panic!("{args}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_as_in_resilience4j() {
        let breaker = breaker("{}");
        assert_eq!(*breaker.breaker.settings(), BreakerSettings::default());
        assert_eq!(breaker.breaker.name(), "test", "the id of the route");
        assert!(breaker.fallback.is_none() && breaker.timeout.is_none());
        assert!(!breaker.is_failure(StatusCode::INTERNAL_SERVER_ERROR));
    }

    #[test]
    fn what_is_said_holds() {
        let breaker = breaker(ENTRY.arguments);
        let expected = BreakerSettings {
            window: BreakerWindow::Seconds(30),
            minimum: 20,
            failure_percent: 50.0,
            slow_call: Duration::from_secs(2),
            slow_percent: 80.0,
            wait: BreakerWait::of(Duration::from_secs(10)),
            trials: 5,
            trial_time: None,
        };
        assert_eq!(*breaker.breaker.settings(), expected);
        assert_eq!(breaker.breaker.name(), "users");
        assert_eq!(breaker.timeout, Some(Duration::from_secs(3)));
        assert!(breaker.is_failure(StatusCode::SERVICE_UNAVAILABLE));
        let Some(Fallback::Forward(path)) = breaker.fallback else {
            panic!("a fallback");
        };
        assert_eq!(path(&Bindings::default()).as_deref(), Some("/sorry"));
        let calls = self::breaker("{ window: 40 }");
        assert_eq!(calls.breaker.settings().window, BreakerWindow::Calls(40));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for (args, problem) in [
            ("{ window: 0 }", "from 1 to 100000"),
            ("{ window: 100001 }", "from 1 to 100000"),
            ("{ window: 1500ms }", "whole seconds"),
            ("{ window: 2h }", "from 1s to 1h"),
            ("{ failure_percent: 0 }", "at most 100"),
            ("{ slow_percent: 101 }", "from 0 to 100"),
            ("{ slow_call: 5 }", "a duration"),
            ("{ trials: 0 }", "from 1 to"),
            ("{ statuses: [ 99 ] }", "from 200 to 599"),
            ("{ fallback: sorry }", "begins with `/`"),
            ("{ fallback: /sorry?x=1 }", "begins with `/`"),
            ("{ threshold: 1 }", "unknown key"),
        ] {
            let error = steps("circuit_breaker", args, &[]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
