//! Refuses requests beyond a rate, by key.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pailou_config::Field;

use crate::limit::{Buckets, Judgement, Rate};
use crate::limit_key::{EXPECTED, LimitKey};
use crate::{Answer, Change, Edit, Next, Problem, RequestHead, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::edit(
    "rate_limit",
    "{ key: client_address, requests: 100, per: 1s, burst: 200 }",
    "Lets so many requests pass in that time, by key: `client_address`, `header:NAME`, `cookie:NAME`, `query:NAME`, `claim:NAME` (of a `jwt` before it), `host`, `path` or `route`; more at once up to `burst`. Beyond it 429 with `Retry-After`. Each gateway counts for itself.",
    compile,
);

/// The fields of draft-ietf-httpapi-ratelimit-headers.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const PROBLEM: Problem = Problem {
    cause: "rate_limited",
    detail: "this client has sent more requests than the route allows",
};

/// A request without the key, such as one without the header, shares a bucket with all others of its kind.
///
/// Cost per request: one look-up under the lock of one of sixteen shards, and two header values.
#[derive(Debug)]
struct RateLimit {
    key: LimitKey,
    buckets: Buckets,
    policy: HeaderValue,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    const PERIODS: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
    let mut fields = field.mapping()?;
    let key = fields.required("key").and_then(|field| {
        let key = LimitKey::parse(&field.string()?).filter(|key| *key != LimitKey::Principal);
        if key.is_none() {
            field.fault_expected("not a key", EXPECTED);
        }
        key
    });
    let requests = fields
        .required("requests")
        .and_then(|field| field.integer(1..=1 << 32));
    let per = match fields.optional("per") {
        Some(per) => per.duration(PERIODS),
        None => Some(Duration::from_secs(1)),
    };
    let burst = match fields.optional("burst") {
        Some(burst) => burst.integer(1..=1 << 32),
        None => requests,
    };
    fields.finish();
    let (requests, per, burst) = (requests? as f64, per?, burst?);
    let rate = Rate {
        per_second: requests / per.as_secs_f64(),
        burst: burst as f64,
    };
    let window = per.as_secs_f64().ceil();
    let policy = format!("\"route\";q={requests};w={window}");
    Some(Box::new(RateLimit {
        key: key?,
        buckets: Buckets::new(rate),
        policy: HeaderValue::try_from(policy).ok()?,
    }))
}

impl RateLimit {
    fn left(judged: &Judgement) -> Option<HeaderValue> {
        let wait = judged.wait.as_secs_f64().ceil();
        HeaderValue::try_from(format!("\"route\";r={};t={wait}", judged.left.floor())).ok()
    }
}

impl Edit for RateLimit {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if head.effects.is_rehearsal {
            return Next::Continue;
        }
        let judged = {
            let key = self.key.of(head).unwrap_or_default();
            self.buckets.take(&key, 1.0, Instant::now())
        };
        let left = Self::left(&judged);
        if judged.is_allowed {
            let changes = left.map(|left| Change::Set(LIMIT, left));
            head.effects.response.extend(changes);
            return Next::Continue;
        }
        let mut headers = HeaderMap::new();
        // A whole second at least, so that no client comes back at once.
        let seconds = judged.wait.as_secs_f64().ceil().max(1.0) as u64;
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        headers.insert(POLICY, self.policy.clone());
        headers.extend(left.map(|left| (LIMIT, left)));
        Next::Answer(Box::new(Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers,
            problem: Some(PROBLEM),
            ..Answer::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::{compiled, request_head};

    #[test]
    fn a_key_gets_its_burst_and_is_told_when_to_come_back() {
        let edit = compiled(
            "rate_limit",
            "{ key: 'header:x-key', requests: 6, per: 1m, burst: 2 }",
        )
        .expect("legal");
        let ask = |key: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(key) = key {
                headers.insert("x-key", key.parse().expect("a value"));
            }
            let mut head = request_head("/", &mut headers);
            edit.request(&mut head)
        };
        for _ in 0..2 {
            assert!(matches!(ask(Some("a")), Next::Continue));
        }
        let Next::Answer(answer) = ask(Some("a")) else {
            panic!("beyond the burst");
        };
        assert_eq!(
            (answer.status.as_u16(), answer.problem),
            (429, Some(PROBLEM))
        );
        assert_eq!(answer.headers["retry-after"], "10");
        assert_eq!(answer.headers["ratelimit-policy"], "\"route\";q=6;w=60");
        assert_eq!(answer.headers["ratelimit"], "\"route\";r=0;t=10");
        assert!(matches!(ask(Some("b")), Next::Continue));
        // Those without a key are one.
        for expected in [true, true, false] {
            assert_eq!(matches!(ask(None), Next::Continue), expected);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for (args, problem) in [
            ("{ requests: 1 }", "`key` is missing"),
            ("{ key: host }", "`requests` is missing"),
            ("{ key: ip, requests: 1 }", "client_address"),
            ("{ key: principal, requests: 1 }", "client_address"),
            ("{ key: host, requests: 0 }", "0"),
            ("{ key: host, requests: 1, burst: 0 }", "0"),
            ("{ key: host, requests: 1, rate: 1 }", "unknown key"),
        ] {
            let error = compiled("rate_limit", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
