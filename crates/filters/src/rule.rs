//! Rules: how a filter wants the request to be sent.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::{CircuitBreaker, ErrorShape, Priority};

/// A filter that changes no head by itself, but how the request is sent.
///
/// The last of a kind in a chain counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// The endpoint gets the Host header as the steps left it, and not its own
    /// name.
    PreserveHost,
    /// What is tried again.
    Retry(Retry),
    /// A step of the route answers preflights of CORS, so that the route takes one
    /// where it takes the request that the preflight asks about.
    Preflights,
    /// How much its requests matter.
    Priority(Priority),
    /// A call of gRPC-Web is sent as one of gRPC, and answered in its own form.
    /// That is the last of all on the request's way, and the first on the
    /// response's.
    GrpcWeb,
    /// What the gateway's own errors of the route look like.
    Errors(ErrorShape),
}

/// When a request is sent again, beyond what is always safe.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// How many more tries there may be after the first.
    pub retries: u32,
    /// The answers that count as failures, by their status: ranges, both ends
    /// included.
    pub statuses: Vec<(StatusCode, StatusCode)>,
    /// The methods of requests that may be sent again although an endpoint may
    /// have acted on them; `None` is those that are idempotent.
    pub methods: Option<Vec<Method>>,
    /// Whether a connection that ended without an answer is followed by another
    /// try.
    pub resets: bool,
    /// Whether an answer that did not come in time is. Each try has the whole
    /// time then.
    pub timeouts: bool,
    /// Whether the same endpoint is asked again if there is no other. After a failed
    /// connect this is so only with `resets`.
    pub returns: bool,
    /// How long after the request's beginning another try may begin; `None`: until the
    /// deadline.
    pub within: Option<Duration>,
    /// The pause before each further try; `None` is none.
    pub backoff: Option<Backoff>,
    /// How long one try may take for its answer, within the time of all of them;
    /// `None` is as long as that.
    pub per_try: Option<Duration>,
    /// Whether an answer that says when to try again (`Retry-After`, RFC 9110
    /// section 10.2.3) is followed by another try then and not before.
    pub obeys_retry_after: bool,
    /// Whether another endpoint is asked too while one takes its time.
    pub hedge: Option<Hedge>,
}

/// When another endpoint is asked too (gRFC A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// After how long without an answer.
    pub after: Duration,
    /// How many more may be asked at once.
    pub max: u32,
}

impl Retry {
    /// No answer counts as a failure: a request is tried again only if no answer came.
    pub fn without_answers(retries: u32) -> Retry {
        Retry {
            retries,
            statuses: Vec::new(),
            methods: None,
            resets: true,
            timeouts: false,
            returns: false,
            within: None,
            backoff: None,
            per_try: None,
            obeys_retry_after: true,
            hedge: None,
        }
    }

    /// Whether a request of this method may be sent again although an endpoint may
    /// have acted on it.
    pub fn repeats(&self, method: &Method) -> bool {
        match &self.methods {
            Some(methods) => methods.contains(method),
            None => method.is_idempotent(),
        }
    }

    /// A circuit breaker stands behind it, so that each try passes the breaker, as in
    /// Spring Cloud Gateway. Answers that the breaker counts as failures are not tried
    /// again, and neither is a failure that a fallback replaces.
    pub fn is_around(&mut self, breaker: &CircuitBreaker) {
        for status in &breaker.statuses {
            self.statuses = without(&self.statuses, *status);
        }
        if breaker.fallback.is_some() {
            self.resets = false;
            self.timeouts = false;
        }
    }

    /// Whether an answer of this status to a request of this method is asked for
    /// again.
    pub fn rejects(&self, method: &Method, status: StatusCode) -> bool {
        let mut ranges = self.statuses.iter();
        ranges.any(|(from, to)| (from..=to).contains(&&status)) && self.repeats(method)
    }
}

/// Ranges without one status.
fn without(
    ranges: &[(StatusCode, StatusCode)],
    status: StatusCode,
) -> Vec<(StatusCode, StatusCode)> {
    let code = |number| StatusCode::from_u16(number).ok();
    let parts = ranges.iter().flat_map(|(from, to)| {
        if !(from..=to).contains(&&status) {
            return [Some((*from, *to)), None];
        }
        let below = code(status.as_u16() - 1).filter(|below| below >= from);
        let above = code(status.as_u16() + 1).filter(|above| above <= to);
        [
            below.map(|below| (*from, below)),
            above.map(|above| (above, *to)),
        ]
    });
    parts.flatten().collect()
}

/// Pauses that grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The pause before the first further try.
    pub first: Duration,
    /// The longest pause; `None` is no bound but the request's deadline.
    pub max: Option<Duration>,
    /// Each pause is so many times as long as the one before.
    pub factor: u32,
    /// The share of a pause, from 0 to 1, that it may be longer or shorter by.
    pub jitter: f64,
}

impl Backoff {
    /// The pause before the further try of that number, which begins at 0.
    /// `draw` is a random number from 0 to 1.
    pub fn pause(&self, number: u32, draw: f64) -> Duration {
        let times = self.factor.saturating_pow(number);
        let pause = self.bounded(self.first.saturating_mul(times));
        let share = 1.0 + self.jitter * (2.0 * draw - 1.0);
        let jittered = Duration::try_from_secs_f64(pause.as_secs_f64() * share.max(0.0));
        self.bounded(jittered.unwrap_or(pause))
    }

    fn bounded(&self, pause: Duration) -> Duration {
        self.max.map_or(pause, |max| pause.min(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound() {
        let backoff = Backoff {
            first: Duration::from_millis(5),
            max: Some(Duration::from_millis(18)),
            factor: 2,
            jitter: 0.0,
        };
        let pauses: Vec<_> = (0..4)
            .map(|number| backoff.pause(number, 0.3).as_millis())
            .collect();
        assert_eq!(pauses, [5, 10, 18, 18]);
        assert_eq!(backoff.pause(u32::MAX, 0.3).as_millis(), 18);
    }

    #[test]
    fn a_pause_is_jittered_within_its_bound() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            max: Some(Duration::from_millis(140)),
            factor: 2,
            jitter: 0.5,
        };
        let pauses = [0.0, 0.5, 1.0].map(|draw| backoff.pause(0, draw).as_millis());
        assert_eq!(pauses, [50, 100, 140]);
    }

    #[test]
    fn a_status_is_taken_out_of_ranges() {
        let status = |number| StatusCode::from_u16(number).expect("a status");
        let ranges = |all: &[(u16, u16)]| -> Vec<_> {
            let range = |(from, to): &(u16, u16)| (status(*from), status(*to));
            all.iter().map(range).collect()
        };
        type Case = (&'static [(u16, u16)], u16, &'static [(u16, u16)]);
        let cases: [Case; 7] = [
            (&[(500, 599)], 500, &[(501, 599)]),
            (&[(500, 599)], 502, &[(500, 501), (503, 599)]),
            (&[(500, 599)], 599, &[(500, 598)]),
            (&[(500, 599)], 404, &[(500, 599)]),
            (&[(404, 404), (404, 500)], 404, &[(405, 500)]),
            (&[(100, 199), (999, 999)], 100, &[(101, 199), (999, 999)]),
            (&[(999, 999)], 999, &[]),
        ];
        for (given, taken, left) in cases {
            assert_eq!(
                without(&ranges(given), status(taken)),
                ranges(left),
                "{given:?} without {taken}"
            );
        }
    }

    #[test]
    fn an_answer_is_a_failure_by_status_and_method() {
        let retry = Retry {
            statuses: vec![(StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY)],
            methods: Some(vec![Method::GET]),
            ..Retry::without_answers(3)
        };
        for (method, status, rejected) in [
            (Method::GET, 500, true),
            (Method::GET, 502, true),
            (Method::GET, 503, false),
            (Method::GET, 200, false),
            (Method::POST, 500, false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(
                retry.rejects(&method, status),
                rejected,
                "{method} {status}"
            );
        }
        assert!(!Retry::without_answers(3).rejects(&Method::GET, StatusCode::BAD_GATEWAY));
    }
}
