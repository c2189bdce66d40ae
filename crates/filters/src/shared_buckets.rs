//! Token buckets that several gateways share, in Redis.
//!
//! Two kinds of them: Pailou's own, in microseconds, under one key each; and those of Spring Cloud Gateway's `RedisRateLimiter`, in
//! whole seconds, under two keys each, which it goes on using at the same time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pailou_config::OnFailure;
use pailou_redis::{Redis, Script, Unavailable};
use pailou_telemetry::LimitMetrics;
use tokio::time::{Instant, timeout_at};

use crate::lease::{Granted, Leases};
use crate::limit::{Buckets, Judgement, Rate};

/// One lease is at most this share of a bucket: what one gateway holds is not there for the others.
const SHARE: u32 = 10;
const MOST: u32 = 1_000;

/// Fills the bucket, and takes of it as many requests as there are tokens for, up to `ARGV[4]`.
static OWN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate = ARGV[1] / (ARGV[2] * 1000)
local burst = tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(kept[1]) or burst
local age = math.max(0, now - (tonumber(kept[2]) or now))
tokens = math.min(burst, tokens + age * rate)
local granted = math.min(tonumber(ARGV[4]), math.floor(tokens + 1e-6))
tokens = math.max(0, tokens - granted)
local full = math.min(math.ceil((burst - tokens) / rate / 1000) + 1000, 1e12)
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', full))
local wait = 0
if granted == 0 then wait = math.ceil((1 - tokens) / rate) end
return { granted, math.floor(tokens), wait }",
    )
});

/// The same by the rules of Spring's script: a clock of whole seconds, and tokens and time under keys of their own, which expire
/// after twice the time that the bucket takes to fill.
static SCG: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
local now = tonumber(time[1])
local rate, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local requested, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local tokens = tonumber(redis.call('GET', KEYS[1])) or capacity
local last = tonumber(redis.call('GET', KEYS[2])) or 0
tokens = math.min(capacity, tokens + math.max(0, now - last) * rate)
local granted = math.min(most, math.floor(tokens / requested))
tokens = tokens - granted * requested
local life = math.floor(2 * capacity / rate)
if life > 0 then
  redis.call('SETEX', KEYS[1], life, tokens)
  redis.call('SETEX', KEYS[2], life, now)
end
local wait = 0
if granted == 0 then wait = 1000000 - tonumber(time[2]) end
return { granted, tokens, wait }",
    )
});

/// How a bucket stands in Redis.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// So many requests in so many milliseconds.
    Own { requests: u64, per_ms: u64 },
    /// So many tokens in a second, of which a request takes some.
    Scg { replenish: u64, tokens: u32 },
}

/// Buckets of one rate, by key, that all gateways at one Redis share.
#[derive(Debug)]
pub(crate) struct SharedBuckets {
    redis: Redis,
    layout: Layout,
    burst: u64,
    leases: Leases,
    /// What is counted here while Redis gives no answer.
    local: Buckets,
    on_failure: OnFailure,
    metrics: Arc<LimitMetrics>,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Word {
    Judged(Judgement),
    /// Nobody has counted it.
    Uncounted {
        is_allowed: bool,
    },
}

impl SharedBuckets {
    pub(crate) fn new(
        redis: Redis,
        layout: Layout,
        burst: u64,
        on_failure: OnFailure,
        metrics: Arc<LimitMetrics>,
    ) -> SharedBuckets {
        let requests = burst / u64::from(layout.tokens());
        let most = u32::try_from(requests / u64::from(SHARE)).unwrap_or(MOST);
        SharedBuckets {
            leases: Leases::new(most.min(MOST)),
            local: Buckets::new(Rate {
                per_second: layout.per_second(),
                burst: burst as f64,
            }),
            redis,
            layout,
            burst,
            on_failure,
            metrics,
        }
    }

    /// The longest that [`take`](SharedBuckets::take) takes.
    pub(crate) fn timeout(&self) -> Duration {
        self.redis.settings().timeout
    }

    /// Judges a request by what is known here; nothing if Redis must be asked. A lock of one shard.
    pub(crate) fn take_at_once(&self, key: &[u8]) -> Option<Word> {
        let now = std::time::Instant::now();
        self.leases.take(key, now).map(Word::Judged)
    }

    /// Judges a request. One request asks for those of its key, and the others wait for what it is told. `names` are what the
    /// bucket's keys are called in Redis.
    pub(crate) async fn take(&self, key: &[u8], names: &[&[u8]]) -> Word {
        let due = Instant::now() + self.timeout();
        match self.ask(key, names, due).await {
            Ok(judged) => Word::Judged(judged),
            Err(_) => self.fall_back(key),
        }
    }

    async fn ask(
        &self,
        key: &[u8],
        names: &[&[u8]],
        due: Instant,
    ) -> Result<Judgement, Unavailable> {
        let Some(place) = self.leases.place(key, std::time::Instant::now()) else {
            let granted = self.ask_for(1, names, due).await?;
            return Ok(granted.judge());
        };
        let turn = timeout_at(due, place.turn.lock()).await;
        let _turn = turn.map_err(|_| Unavailable::Late)?;
        // Somebody else may have asked meanwhile.
        if let Some(judged) = self.leases.take(key, std::time::Instant::now()) {
            return Ok(judged);
        }
        let granted = self.ask_for(place.wanted, names, due).await?;
        let now = std::time::Instant::now();
        Ok(self.leases.grant(&place, granted, now))
    }

    async fn ask_for(
        &self,
        requests: u32,
        names: &[&[u8]],
        due: Instant,
    ) -> Result<Granted, Unavailable> {
        let (burst, most) = (self.burst as i64, i64::from(requests));
        let (script, numbers) = match self.layout {
            Layout::Own { requests, per_ms } => {
                (&*OWN, [requests as i64, per_ms as i64, burst, most])
            }
            Layout::Scg { replenish, tokens } => {
                (&*SCG, [replenish as i64, burst, i64::from(tokens), most])
            }
        };
        let told = self.redis.run_script(script, names, &numbers, due).await?;
        let &[granted, left, wait] = told.as_slice() else {
            return Err(Unavailable::Failed);
        };
        Ok(Granted {
            requests: u32::try_from(granted).unwrap_or(0),
            left: left as f64,
            wait: Duration::from_micros(u64::try_from(wait).unwrap_or(0)),
        })
    }

    /// What becomes of a request of which Redis says nothing.
    fn fall_back(&self, key: &[u8]) -> Word {
        match self.on_failure {
            OnFailure::Local => {
                self.metrics.fell_back_to_local();
                let now = std::time::Instant::now();
                Word::Judged(self.local.take(key, self.local_tokens(), now))
            }
            OnFailure::Open => {
                self.metrics.fell_open();
                Word::Uncounted { is_allowed: true }
            }
            OnFailure::Closed => {
                self.metrics.fell_closed();
                Word::Uncounted { is_allowed: false }
            }
        }
    }

    /// What a request takes of a whole bucket that this gateway has for itself: as much as the requests that the other gateways
    /// let through meanwhile would take with it, so that all of them together keep to the rate.
    fn local_tokens(&self) -> f64 {
        let tokens = f64::from(self.layout.tokens());
        let share = tokens * f64::from(self.redis.gateways());
        share.min(self.burst as f64).max(tokens)
    }
}

impl Layout {
    fn tokens(self) -> u32 {
        match self {
            Layout::Own { .. } => 1,
            Layout::Scg { tokens, .. } => tokens,
        }
    }

    fn per_second(self) -> f64 {
        match self {
            Layout::Own { requests, per_ms } => requests as f64 / per_ms as f64 * 1e3,
            Layout::Scg { replenish, .. } => replenish as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use pailou_config::{Environment, load_settings};
    use pailou_telemetry::Metrics;

    use super::*;

    /// Buckets at a Redis that nobody has connected to.
    fn buckets(on_failure: OnFailure, metrics: &Metrics) -> SharedBuckets {
        let variables = Environment::from_iter([("PAILOU_REDIS_SERVERS", "127.0.0.1:1")]);
        let loaded = load_settings(None, &variables).expect("sound");
        let redis = Redis::new(&loaded.settings.redis, metrics).expect("a server is named");
        let layout = Layout::Own {
            requests: 3,
            per_ms: 60_000,
        };
        SharedBuckets::new(redis, layout, 3, on_failure, metrics.limit("l"))
    }

    #[tokio::test]
    async fn without_an_answer_the_policy_decides() {
        let metrics = Metrics::new();
        for (policy, expected) in [
            (OnFailure::Local, [true, true, true, false]),
            (OnFailure::Open, [true; 4]),
            (OnFailure::Closed, [false; 4]),
        ] {
            let buckets = buckets(policy, &metrics);
            for expected in expected {
                let word = buckets.take(b"k", &[b"k"]).await;
                let is_allowed = match word {
                    Word::Judged(judged) => judged.is_allowed,
                    Word::Uncounted { is_allowed } => is_allowed,
                };
                assert_eq!(is_allowed, expected, "{policy:?}");
            }
            let counted = format!(
                "pailou_rate_limit_fallbacks_total{{limit=\"l\",policy=\"{}\"}} 4",
                policy.word()
            );
            let text = metrics.render();
            assert!(text.contains(&counted), "{text}");
        }
        let text = metrics.render();
        assert!(
            text.contains("pailou_redis_requests_total{outcome=\"down\"} 12"),
            "{text}"
        );
    }
}
