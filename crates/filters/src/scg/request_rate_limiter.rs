<<<<<<< HEAD
//! `RequestRateLimiter`: so many requests a second for each key.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode, header};
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, query, status};
use crate::limiter::{Limit, Limiter};
=======
//! `RequestRateLimiter`: a token bucket for each key.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::{edit, status};
use crate::limit::{Buckets, Rate};
use crate::limit_key::{EXPECTED, LimitKey};
>>>>>>> main
use crate::{Answer, Change, Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RequestRateLimiter",
<<<<<<< HEAD
    "-",
    "Refuses requests beyond `redis-rate-limiter.replenishRate` a second for each key of `key-resolver`, as 429, with Spring's `X-RateLimit-*` headers; counted in this gateway alone.",
    Shortcut::Fields(&[
        "redis-rate-limiter.replenishRate",
        "redis-rate-limiter.burstCapacity",
        "key-resolver",
    ]),
    compile,
);

/// Whom a request counts for.
#[derive(Debug)]
enum Resolver {
    ClientAddress,
    Host,
    Path,
    Header(HeaderName),
    Query(String),
    Cookie(String),
    /// Nobody: no user is known here.
    Principal,
}

const RESOLVERS: &str =
    "`client_address`, `host`, `path`, `{ header: NAME }`, `{ query: NAME }` or `{ cookie: NAME }`";

/// Cost: the key, its hash and a short lock.
#[derive(Debug)]
struct RequestRateLimiter {
    limiter: Arc<Limiter>,
    resolver: Resolver,
    denies_empty: bool,
    empty_status: StatusCode,
    status: StatusCode,
    has_headers: bool,
}

const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const REQUESTED: HeaderName = HeaderName::from_static("x-ratelimit-requested-tokens");
const BURST: HeaderName = HeaderName::from_static("x-ratelimit-burst-capacity");
const RATE: HeaderName = HeaderName::from_static("x-ratelimit-replenish-rate");

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let limit = limit(args);
    let resolver = resolver(args);
    let status = |name, default| match args.get(name) {
        Some(arg) => status::read(&arg),
        None => Some(default),
    };
    let flag = |name, default| match args.get(name) {
        Some(arg) => arg.boolean(),
        None => Some(default),
    };
    let empty_status = status("emptyKeyStatus", StatusCode::FORBIDDEN);
    let refused = status("statusCode", StatusCode::TOO_MANY_REQUESTS);
    let denies_empty = flag("denyEmptyKey", true);
    let has_headers = flag("redis-rate-limiter.includeHeaders", true);
    // What Spring throws has the same status.
    let _ = flag("throwOnLimit", false)?;
    if let Some(id) = args.get("routeId") {
        id.warn("the limit counts for the route that it stands in");
    }
    if let Some(limiter) = args.get("rateLimiter") {
        limiter.fault_expected(
            format!("{} is a rate limiter of Java", limiter.quoted()),
            "`redis-rate-limiter.replenishRate` and `.burstCapacity`",
        );
        return None;
    }
    let limit = limit?;
    edit(RequestRateLimiter {
        limiter: scope.shared.limiter(scope.route, limit),
        resolver: resolver?,
        denies_empty: denies_empty?,
        empty_status: empty_status?,
        status: refused?,
        has_headers: has_headers?,
    })
}

fn limit(args: &ScgArgs<'_>) -> Option<Limit> {
    if args.get("bucket4j-rate-limiter.capacity").is_some() {
        return bucket4j(args);
    }
    let rate = args.required("redis-rate-limiter.replenishRate")?;
    rate.warn("counted in this gateway alone, not in Redis: each gateway lets as many through");
    let rate_number: u32 = rate.integer(1..=1_000_000_000)?;
    let burst = match args.get("redis-rate-limiter.burstCapacity") {
        Some(burst) => {
            let number: u32 = burst.integer(0..=1_000_000_000)?;
            if number < rate_number {
                burst.fault_expected(
                    format!("a bucket for {number} that {rate_number} a second are put into"),
                    "burstCapacity not less than replenishRate",
                );
                return None;
            }
            number
        }
        None => 1,
    };
    let requested = match args.get("redis-rate-limiter.requestedTokens") {
        Some(requested) => requested.integer(1..=1_000_000_000)?,
        None => 1u32,
    };
    Some(Limit {
        rate: f64::from(rate_number),
        burst: u64::from(burst),
        requested: u64::from(requested),
    })
}

/// Spring 4.3's other limiter, filled evenly.
fn bucket4j(args: &ScgArgs<'_>) -> Option<Limit> {
    let capacity = args.required("bucket4j-rate-limiter.capacity")?;
    capacity.warn("counted in this gateway alone: each gateway lets as many through");
    let capacity: u32 = capacity.integer(1..=1_000_000_000)?;
    let tokens = match args.get("bucket4j-rate-limiter.refillTokens") {
        Some(tokens) => tokens.integer(1..=1_000_000_000)?,
        None => capacity,
    };
    let period = match args.get("bucket4j-rate-limiter.refillPeriod") {
        Some(period) => period.duration()?.max(Duration::from_millis(1)),
        None => Duration::from_secs(1),
    };
    if let Some(style) = args.get("bucket4j-rate-limiter.refillStyle")
        && !style.text().eq_ignore_ascii_case("greedy")
    {
        style.warn("tokens are put in evenly, as by GREEDY");
    }
    let requested = match args.get("bucket4j-rate-limiter.requestedTokens") {
        Some(requested) => requested.integer(1..=1_000_000_000)?,
        None => 1u32,
    };
    Some(Limit {
        rate: f64::from(tokens) / period.as_secs_f64(),
        burst: u64::from(capacity),
        requested: u64::from(requested),
    })
}

fn resolver(args: &ScgArgs<'_>) -> Option<Resolver> {
    if let Some(name) = args.get("keyResolver.header") {
        return fields::any_name(&name).map(Resolver::Header);
    }
    if let Some(name) = args.get("keyResolver.query") {
        return Some(Resolver::Query(name.text().to_owned()));
    }
    if let Some(name) = args.get("keyResolver.cookie") {
        return Some(Resolver::Cookie(name.text().to_owned()));
    }
    let Some(name) = args.get("keyResolver") else {
        args.whole().warn(
            "without a key-resolver requests count for the user that Spring Security knows; here none is known, and each request has an empty key",
        );
        return Some(Resolver::Principal);
    };
    Some(match name.text() {
        "client_address" => Resolver::ClientAddress,
        "host" => Resolver::Host,
        "path" => Resolver::Path,
        "principal" => {
            name.warn("no user is known here: each request has an empty key");
            Resolver::Principal
        }
        _ => {
            name.fault_expected(
                format!("{} is no key that is known here", name.quoted()),
                format!("a bean that `scg.beans` of gateway.yaml says is {RESOLVERS}"),
            );
            return None;
        }
    })
}

impl Resolver {
    fn key<'h>(&self, head: &'h RequestHead<'_>) -> Cow<'h, [u8]> {
        match self {
            Resolver::ClientAddress => Cow::Owned(head.facts.client.to_string().into_bytes()),
            Resolver::Host => Cow::Borrowed(head.facts.host.as_bytes()),
            Resolver::Path => Cow::Borrowed(&head.facts.path),
            Resolver::Header(name) => {
                let value = head.headers.get(name);
                Cow::Borrowed(value.map_or(&[], |value| value.as_bytes()))
            }
            Resolver::Query(name) => {
                let query = head.facts.query().unwrap_or_default();
                query::value(query, name)
            }
            Resolver::Cookie(name) => Cow::Borrowed(cookie(head, name).unwrap_or_default()),
            Resolver::Principal => Cow::Borrowed(&[]),
        }
    }
}

fn cookie<'h>(head: &'h RequestHead<'_>, name: &str) -> Option<&'h [u8]> {
    let values = head.headers.get_all(header::COOKIE).iter();
    let mut pairs = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        let rest = pair.strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    })
=======
    "key-resolver, redis-rate-limiter.replenishRate, redis-rate-limiter.burstCapacity (1), redis-rate-limiter.requestedTokens (1), deny-empty-key (true), empty-key-status (403), status-code (429)",
    "Refuses requests beyond a rate, by key, with Spring's `X-RateLimit-*` headers. Each gateway counts for itself.",
    Shortcut::Fields(&[]),
    compile,
);

const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const REQUESTED: HeaderName = HeaderName::from_static("x-ratelimit-requested-tokens");
const BURST: HeaderName = HeaderName::from_static("x-ratelimit-burst-capacity");
const REPLENISH: HeaderName = HeaderName::from_static("x-ratelimit-replenish-rate");

/// Numbers beyond this are no limit.
const MOST: u64 = 1 << 40;

#[derive(Debug)]
struct RequestRateLimiter {
    key: LimitKey,
    buckets: Buckets,
    tokens: u32,
    replenish: u64,
    burst: u64,
    denies_empty_key: bool,
    empty_key_status: StatusCode,
    refused: StatusCode,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let key = match args.get("key-resolver") {
        Some(key) => key_of(&key)?,
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
    args.whole()
        .warn("each gateway counts for itself; Redis is not asked, so that several gateways let through more in all");
    let (replenish, burst) = (replenish?, burst?);
    edit(RequestRateLimiter {
        key,
        buckets: Buckets::new(Rate {
            per_second: replenish as f64,
            burst: burst as f64,
        }),
        tokens: tokens?,
        replenish,
        burst,
        denies_empty_key: denies_empty_key?,
        empty_key_status: empty_key_status?,
        refused: refused?,
    })
}

fn key_of(arg: &ScgArg<'_>) -> Option<LimitKey> {
    let key = LimitKey::parse(arg.text());
    if key.is_none() {
        arg.fault_expected(
            arg.quoted(),
            format!("a bean of scg.beans in gateway.yaml that means {EXPECTED}"),
        );
    }
    key
}

impl RequestRateLimiter {
    fn headers(&self, left: f64) -> [(HeaderName, HeaderValue); 4] {
        [
            (REMAINING, HeaderValue::from(left.max(0.0) as u64)),
            (REQUESTED, HeaderValue::from(self.tokens)),
            (BURST, HeaderValue::from(self.burst)),
            (REPLENISH, HeaderValue::from(self.replenish)),
        ]
    }

    fn refuse(status: StatusCode, headers: HeaderMap) -> Next {
        Next::Answer(Box::new(Answer {
            status,
            headers,
            ..Answer::default()
        }))
    }
>>>>>>> main
}

impl Edit for RequestRateLimiter {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
<<<<<<< HEAD
        if head.effects.is_rehearsal {
            return Next::Continue;
        }
        let key = self.resolver.key(head);
        if key.is_empty() {
            return match self.denies_empty {
                true => status_alone(self.empty_status),
                false => Next::Continue,
            };
        }
        let taken = self.limiter.take(&key, Instant::now());
        if self.has_headers {
            let limit = self.limiter.limit();
            for (name, number) in [
                (REMAINING, taken.remaining),
                (REQUESTED, limit.requested),
                (BURST, limit.burst),
                (RATE, limit.rate as u64),
            ] {
                let change = Change::Set(name, HeaderValue::from(number));
                head.effects.response.push(change);
            }
        }
        match taken.is_allowed {
            true => Next::Continue,
            false => status_alone(self.status),
        }
    }
}

fn status_alone(status: StatusCode) -> Next {
    Next::Answer(Box::new(Answer {
        status,
        ..Answer::default()
    }))
}

=======
        let Some(key) = self.key.of(head) else {
            return match self.denies_empty_key {
                true => Self::refuse(self.empty_key_status, HeaderMap::new()),
                false => Next::Continue,
            };
        };
        let judged = self
            .buckets
            .take(&key, f64::from(self.tokens), Instant::now());
        let headers = self.headers(judged.left);
        if !judged.is_allowed {
            return Self::refuse(self.refused, headers.into_iter().collect());
        }
        let changes = headers.map(|(name, value)| Change::Set(name, value));
        head.effects.response.extend(changes);
        Next::Continue
    }
}

>>>>>>> main
#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
<<<<<<< HEAD
    use crate::Facts;
    use crate::registry::tests::{request_head, steps};
    use crate::scg::testing::{edit, headers};

    /// The status if it is refused, and the headers of the response.
    fn asked(step: &dyn Edit, facts: &Facts, mut sent: HeaderMap) -> (Option<u16>, HeaderMap) {
        let mut head = RequestHead {
            facts,
            ..request_head("/", &mut sent)
        };
        let next = step.request(&mut head);
        let mut response = HeaderMap::new();
        for change in &head.effects.response {
            change.apply(&mut response);
        }
        let status = match next {
            Next::Continue => None,
            Next::Answer(answer) => Some(answer.status.as_u16()),
        };
        (status, response)
    }

    const ONE: &str = "redis-rate-limiter.replenishRate: 1, redis-rate-limiter.burstCapacity: 2";

    #[test]
    fn each_client_has_a_bucket_and_is_told_of_it() {
        let step = edit(
            "RequestRateLimiter",
            &format!("{{ {ONE}, key-resolver: client_address }}"),
            &[],
        );
        let step = step.expect("legal");
        let facts = Facts::default();
        for (remaining, status) in [("1", None), ("0", None), ("0", Some(429))] {
            let (found, response) = asked(&*step, &facts, headers(&[]));
            assert_eq!(found, status);
            assert_eq!(response["x-ratelimit-remaining"], remaining);
            assert_eq!(response["x-ratelimit-burst-capacity"], "2");
            assert_eq!(response["x-ratelimit-replenish-rate"], "1");
            assert_eq!(response["x-ratelimit-requested-tokens"], "1");
        }
        let other = Facts {
            client: [127, 0, 0, 5].into(),
            ..facts
        };
        assert_eq!(asked(&*step, &other, headers(&[])).0, None);
    }

    #[test]
    fn an_empty_key_is_refused_or_passes() {
        let resolver = "keyResolver: { header: X-Api-Key }";
        for (more, sent, status) in [
            ("", &[][..], Some(403)),
            ("", &[("x-api-key", "k")], None),
            (", deny-empty-key: false", &[], None),
            (", empty-key-status: UNAUTHORIZED", &[], Some(401)),
        ] {
            let args = format!("{{ {ONE}, {resolver}{more} }}");
            let step = edit("RequestRateLimiter", &args, &[]).expect("legal");
            assert_eq!(
                asked(&*step, &Facts::default(), headers(sent)).0,
                status,
                "{args}"
            );
        }
        let args = format!("{{ {ONE}, {resolver}, status-code: SERVICE_UNAVAILABLE }}");
        let step = edit("RequestRateLimiter", &args, &[]).expect("legal");
        let last =
            (0..3).map(|_| asked(&*step, &Facts::default(), headers(&[("x-api-key", "k")])).0);
        assert_eq!(last.last(), Some(Some(503)));
    }

    #[test]
    fn keys_are_those_of_the_request() {
        let facts = Facts {
            query: Some("a=1&user=u%201".into()),
            host: HeaderValue::from_static("shop.test"),
            path: "/p".into(),
            ..Facts::default()
        };
        let mut sent = headers(&[("cookie", "x=1; sid=7"), ("x-a", "b")]);
        let head = RequestHead {
            facts: &facts,
            ..request_head("/", &mut sent)
        };
        for (resolver, key) in [
            (Resolver::ClientAddress, "0.0.0.0"),
            (Resolver::Host, "shop.test"),
            (Resolver::Path, "/p"),
            (Resolver::Header(HeaderName::from_static("x-a")), "b"),
            (Resolver::Query("user".to_owned()), "u 1"),
            (Resolver::Query("none".to_owned()), ""),
            (Resolver::Cookie("sid".to_owned()), "7"),
            (Resolver::Principal, ""),
        ] {
            assert_eq!(resolver.key(&head), key.as_bytes(), "{resolver:?}");
        }
    }

    #[test]
    fn what_differs_is_said() {
        for (args, warning) in [
            (
                format!("{{ {ONE}, key-resolver: host }}"),
                "in this gateway alone",
            ),
            (format!("{{ {ONE} }}"), "an empty key"),
            ("'1, 2, client_address'".to_owned(), "in this gateway alone"),
            (
                "{ bucket4j-rate-limiter: { capacity: 10, refillPeriod: 1m }, key-resolver: path }"
                    .to_owned(),
                "in this gateway alone",
            ),
        ] {
            let (_, warnings) = steps("RequestRateLimiter", &args, &[]).expect(&args);
            assert!(warnings.contains(warning), "{args}: {warnings}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (args, problem) in [
            ("{ key-resolver: host }", "replenishRate` is missing"),
            (
                "{ redis-rate-limiter.replenishRate: 0, key-resolver: host }",
                "from 1 to",
            ),
            (
                "{ redis-rate-limiter.replenishRate: 5, redis-rate-limiter.burstCapacity: 2, key-resolver: host }",
                "not less than",
            ),
            (
                "{ redis-rate-limiter.replenishRate: 1, key-resolver: userKey }",
                "`scg.beans`",
            ),
            (
                "{ redis-rate-limiter.replenishRate: 1, key-resolver: host, rate-limiter: mine }",
                "of Java",
            ),
        ] {
            let error = steps("RequestRateLimiter", args, &[]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
=======
    use crate::scg::testing::{bound, edit, headers, send};

    const ARGS: &str = "{ redis-rate-limiter.replenishRate: 1, redis-rate-limiter.burst-capacity: 2, key-resolver: 'header:x-key'";

    fn status(step: &dyn Edit, fields: HeaderMap) -> u16 {
        match send(step, &bound(&[]), "/", fields).next {
            Next::Continue => 200,
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
>>>>>>> main
        }
    }
}
