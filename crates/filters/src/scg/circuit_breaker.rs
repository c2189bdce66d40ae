//! `CircuitBreaker`: stops asking a service that fails, and asks another route in its place.

use http::StatusCode;
use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::{path, status};
use crate::{BreakerSettings, CircuitBreaker, Fallback, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "CircuitBreaker",
    "name (the id of the route)",
    "Lets no request through for a while when too many of the last ones failed; `fallbackUri: forward:/path` sends those that fail to the route of that path, `statusCodes` are answers that count as failures.",
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
    if let Some(kind) = args.get("circuitbreaker.slidingWindowType")
        && !kind.text().eq_ignore_ascii_case("COUNT_BASED")
    {
        kind.warn("calls are counted, whatever time they take up: COUNT_BASED");
    }
    let number = |name, default| match args.get(name) {
        Some(number) => number.integer(1..=100_000),
        None => Some(default),
    };
    let window = number("circuitbreaker.slidingWindowSize", default.window);
    let minimum = number("circuitbreaker.minimumNumberOfCalls", default.minimum);
    let trials = number(
        "circuitbreaker.permittedNumberOfCallsInHalfOpenState",
        default.trials,
    );
    let failure_percent = match args.get("circuitbreaker.failureRateThreshold") {
        Some(percent) => percent.number(1.0..=100.0),
        None => Some(default.failure_percent),
    };
    let wait = match args.get("circuitbreaker.waitDurationInOpenState") {
        Some(wait) => wait.duration(),
        None => Some(default.wait),
    };
    Some(BreakerSettings {
        window: window?,
        minimum: minimum?,
        failure_percent: failure_percent?,
        wait: wait?,
        trials: trials?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            window: 3,
            minimum: 3,
            failure_percent: 25.0,
            wait: Duration::from_secs(5),
            trials: 2,
        };
        assert_eq!(*breaker.breaker.settings(), expected);
        assert_eq!(breaker.timeout, Some(Duration::from_millis(400)));
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
        ] {
            let error = steps("CircuitBreaker", args, &["v"]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
