//! `RequestRateLimiter`: a token bucket for each key.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pailou_config::{ScgArg, ScgArgs, ScgKeys, Shortcut};

use super::{bucket4j, edit, status};
use crate::limit::{Buckets, Rate};
use crate::limit_key::{EXPECTED, LimitKey};
use crate::shared_buckets::{Layout, SharedBuckets, Word};
use crate::{
    Answer, Ask, AskError, Change, Edit, Gate, Next, RequestHead, Scope, Step, Waiting,
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RequestRateLimiter",
    "key-resolver, redis-rate-limiter.replenishRate, redis-rate-limiter.burstCapacity (1), redis-rate-limiter.requestedTokens (1), deny-empty-key (true), empty-key-status (403), status-code (429)",
    "Refuses requests beyond a rate, by key, with Spring's `X-RateLimit-*` headers. It counts in Redis, in the buckets of Spring Cloud Gateway itself, where `redis` is set in gateway.yaml; else each gateway counts for itself.",
    Shortcut::Fields(&[]),
    compile,
);

const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const REQUESTED: HeaderName = HeaderName::from_static("x-ratelimit-requested-tokens");
const BURST: HeaderName = HeaderName::from_static("x-ratelimit-burst-capacity");
const REPLENISH: HeaderName = HeaderName::from_static("x-ratelimit-replenish-rate");

/// Numbers beyond this are no limit.
const MOST: u64 = 1 << 40;

/// What is counted, and what is said of it.
#[derive(Debug)]
struct Limiter {
    key: LimitKey,
    tokens: u32,
    replenish: u64,
    burst: u64,
    denies_empty_key: bool,
    empty_key_status: StatusCode,
    refused: StatusCode,
}

/// Counts by itself.
#[derive(Debug)]
struct Local {
    limiter: Limiter,
    buckets: Buckets,
}

/// Counts in the buckets of Spring Cloud Gateway.
#[derive(Debug)]
struct Global {
    limiter: Limiter,
    buckets: SharedBuckets,
    /// What the names of its buckets begin with, in front of the key: the route's id and a dot, if anything.
    route: String,
}

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    bucket4j::refuse(args)?;
    let limiter = limiter(args, scope)?;
    let Some(redis) = scope.shared.redis() else {
        args.whole()
            .warn("each gateway counts for itself, so that several let through more in all: there is no `redis` in gateway.yaml");
        let rate = Rate {
            per_second: limiter.replenish as f64,
            burst: limiter.burst as f64,
        };
        let buckets = Buckets::new(rate);
        return edit(Local { limiter, buckets });
    };
    let layout = Layout::Scg {
        replenish: limiter.replenish,
        tokens: limiter.tokens,
    };
    let settings = redis.settings();
    let metrics = scope.shared.metrics().limit(scope.route);
    let buckets = SharedBuckets::new(
        redis.clone(),
        layout,
        limiter.burst,
        settings.on_failure,
        metrics,
    );
    let route = match settings.scg_keys {
        ScgKeys::Route => format!("{}.", scope.route),
        ScgKeys::Key => String::new(),
    };
    Some(vec![Step::Gate(Box::new(Global {
        limiter,
        buckets,
        route,
    }))])
}

fn limiter(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Limiter> {
    let key = match args.get("key-resolver") {
        Some(key) => key_of(&key, scope)?,
        None => {
            args.whole().warn(
                "no key-resolver: Spring takes the user's name, which is not known here, so that every request is refused",
            );
            LimitKey::Principal
        }
    };
    let number = |name: &str| args.get(name).map(|arg| arg.integer(0..=MOST));
    let replenish = match args.required("redis-rate-limiter.replenishRate") {
        Some(rate) => rate.integer(1..=MOST),
        None => None,
    };
    let burst = number("redis-rate-limiter.burstCapacity").unwrap_or(Some(1));
    let tokens = match args.get("redis-rate-limiter.requestedTokens") {
        Some(tokens) => tokens.integer(1..=u32::MAX),
        None => Some(1),
    };
    let status_of = |name: &str, usual: StatusCode| match args.get(name) {
        Some(arg) => status::read(&arg),
        None => Some(usual),
    };
    let empty_key_status = status_of("empty-key-status", StatusCode::FORBIDDEN);
    let refused = status_of("status-code", StatusCode::TOO_MANY_REQUESTS);
    let denies_empty_key = match args.get("deny-empty-key") {
        Some(deny) => deny.boolean(),
        None => Some(true),
    };
    // Both choose among beans; there is one limiter here, and it answers.
    for name in ["rate-limiter", "throw-on-limit"] {
        if let Some(arg) = args.get(name) {
            arg.warn("is not read: the limiter is this gateway's own, and it answers by itself");
        }
    }
    Some(Limiter {
        key,
        replenish: replenish?,
        burst: burst?,
        tokens: tokens?,
        denies_empty_key: denies_empty_key?,
        empty_key_status: empty_key_status?,
        refused: refused?,
    })
}

fn key_of(arg: &ScgArg<'_>, scope: &Scope<'_>) -> Option<LimitKey> {
    let key = LimitKey::parse(arg.text(), scope.service);
    if key.is_none() {
        arg.fault_expected(
            arg.quoted(),
            format!("a bean of scg.beans in gateway.yaml that means {EXPECTED}"),
        );
    }
    key
}

impl Limiter {
    /// What becomes of a request without a key.
    fn keyless(&self) -> Next {
        match self.denies_empty_key {
            true => Limiter::refuse(self.empty_key_status, HeaderMap::new()),
            false => Next::Continue,
        }
    }

    /// Lets the request go on, or refuses it. What is left is -1 where nobody has counted it, as Spring says.
    fn conclude(&self, head: &mut RequestHead<'_>, is_allowed: bool, left: i64) -> Next {
        let headers = [
            (REMAINING, HeaderValue::from(left)),
            (REQUESTED, HeaderValue::from(self.tokens)),
            (BURST, HeaderValue::from(self.burst)),
            (REPLENISH, HeaderValue::from(self.replenish)),
        ];
        if !is_allowed {
            return Limiter::refuse(self.refused, headers.into_iter().collect());
        }
        let changes = headers.map(|(name, value)| Change::Set(name, value));
        head.effects.response.extend(changes);
        Next::Continue
    }

    fn refuse(status: StatusCode, headers: HeaderMap) -> Next {
        Next::Answer(Box::new(Answer {
            status,
            headers,
            ..Answer::default()
        }))
    }
}

impl Edit for Local {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if head.effects.is_rehearsal {
            return Next::Continue;
        }
        let limiter = &self.limiter;
        let Some(key) = limiter.key.of(head) else {
            return limiter.keyless();
        };
        let tokens = f64::from(limiter.tokens);
        let judged = self.buckets.take(&key, tokens, Instant::now());
        drop(key);
        limiter.conclude(head, judged.is_allowed, judged.left as i64)
    }

    fn acts_each_try(&self) -> bool {
        true
    }
}

impl Global {
    fn conclude(&self, head: &mut RequestHead<'_>, word: Word) -> Result<Next, AskError> {
        let (is_allowed, left) = match word {
            Word::Judged(judged) => (judged.is_allowed, judged.left as i64),
            Word::Uncounted { is_allowed: true } => (true, -1),
            Word::Uncounted { is_allowed: false } => return Err(AskError::Broken),
        };
        Ok(self.limiter.conclude(head, is_allowed, left))
    }
}

impl Gate for Global {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        if head.effects.is_rehearsal {
            return None;
        }
        let word = match self.limiter.key.text_of(head) {
            None => return Some(self.limiter.keyless()),
            Some(key) => self.buckets.take_at_once(&key)?,
        };
        self.conclude(head, word).ok()
    }

    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        _ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        let key = self
            .limiter
            .key
            .text_of(head)
            .unwrap_or_default()
            .into_owned();
        let name = |what: &str| {
            let parts = [
                &b"request_rate_limiter.{"[..],
                self.route.as_bytes(),
                key.as_slice(),
                what.as_bytes(),
            ];
            parts.concat()
        };
        let names = [name("}.tokens"), name("}.timestamp")];
        Box::pin(async move {
            let [tokens, timestamp] = &names;
            let word = self.buckets.take(&key, &[tokens, timestamp]).await;
            self.conclude(head, word)
        })
    }

    fn timeout(&self) -> Duration {
        // It keeps its time by itself, and has a policy for when that is over.
        self.buckets.timeout() * 2
    }

    fn purpose(&self) -> String {
        "asks Redis".to_owned()
    }

    fn acts_each_try(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::scg::testing::{bound, edit, headers, send};

    const ARGS: &str = "{ redis-rate-limiter.replenishRate: 1, redis-rate-limiter.burst-capacity: 2, key-resolver: 'header:x-key'";

    fn status(step: &dyn Edit, fields: HeaderMap) -> u16 {
        match send(step, &bound(&[]), "/", fields).next {
            Next::Continue => 200,
            Next::Refuse(refusal) => panic!("{refusal:?}"),
            Next::Answer(answer) => answer.status.as_u16(),
        }
    }

    #[test]
    fn a_key_has_its_burst_and_is_refused_then() {
        let step = edit("RequestRateLimiter", &format!("{ARGS} }}"), &[]).expect("legal");
        for (key, expected) in [("a", 200), ("a", 200), ("a", 429), ("b", 200)] {
            assert_eq!(
                status(&*step, headers(&[("x-key", key)])),
                expected,
                "{key}"
            );
        }
        assert_eq!(status(&*step, headers(&[])), 403, "no key");
        let sent = send(&*step, &bound(&[]), "/", headers(&[("x-key", "a")]));
        let Next::Answer(answer) = sent.next else {
            panic!("it is refused");
        };
        for (name, value) in [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-burst-capacity", "2"),
            ("x-ratelimit-replenish-rate", "1"),
            ("x-ratelimit-requested-tokens", "1"),
        ] {
            assert_eq!(answer.headers[name], value);
        }
    }

    #[test]
    fn what_happens_without_a_key_and_beyond_the_rate_is_set() {
        let args = format!("{ARGS}, deny-empty-key: false }}");
        let step = edit("RequestRateLimiter", &args, &[]).expect("legal");
        assert_eq!(status(&*step, headers(&[])), 200);
        let args = format!("{ARGS}, empty-key-status: UNAUTHORIZED, status-code: 503 }}");
        let step = edit("RequestRateLimiter", &args, &[]).expect("legal");
        assert_eq!(status(&*step, headers(&[])), 401);
        let keyed = || headers(&[("x-key", "a")]);
        let statuses: Vec<_> = (0..3).map(|_| status(&*step, keyed())).collect();
        assert_eq!(statuses, [200, 200, 503]);
    }

    #[test]
    fn bucket4j_is_refused_with_the_cure() {
        let args = "{ bucket4j-rate-limiter.capacity: 10, bucket4j-rate-limiter: { refillPeriod: 1s }, key-resolver: host }";
        let error = edit("RequestRateLimiter", args, &[]).expect_err("Bucket4j");
        assert!(
            error.contains("Bucket4j") && error.contains("`rate_limit`"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for args in [
            "~",
            "{ key-resolver: client_address }",
            "{ redis-rate-limiter.replenishRate: 0, key-resolver: host }",
            "{ redis-rate-limiter.replenishRate: x, key-resolver: host }",
            "{ redis-rate-limiter.replenishRate: 1, key-resolver: '#{@nobody}' }",
            "{ redis-rate-limiter.replenishRate: 1, redis-rate-limiter.requestedTokens: 0, key-resolver: host }",
        ] {
            edit("RequestRateLimiter", args, &[]).expect_err(args);
        }
    }
}
