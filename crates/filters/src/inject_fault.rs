//! Makes faults on purpose, so that callers can be seen to cope.

use std::time::Duration;

use http::{HeaderName, StatusCode};
use pailou_config::Field;

use crate::{
    Ask, AskError, Gate, Next, Refusal, RequestHead, Scope, Step, Waiting, percent::Share,
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::steps(
    "inject_fault",
    "{ percent: 10, delay: 2s, abort: 503, header: x-inject-fault }",
    "Holds so many of a hundred requests back for `delay`, and then answers them with the status `abort` (`fault_injected`); one of the two is enough. With `header` only requests that have it.",
    compile,
);

const DELAYS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(600);

/// What Envoy's and Istio's fault filters do.
#[derive(Debug)]
struct InjectFault {
    share: Share,
    delay: Option<Duration>,
    abort: Option<StatusCode>,
    header: Option<HeaderName>,
}

fn compile(field: &Field<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let share = Share::read(&mut fields, "percent", Share::ALL);
    let delay = fields.optional("delay").map(|delay| delay.duration(DELAYS));
    let abort = fields.optional("abort").map(|abort| {
        let code = abort.integer(400..=599)?;
        StatusCode::from_u16(code as u16).ok()
    });
    let header = fields
        .optional("header")
        .map(|header| header.parse("the name of a header"));
    fields.finish();
    if delay.is_none() && abort.is_none() {
        field.fault_expected("no fault", "`delay`, `abort`, or both");
    }
    let fault = InjectFault {
        share: share?,
        delay: asked_for(delay)?,
        abort: asked_for(abort)?,
        header: asked_for(header)?,
    };
    Some(vec![Step::Gate(Box::new(fault))])
}

/// A key that was left out is right; one that could not be read is not.
fn asked_for<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

impl InjectFault {
    fn hits(&self, head: &RequestHead<'_>) -> bool {
        let is_meant = |name: &HeaderName| head.headers.contains_key(name);
        self.header.as_ref().is_none_or(is_meant) && self.share.hits()
    }

    fn abort(&self) -> Next {
        match self.abort {
            Some(status) => Next::Refuse(Refusal::Injected(status)),
            None => Next::Continue,
        }
    }
}

impl Gate for InjectFault {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        if head.effects.is_rehearsal {
            return None;
        }
        match (self.hits(head), self.delay) {
            (false, _) => Some(Next::Continue),
            (true, None) => Some(self.abort()),
            (true, Some(_)) => None,
        }
    }

    fn request<'a>(
        &'a self,
        _head: &'a mut RequestHead<'_>,
        _ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        Box::pin(async move {
            tokio::time::sleep(self.delay.unwrap_or_default()).await;
            Ok(self.abort())
        })
    }

    fn timeout(&self) -> Duration {
        self.delay.unwrap_or_default() + Duration::from_secs(1)
    }

    fn purpose(&self) -> String {
        "may make a fault".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::registry::tests::{request_head, step};

    fn gate(args: &str) -> Box<dyn Gate> {
        match step("inject_fault", args).expect(args) {
            Step::Gate(gate) => gate,
            other => panic!("not a gate: {other:?}"),
        }
    }

    #[test]
    fn its_share_of_the_requests_that_are_meant_is_hit() {
        let hits = |args: &str, header: Option<&'static str>| {
            let gate = gate(args);
            let is_hit = |_: &i32| {
                let mut headers = HeaderMap::new();
                if let Some(name) = header {
                    headers.insert(name, HeaderValue::from_static("1"));
                }
                let next = gate.at_once(&mut request_head("/", &mut headers));
                matches!(next, Some(Next::Refuse(Refusal::Injected(status))) if status == 503)
            };
            (0..2_000).filter(is_hit).count()
        };
        assert_eq!(hits("{ abort: 503 }", None), 2_000);
        assert_eq!(hits("{ percent: 0, abort: 503 }", None), 0);
        let half = hits("{ percent: 50, abort: 503 }", None);
        assert!((800..1_200).contains(&half), "{half}");
        let armed = "{ abort: 503, header: X-Fault }";
        assert_eq!(hits(armed, None), 0);
        assert_eq!(hits(armed, Some("x-fault")), 2_000);
    }

    struct Nobody;

    impl Ask for Nobody {
        fn ask<'a>(
            &'a self,
            _destination: &'a pailou_upstream::Destination,
            _request: http::Request<bytes::Bytes>,
            _max_bytes: usize,
        ) -> Waiting<'a, Result<http::Response<bytes::Bytes>, AskError>> {
            unreachable!("nobody is asked")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_comes_before_the_rest() {
        for (args, is_refused) in [
            ("{ delay: 2s }", false),
            ("{ delay: 2s, abort: 500 }", true),
        ] {
            let gate = gate(args);
            let mut headers = HeaderMap::new();
            let mut head = request_head("/", &mut headers);
            assert!(gate.at_once(&mut head).is_none(), "it waits");
            let began = tokio::time::Instant::now();
            let next = gate.request(&mut head, &Nobody).await.expect("a word");
            assert_eq!(began.elapsed(), Duration::from_secs(2));
            assert_eq!(matches!(next, Next::Refuse(_)), is_refused, "{args}");
        }
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for (args, problem) in [
            ("{}", "no fault"),
            ("{ abort: 200 }", "from 400 to 599"),
            ("{ delay: 1h }", "1h"),
            ("{ percent: 101, abort: 500 }", "from 0 to 100"),
            ("{ abort: 500, header: 'a b' }", "the name of a header"),
            ("{ abort: 500, when: x }", "unknown key"),
        ] {
            let error = step("inject_fault", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
