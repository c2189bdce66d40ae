//! Token buckets by key.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many keys have buckets of their own. Beyond that, those that are nearly full
/// go first: what they are owed is little.
const MAX_KEYS: usize = 131_072;
const SHARDS: usize = 32;

/// How many buckets are looked at for the one that goes.
const SAMPLE: usize = 8;

/// A bucket's size, and how fast it is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit {
    /// Tokens a second.
    pub(crate) rate: f64,
    /// The most tokens in a bucket.
    pub(crate) burst: u64,
    /// Tokens that a request takes.
    pub(crate) requested: u64,
}

/// Buckets of one limit, by key.
///
/// The clock is continuous, where Spring's script counts whole seconds. Memory: 48
/// bytes a key, of at most 131,072; keys are kept as hashes that nobody can foresee.
///
/// Cost per request: two hashes and a short lock on one of 32 shards.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: Limit,
    began: Instant,
    hashers: [RandomState; 2],
    shards: Vec<Mutex<HashMap<u128, Bucket>>>,
    most_per_shard: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    /// Seconds since the limiter's beginning.
    at: f64,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) is_allowed: bool,
    /// Whole tokens that are left.
    pub(crate) remaining: u64,
}

impl Limiter {
    pub(crate) fn new(limit: Limit) -> Limiter {
        Limiter::sized(limit, MAX_KEYS / SHARDS)
    }

    fn sized(limit: Limit, most_per_shard: usize) -> Limiter {
        Limiter {
            limit,
            began: Instant::now(),
            hashers: [RandomState::new(), RandomState::new()],
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            most_per_shard,
        }
    }

    pub(crate) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Takes a request's tokens out of the key's bucket, if they are there.
    pub(crate) fn take(&self, key: &[u8], now: Instant) -> Taken {
        let [high, low] = &self.hashers;
        let (high, low) = (high.hash_one(key), low.hash_one(key));
        let hash = u128::from(high) << 64 | u128::from(low);
        let now = now.saturating_duration_since(self.began).as_secs_f64();
        let Some(shard) = self.shards.get(low as usize % SHARDS) else {
            return Taken {
                is_allowed: true,
                remaining: 0,
            };
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.get(&hash).copied();
        let mut tokens = known.map_or(self.limit.burst as f64, |bucket| self.filled(bucket, now));
        let requested = self.limit.requested as f64;
        let is_allowed = tokens >= requested;
        if is_allowed {
            tokens -= requested;
        }
        if known.is_none() {
            self.make_room(&mut shard, now);
        }
        shard.insert(hash, Bucket { tokens, at: now });
        Taken {
            is_allowed,
            remaining: tokens as u64,
        }
    }

    /// What is in a bucket now.
    fn filled(&self, bucket: Bucket, now: f64) -> f64 {
        let gained = (now - bucket.at).max(0.0) * self.limit.rate;
        (bucket.tokens + gained).min(self.limit.burst as f64)
    }

    fn make_room(&self, shard: &mut HashMap<u128, Bucket>, now: f64) {
        if shard.len() < self.most_per_shard {
            return;
        }
        let sample = shard.iter().take(SAMPLE);
        let fullest =
            sample.max_by(|(_, a), (_, b)| self.filled(**a, now).total_cmp(&self.filled(**b, now)));
        if let Some(key) = fullest.map(|(key, _)| *key) {
            shard.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Limit = Limit {
        rate: 1.0,
        burst: 3,
        requested: 1,
    };

    fn taken(is_allowed: bool, remaining: u64) -> Taken {
        Taken {
            is_allowed,
            remaining,
        }
    }

    #[test]
    fn a_bucket_is_emptied_and_filled_again() {
        let limiter = Limiter::new(LIMIT);
        let now = limiter.began;
        for expected in [
            taken(true, 2),
            taken(true, 1),
            taken(true, 0),
            taken(false, 0),
        ] {
            assert_eq!(limiter.take(b"a", now), expected);
        }
        assert_eq!(limiter.take(b"b", now), taken(true, 2), "another key");
        let later = now + Duration::from_millis(500);
        assert_eq!(limiter.take(b"a", later), taken(false, 0));
        let later = now + Duration::from_millis(1_500);
        assert_eq!(limiter.take(b"a", later), taken(true, 0));
        let later = now + Duration::from_secs(60);
        assert_eq!(
            limiter.take(b"a", later),
            taken(true, 2),
            "no more than the bucket holds"
        );
        assert_eq!(
            limiter.take(b"a", now),
            taken(true, 1),
            "time does not go back"
        );
    }

    #[test]
    fn a_request_may_take_several_tokens() {
        let limiter = Limiter::new(Limit {
            rate: 10.0,
            burst: 20,
            requested: 15,
        });
        let now = limiter.began;
        assert_eq!(limiter.take(b"a", now), taken(true, 5));
        assert_eq!(limiter.take(b"a", now), taken(false, 5));
        assert_eq!(
            limiter.take(b"a", now + Duration::from_secs(1)),
            taken(true, 0)
        );
    }

    #[test]
    fn many_keys_take_bounded_room_and_a_full_bucket_goes_first() {
        let limiter = Limiter::sized(LIMIT, 4);
        let now = limiter.began;
        for number in 0..10_000_u32 {
            limiter.take(&number.to_be_bytes(), now);
        }
        let kept: usize = limiter
            .shards
            .iter()
            .map(|shard| shard.lock().expect("no panic").len())
            .sum();
        assert!(kept <= 4 * SHARDS, "{kept}");
        let one = Limiter::sized(LIMIT, 1_000);
        for _ in 0..4 {
            one.take(b"guilty", now);
        }
        assert_eq!(one.take(b"guilty", now), taken(false, 0));
    }
}
