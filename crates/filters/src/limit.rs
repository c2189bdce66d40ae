//! Token buckets by key: how many requests one client may make.
//!
//! A bucket holds up to `burst` tokens and gains `rate` tokens a second. A request takes tokens or is refused. The clock
//! counts microseconds, so that a refill is smooth. Spring's script counts whole seconds.
//!
//! Memory is bounded. A full bucket carries no information and is forgotten. If there is still no room, new keys share one
//! bucket. So no client gets a fresh bucket by filling the table with other keys.

use std::time::{Duration, Instant};

use crate::key_table::KeyTable;

/// How much a bucket holds and gains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Tokens in a second.
    pub(crate) per_second: f64,
    /// The most tokens that a bucket holds.
    pub(crate) burst: f64,
}

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) is_allowed: bool,
    /// The tokens that are left.
    pub(crate) left: f64,
    /// Until there are enough tokens for a request like this one; zero if it was allowed.
    pub(crate) wait: Duration,
}

/// Buckets of one rate, by key: 24 bytes each, so 1.5 MiB for a filter that sees as many clients as a table has room for.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    table: KeyTable<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Buckets {
        Buckets {
            rate,
            table: KeyTable::new(),
        }
    }

    /// What each of them holds and gains.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes tokens from the bucket of a key. A lock of one shard, for as long as it takes to look a key up.
    pub(crate) fn take(&self, key: &[u8], tokens: f64, now: Instant) -> Judgement {
        let (rate, key) = (self.rate, self.table.hash(key));
        let mut shard = self.table.shard(key);
        let is_partly_empty = |bucket: &Bucket| bucket.filled(rate, now) < rate.burst;
        let full = || Bucket {
            tokens: rate.burst,
            at: now,
        };
        match shard.entry(key, now, is_partly_empty, full) {
            Some(bucket) => bucket.take(tokens, rate, now),
            None => shard.shared(full).take(tokens, rate, now),
        }
    }
}

impl Bucket {
    /// The tokens that it has by now.
    fn filled(&self, rate: Rate, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + age * rate.per_second).min(rate.burst)
    }

    fn take(&mut self, tokens: f64, rate: Rate, now: Instant) -> Judgement {
        let filled = self.filled(rate, now);
        let is_allowed = filled >= tokens;
        *self = Bucket {
            tokens: if is_allowed { filled - tokens } else { filled },
            at: now,
        };
        let missing = match is_allowed || rate.per_second <= 0.0 {
            true => 0.0,
            false => (tokens - filled) / rate.per_second,
        };
        Judgement {
            is_allowed,
            left: self.tokens,
            wait: Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_table::{SHARD_KEYS, SHARDS};

    const RATE: Rate = Rate {
        per_second: 2.0,
        burst: 3.0,
    };

    fn allowed(buckets: &Buckets, key: &str, now: Instant) -> bool {
        buckets.take(key.as_bytes(), 1.0, now).is_allowed
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (buckets, start) = (Buckets::new(RATE), Instant::now());
        for _ in 0..3 {
            assert!(allowed(&buckets, "a", start));
        }
        let refused = buckets.take(b"a", 1.0, start);
        assert!(!refused.is_allowed);
        assert_eq!(refused.wait, Duration::from_millis(500));
        assert!(
            allowed(&buckets, "b", start),
            "another key has a bucket of its own"
        );
        let later = start + Duration::from_millis(500);
        assert!(allowed(&buckets, "a", later));
        assert!(!allowed(&buckets, "a", later));
        // It never holds more than its burst.
        let much_later = start + Duration::from_secs(3600);
        let passed = (0..10)
            .filter(|_| allowed(&buckets, "a", much_later))
            .count();
        assert_eq!(passed, 3);
    }

    /// Over time a key gets its rate, within 2 %.
    #[test]
    fn the_rate_is_kept() {
        let (buckets, start) = (Buckets::new(RATE), Instant::now());
        let passed = (0..100_000_u32)
            .filter(|at| allowed(&buckets, "a", start + Duration::from_millis(1) * *at))
            .count();
        let expected = 100.0 * RATE.per_second + RATE.burst;
        assert!(
            (passed as f64 - expected).abs() <= 0.02 * expected,
            "{passed}"
        );
    }

    /// A client that sends many other keys must not get a fresh bucket for its own key.
    #[test]
    fn a_flood_of_keys_neither_grows_the_table_nor_resets_a_bucket() {
        let (buckets, now) = (Buckets::new(RATE), Instant::now());
        while allowed(&buckets, "mine", now) {}
        let mut passed = 0;
        for key in 0..2 * SHARDS * SHARD_KEYS {
            passed += usize::from(allowed(&buckets, &key.to_string(), now));
        }
        assert!(!allowed(&buckets, "mine", now));
        let kept = buckets.table.len();
        assert!(kept <= SHARDS * SHARD_KEYS, "{kept}");
        let most = SHARDS * (SHARD_KEYS + 3);
        assert!(
            passed <= most,
            "those without room share a bucket: {passed}"
        );
        // Buckets that are full again make room.
        let later = now + Duration::from_secs(10);
        assert!(allowed(&buckets, "new", later));
    }
}
