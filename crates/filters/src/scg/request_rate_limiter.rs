//! `RequestRateLimiter`: so many requests a second for each key.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode, header};
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, query, status};
use crate::limiter::{Limit, Limiter};
use crate::{Answer, Change, Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RequestRateLimiter",
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
}

impl Edit for RequestRateLimiter {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
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
        }
    }
}
