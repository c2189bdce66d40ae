//! `Retry`: what is tried again.

use std::time::Duration;

use http::{Method, StatusCode};
use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::status;
use crate::{Backoff, Retry, Rule, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "Retry",
    "retries (3), statuses, methods (GET), backoff.firstBackoff, backoff.maxBackoff, backoff.factor (2), backoff.basedOnPreviousValue, jitter.randomFactor, timeout",
    "Asks again, elsewhere if there is another endpoint, for an answer whose status is one of `statuses` or of `series` (`SERVER_ERROR`), or that never came.",
    Shortcut::Fields(&[
        "retries",
        "statuses",
        "methods",
        "backoff.firstBackoff",
        "backoff.maxBackoff",
        "backoff.factor",
        "backoff.basedOnPreviousValue",
        "jitter.randomFactor",
        "timeout",
    ]),
    compile,
);

/// More tries than these are a flood.
const MOST_RETRIES: u32 = 20;

const SERIES: &[(&str, u16)] = &[
    ("INFORMATIONAL", 1),
    ("SUCCESSFUL", 2),
    ("REDIRECTION", 3),
    ("CLIENT_ERROR", 4),
    ("SERVER_ERROR", 5),
];

/// Java's exceptions by what they stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exception {
    /// A connection that ended.
    Io,
    /// An answer that did not come in time.
    Timeout,
    Both,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let retries = match args.get("retries") {
        Some(retries) => number(&retries),
        None => Some(3),
    };
    let statuses = statuses(args);
    let methods = methods(args);
    let exceptions = exceptions(args);
    let within = match args.get("timeout") {
        Some(timeout) => timeout
            .duration()
            .map(|timeout| (!timeout.is_zero()).then_some(timeout)),
        None => Some(None),
    };
    let backoff = backoff(args);
    let (resets, timeouts) = exceptions;
    Some(vec![Step::Rule(Rule::Retry(Retry {
        retries: retries?,
        statuses: statuses?,
        methods: Some(methods?),
        resets,
        timeouts,
        returns: true,
        within: within?,
        backoff: backoff?,
        per_try: None,
        hedge: None,
        // Spring asks again at once.
        obeys_retry_after: false,
    }))])
}

fn number(arg: &ScgArg<'_>) -> Option<u32> {
    let number: u32 = arg.integer(1..=2_147_483_647)?;
    if number > MOST_RETRIES {
        arg.warn(format!("at most {MOST_RETRIES} further tries are made"));
    }
    Some(number.min(MOST_RETRIES))
}

/// The statuses of `statuses` and of `series`; the one does not take the place of
/// the other.
fn statuses(args: &ScgArgs<'_>) -> Option<Vec<(StatusCode, StatusCode)>> {
    let mut ranges = Vec::new();
    let mut is_legal = true;
    for arg in args.list("statuses") {
        match status::read(&arg) {
            Some(status) => ranges.push((status, status)),
            None => is_legal = false,
        }
    }
    let given = args.list("series");
    let mut series: Vec<u16> = Vec::new();
    for arg in &given {
        match arg.one_of(SERIES) {
            Some(hundreds) => series.push(hundreds),
            None => is_legal = false,
        }
    }
    // An empty text is an empty list.
    if given.is_empty() && args.get("series").is_none() {
        series.push(5);
    }
    for hundreds in series {
        let range = |number| StatusCode::from_u16(number).ok();
        ranges.extend(range(hundreds * 100).zip(range(hundreds * 100 + 99)));
    }
    is_legal.then_some(ranges)
}

/// Methods are compared as they are written: `get` is none that a client sends.
fn methods(args: &ScgArgs<'_>) -> Option<Vec<Method>> {
    let given = args.list("methods");
    if given.is_empty() {
        return Some(vec![Method::GET]);
    }
    let read = |arg: &ScgArg<'_>| {
        let method = Method::from_bytes(arg.text().as_bytes()).ok();
        if method.is_none() {
            arg.fault_expected(
                format!("{} is not a method", arg.quoted()),
                "GET, POST and the like",
            );
        } else if arg.text().bytes().any(|byte| byte.is_ascii_lowercase()) {
            arg.warn(format!(
                "{} matches no request: methods have capitals",
                arg.quoted()
            ));
        }
        method
    };
    let methods: Vec<_> = given.iter().filter_map(read).collect();
    (methods.len() == given.len()).then_some(methods)
}

/// Whether connections that ended, and answers that did not come in time, are
/// followed by another try.
fn exceptions(args: &ScgArgs<'_>) -> (bool, bool) {
    let given = args.list("exceptions");
    if given.is_empty() {
        let is_default = args.get("exceptions").is_none();
        return (is_default, is_default);
    }
    let (mut io, mut timeout) = (false, false);
    for arg in given {
        let (_, class) = arg.text().rsplit_once('.').unwrap_or(("", arg.text()));
        let stands_for = match class {
            "IOException" | "ConnectException" | "SocketException" | "PrematureCloseException" => {
                Exception::Io
            }
            "TimeoutException" | "ReadTimeoutException" | "ResponseStatusException" => {
                Exception::Timeout
            }
            "Exception" | "Throwable" => Exception::Both,
            _ => {
                arg.warn(format!(
                    "{} happens only in Java: nothing is tried again for it",
                    arg.quoted()
                ));
                continue;
            }
        };
        io |= stands_for != Exception::Timeout;
        timeout |= stands_for != Exception::Io;
    }
    (io, timeout)
}

fn backoff(args: &ScgArgs<'_>) -> Option<Option<Backoff>> {
    let first = args.get("backoff.firstBackoff");
    let max = args.get("backoff.maxBackoff");
    let factor = args.get("backoff.factor");
    // Without jitter both ways to reckon give the same.
    let based = args.get("backoff.basedOnPreviousValue");
    let jitter = args.get("jitter.randomFactor");
    if let Some(based) = &based {
        based.boolean()?;
    }
    let is_given = [&first, &max, &factor, &based]
        .iter()
        .any(|arg| arg.is_some());
    let backoff = Backoff {
        first: match first {
            Some(first) => first.duration()?,
            None => Duration::from_millis(5),
        },
        max: match max {
            Some(max) => Some(max.duration()?),
            None => None,
        },
        factor: match factor {
            Some(factor) => factor.integer(1..=100)?,
            None => 2,
        },
        jitter: match jitter {
            Some(jitter) => jitter.number(0.0..=1.0)?,
            None => 0.0,
        },
    };
    Some(is_given.then_some(backoff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::steps;

    fn retry(args: &str) -> Retry {
        let (mut steps, _) = steps("Retry", args, &[]).expect(args);
        match steps.pop() {
            Some(Step::Rule(Rule::Retry(retry))) => retry,
            other => panic!("not a rule: {other:?}"),
        }
    }

    #[test]
    fn answers_are_rejected_by_status_series_and_method() {
        for (args, method, status, is_rejected) in [
            ("3", "GET", 500, true),
            ("3", "GET", 404, false),
            ("3", "POST", 500, false),
            ("3", "HEAD", 500, false),
            ("~", "GET", 503, true),
            (
                "{ statuses: 'BAD_GATEWAY,SERVICE_UNAVAILABLE', methods: 'GET,POST' }",
                "POST",
                503,
                true,
            ),
            (
                "{ statuses: [BAD_GATEWAY], methods: [GET, POST] }",
                "GET",
                500,
                true,
            ),
            ("{ series: CLIENT_ERROR }", "GET", 404, true),
            ("{ series: CLIENT_ERROR }", "GET", 500, false),
            ("{ series: [SERVER_ERROR, CLIENT_ERROR] }", "GET", 404, true),
            ("{ statuses: NOT_FOUND, series: '' }", "GET", 404, true),
            ("{ statuses: NOT_FOUND, series: '' }", "GET", 500, false),
            ("{ statuses: bad-gateway, series: '' }", "GET", 502, true),
            ("{ methods: 'get,post' }", "GET", 500, false),
        ] {
            let method: Method = method.parse().expect("a method");
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(
                retry(args).rejects(&method, status),
                is_rejected,
                "{args}: {method} {status}"
            );
        }
    }

    #[test]
    fn pauses_are_those_of_the_arguments() {
        let ms = Duration::from_millis;
        for args in [
            "2,BAD_GATEWAY,GET,10ms,50ms,2,false",
            "{ retries: 2, backoff: { first-backoff: 10ms, max-backoff: 50ms } }",
            "{ retries: 2, backoff.firstBackoff: 10, backoff.maxBackoff: 50ms, backoff.factor: 2, backoff.basedOnPreviousValue: true }",
        ] {
            let retry = retry(args);
            let backoff = retry.backoff.expect("a pause");
            assert_eq!(
                (retry.retries, backoff.first, backoff.max),
                (2, ms(10), Some(ms(50))),
                "{args}"
            );
        }
        assert_eq!(retry("2").backoff, None);
        let jittered =
            retry("{ backoff: { firstBackoff: 1s }, jitter.randomFactor: 0.5, timeout: 3s }");
        assert_eq!(jittered.backoff.expect("a pause").jitter, 0.5);
        assert_eq!(jittered.within, Some(Duration::from_secs(3)));
    }

    #[test]
    fn exceptions_stand_for_what_happens_here() {
        for (args, resets, timeouts) in [
            ("~", true, true),
            ("{ exceptions: java.io.IOException }", true, false),
            (
                "{ exceptions: [org.springframework.cloud.gateway.support.TimeoutException] }",
                false,
                true,
            ),
            (
                "{ exceptions: java.lang.IllegalStateException }",
                false,
                false,
            ),
            ("{ exceptions: java.lang.Throwable }", true, true),
            ("{ exceptions: '' }", false, false),
        ] {
            let retry = retry(args);
            assert_eq!((retry.resets, retry.timeouts), (resets, timeouts), "{args}");
        }
    }

    #[test]
    fn what_spring_does_not_start_with_is_refused() {
        for (args, problem) in [
            ("0", "from 1 to"),
            ("-1", "from 1 to"),
            ("'2,,GET'", "is not a status"),
            ("{ series: BOGUS }", "SERVER_ERROR"),
            ("{ backoff: { firstBackoff: abc } }", "a duration"),
            ("{ methods: 'a b' }", "is not a method"),
        ] {
            let error = steps("Retry", args, &[]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
        let (_, warnings) = steps("Retry", "1000", &[]).expect("bounded");
        assert!(warnings.contains("at most 20"), "{warnings}");
    }
}
