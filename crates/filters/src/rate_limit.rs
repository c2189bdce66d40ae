//! Refuses requests beyond a rate, by key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, header};
use pailou_config::{Field, Fields, OnFailure};
use pailou_telemetry::LimitMetrics;

use crate::limit::{Buckets, Judgement, Rate};
use crate::limit_key::LimitKeys;
use crate::shared_buckets::{Layout, SharedBuckets, Word};
use crate::{
    Ask, AskError, Change, Edit, Gate, Next, Refusal, RequestHead, Scope, Step, Waiting, digest,
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::steps(
    "rate_limit",
    "{ key: client_address, requests: 100, per: 1s, burst: 200, name: api, store: local, on_failure: local, shadow: false }",
    "Lets so many requests pass in that time, by key: `client_address`, `header:NAME`, `cookie:NAME`, `query:NAME`, `claim:NAME` (of a `jwt` before it), `host`, `path`, `route`, `service`, or a list of them; more at once up to `burst`. Beyond it 429 with `Retry-After`. Routes that give it one `name` count together. Each gateway counts for itself, or with `store: redis` all at one Redis together; `on_failure` says what is done without it: `local`, `open` or `closed`. `shadow` refuses nothing and only counts.",
    compile,
);

/// The fields of draft-ietf-httpapi-ratelimit-headers.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const PERIODS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// What is counted, and what is said of it.
///
/// A request without the key, such as one without the header, shares a bucket with all others of its kind.
#[derive(Debug)]
struct Limit {
    key: LimitKeys,
    policy: HeaderValue,
    is_shadow: bool,
    metrics: Arc<LimitMetrics>,
}

/// Counts by itself.
///
/// Cost per request: one look-up under the lock of one of sixteen shards, and two header values.
#[derive(Debug)]
struct Local {
    limit: Limit,
    buckets: Arc<Buckets>,
}

/// Counts with all gateways at one Redis.
///
/// Cost per request: as above while a lease lasts; else it waits for the answer of Redis, `redis.timeout` at most.
#[derive(Debug)]
struct Global {
    limit: Limit,
    buckets: SharedBuckets,
    /// What the keys of its buckets begin with.
    prefix: String,
}

/// How much is allowed, as it is written.
#[derive(Clone, Copy)]
struct Amount {
    requests: u64,
    per: Duration,
    burst: u64,
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let key = fields
        .required("key")
        .and_then(|field| LimitKeys::read(&field, scope.service));
    let amount = amount(&mut fields);
    let name = fields.optional("name").map(|name| name.string());
    let is_global = match fields.optional("store") {
        Some(store) => store.one_of(&[("local", false), ("redis", true)]),
        None => Some(false),
    };
    let on_failure = fields
        .optional("on_failure")
        .map(|policy| policy.one_of(OnFailure::WORDS));
    let is_shadow = match fields.optional("shadow") {
        Some(shadow) => shadow.boolean(),
        None => Some(false),
    };
    fields.finish();
    let (key, amount, is_global) = (key?, amount?, is_global?);
    let name = match name {
        Some(name) => name?,
        None => key.service().unwrap_or(scope.route).to_owned(),
    };
    let limit = Limit {
        policy: amount.policy()?,
        is_shadow: is_shadow?,
        metrics: scope.shared.metrics().limit(&name),
        key,
    };
    if !is_global {
        if on_failure.is_some() {
            field.fault_expected("`on_failure` without Redis", "`store: redis` too");
        }
        let key = amount.prefix("", &name, limit.key.written());
        let buckets = scope.shared.buckets(&key, amount.rate());
        return Some(vec![Step::Edit(Box::new(Local { limit, buckets }))]);
    }
    let Some(redis) = scope.shared.redis() else {
        field.fault_expected("there is no Redis", "`redis.servers` in gateway.yaml");
        return None;
    };
    let on_failure = on_failure.unwrap_or(Some(redis.settings().on_failure))?;
    let layout = Layout::Own {
        requests: amount.requests,
        per_ms: amount.per.as_millis() as u64,
    };
    let metrics = Arc::clone(&limit.metrics);
    Some(vec![Step::Gate(Box::new(Global {
        prefix: amount.prefix(&redis.settings().prefix, &name, limit.key.written()),
        buckets: SharedBuckets::new(redis.clone(), layout, amount.burst, on_failure, metrics),
        limit,
    }))])
}

fn amount(fields: &mut Fields<'_>) -> Option<Amount> {
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
    Some(Amount {
        requests: requests?,
        per: per?,
        burst: burst?,
    })
}

impl Amount {
    fn rate(self) -> Rate {
        Rate {
            per_second: self.requests as f64 / self.per.as_secs_f64(),
            burst: self.burst as f64,
        }
    }

    fn policy(self) -> Option<HeaderValue> {
        let window = self.per.as_secs_f64().ceil();
        HeaderValue::try_from(format!("\"route\";q={};w={window}", self.requests)).ok()
    }

    /// What the keys of buckets in Redis begin with. A limit that is set anew begins with full ones.
    fn prefix(self, prefix: &str, name: &str, key: &str) -> String {
        let Amount {
            requests,
            per,
            burst,
        } = self;
        format!(
            "{prefix}:rate_limit:{name}:{key}:{requests}/{}:{burst}:",
            per.as_millis()
        )
    }
}

impl Limit {
    /// Lets the request go on, or refuses it.
    fn conclude(&self, head: &mut RequestHead<'_>, judged: &Judgement) -> Next {
        if self.is_shadow {
            if !judged.is_allowed {
                self.metrics.shadowed();
            }
            return Next::Continue;
        }
        let changes = &mut head.effects.response;
        let wait = judged.wait.as_secs_f64().ceil();
        let left = format!("\"route\";r={};t={wait}", judged.left.floor());
        let left = HeaderValue::try_from(left).ok();
        changes.extend(left.map(|left| Change::Set(LIMIT, left)));
        if judged.is_allowed {
            return Next::Continue;
        }
        // A whole second at least, so that no client comes back at once.
        changes.push(Change::Set(
            header::RETRY_AFTER,
            HeaderValue::from(wait.max(1.0) as u64),
        ));
        changes.push(Change::Set(POLICY, self.policy.clone()));
        Next::Refuse(Refusal::Rate)
    }
}

impl Edit for Local {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if head.effects.is_rehearsal {
            return Next::Continue;
        }
        let key = self.limit.key.of(head);
        let judged = self.buckets.take(&key, 1.0, Instant::now());
        drop(key);
        self.limit.conclude(head, &judged)
    }
}

impl Global {
    fn conclude(&self, head: &mut RequestHead<'_>, word: Word) -> Result<Next, AskError> {
        match word {
            Word::Judged(judged) => Ok(self.limit.conclude(head, &judged)),
            Word::Uncounted { is_allowed: false } if !self.limit.is_shadow => Err(AskError::Broken),
            Word::Uncounted { .. } => Ok(Next::Continue),
        }
    }
}

impl Gate for Global {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        if head.effects.is_rehearsal {
            return None;
        }
        let word = self.buckets.take_at_once(&self.limit.key.of(head))?;
        self.conclude(head, word).ok()
    }

    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        _ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        let key = self.limit.key.of(head).into_owned();
        // What clients send stands in Redis as a hash: it may be a password, and it may be long.
        let name = format!("{}{}", self.prefix, digest::short(&key));
        Box::pin(async move {
            let word = self.buckets.take(&key, &[name.as_bytes()]).await;
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
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::{compiled, request_head, step};

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
            let next = edit.request(&mut head);
            let mut response = HeaderMap::new();
            let changes = head.effects.response;
            changes
                .iter()
                .for_each(|change| change.apply(&mut response));
            (matches!(next, Next::Continue), response)
        };
        for _ in 0..2 {
            assert!(ask(Some("a")).0);
        }
        let (passes, response) = ask(Some("a"));
        assert!(!passes, "beyond the burst");
        assert_eq!(response["retry-after"], "10");
        assert_eq!(response["ratelimit-policy"], "\"route\";q=6;w=60");
        assert_eq!(response["ratelimit"], "\"route\";r=0;t=10");
        assert!(ask(Some("b")).0);
        // Those without a key are one.
        for expected in [true, true, false] {
            assert_eq!(ask(None).0, expected);
        }
    }

    #[test]
    fn a_shadow_only_counts() {
        let edit = compiled(
            "rate_limit",
            "{ key: [client_address, service], requests: 1, per: 1h, shadow: true }",
        )
        .expect("legal");
        for _ in 0..3 {
            let mut headers = HeaderMap::new();
            let mut head = request_head("/", &mut headers);
            assert!(matches!(edit.request(&mut head), Next::Continue));
            assert!(head.effects.response.is_empty());
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for (args, problem) in [
            ("{ requests: 1 }", "`key` is missing"),
            ("{ key: host }", "`requests` is missing"),
            ("{ key: ip, requests: 1 }", "client_address"),
            ("{ key: [], requests: 1 }", "no key"),
            ("{ key: [host, ip], requests: 1 }", "not a key"),
            ("{ key: principal, requests: 1 }", "client_address"),
            ("{ key: host, requests: 0 }", "0"),
            ("{ key: host, requests: 1, burst: 0 }", "0"),
            ("{ key: host, requests: 1, rate: 1 }", "unknown key"),
            ("{ key: host, requests: 1, store: redis }", "no Redis"),
            ("{ key: host, requests: 1, store: disk }", "local, redis"),
            (
                "{ key: host, requests: 1, on_failure: open }",
                "without Redis",
            ),
            (
                "{ key: host, requests: 1, store: redis, on_failure: x }",
                "local, open, closed",
            ),
        ] {
            let error = step("rate_limit", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
