//! What was taken of buckets that several gateways share, and is not used yet: a key that many requests have does not cost a
//! question for each.
//!
//! A lease is some requests of a key that Redis has counted before they come. The first is of one request; it doubles with each
//! lease that is used up in its time, and halves with each that is not, so that a quiet key is counted exactly. What is left of a
//! lease after its time is void, so that a gateway never lets through more than was counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::key_table::{KeyHash, KeyTable};
use crate::limit::Judgement;

/// For how long what was taken may be used, and for how long a refusal is believed.
const LIFE: Duration = Duration::from_secs(1);

/// Leases by key.
#[derive(Debug)]
pub(crate) struct Leases {
    /// The most requests of one lease.
    most: u32,
    table: KeyTable<Lease>,
}

/// What Redis has said of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Granted {
    /// For how many requests there was enough, up to what was asked for.
    pub(crate) requests: u32,
    /// The tokens that are left.
    pub(crate) left: f64,
    /// Until there is enough for another one, if there was for none.
    pub(crate) wait: Duration,
}

/// A key's place, for [`Leases::grant`].
#[derive(Clone, Debug)]
pub(crate) struct Place {
    key: KeyHash,
    /// Who asks for this key: one at a time.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// How many requests are asked for.
    pub(crate) wanted: u32,
}

#[derive(Debug)]
struct Lease {
    turn: Arc<tokio::sync::Mutex<()>>,
    next: u32,
    requests: u32,
    left: f64,
    until: Instant,
    /// Until when requests are refused.
    refused_until: Option<Instant>,
}

impl Leases {
    /// Leases of at most so many requests.
    pub(crate) fn new(most: u32) -> Leases {
        Leases {
            most: most.max(1),
            table: KeyTable::new(),
        }
    }

    /// Judges a request by what is known of its key; nothing if Redis must be asked.
    pub(crate) fn take(&self, key: &[u8], now: Instant) -> Option<Judgement> {
        let key = self.table.hash(key);
        self.table.shard(key).get(key)?.take(now)
    }

    /// Where to ask. Nothing if there is no room for the key: its requests are asked for one by one.
    pub(crate) fn place(&self, key: &[u8], now: Instant) -> Option<Place> {
        let key = self.table.hash(key);
        let mut shard = self.table.shard(key);
        let lease = shard.entry(key, now, |lease| lease.is_of_use(now), || Lease::new(now))?;
        Some(Place {
            key,
            turn: Arc::clone(&lease.turn),
            wanted: lease.wanted(self.most, now),
        })
    }

    /// Puts down what Redis has said, and judges the request that asked.
    pub(crate) fn grant(&self, place: &Place, granted: Granted, now: Instant) -> Judgement {
        if let Some(lease) = self.table.shard(place.key).get(place.key) {
            lease.next = place.wanted;
            lease.requests = granted.requests.saturating_sub(1);
            lease.left = granted.left;
            lease.until = now + LIFE;
            lease.refused_until = (granted.requests == 0).then(|| now + granted.wait.min(LIFE));
        }
        granted.judge()
    }
}

impl Granted {
    /// What it says of the request that asked.
    pub(crate) fn judge(self) -> Judgement {
        Judgement {
            is_allowed: self.requests > 0,
            left: self.left,
            wait: self.wait,
        }
    }
}

impl Lease {
    fn new(now: Instant) -> Lease {
        Lease {
            turn: Arc::default(),
            next: 0,
            requests: 0,
            left: 0.0,
            until: now,
            refused_until: None,
        }
    }

    fn take(&mut self, now: Instant) -> Option<Judgement> {
        if let Some(until) = self.refused_until.filter(|until| now < *until) {
            return Some(Judgement {
                is_allowed: false,
                left: self.left,
                wait: until - now,
            });
        }
        if self.requests == 0 || now >= self.until {
            return None;
        }
        self.requests -= 1;
        Some(Judgement {
            is_allowed: true,
            left: self.left,
            wait: Duration::ZERO,
        })
    }

    fn wanted(&self, most: u32, now: Instant) -> u32 {
        let wanted = match now < self.until {
            true => self.next.saturating_mul(2),
            false => self.next / 2,
        };
        wanted.clamp(1, most)
    }

    /// Whether it says anything, or somebody is asking.
    fn is_of_use(&self, now: Instant) -> bool {
        let is_refusing = self.refused_until.is_some_and(|until| now < until);
        let has_requests = self.requests > 0 && now < self.until;
        is_refusing || has_requests || Arc::strong_count(&self.turn) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_table::{SHARD_KEYS, SHARDS};

    fn granted(requests: u32) -> Granted {
        Granted {
            requests,
            left: 7.0,
            wait: Duration::from_millis(300),
        }
    }

    /// How many requests of a key are asked for now, all of which are granted.
    fn lease(leases: &Leases, now: Instant) -> u32 {
        assert_eq!(leases.take(b"k", now), None);
        let place = leases.place(b"k", now).expect("room");
        assert!(leases.grant(&place, granted(place.wanted), now).is_allowed);
        place.wanted
    }

    fn use_up(leases: &Leases, now: Instant) -> u32 {
        (0..)
            .take_while(|_| leases.take(b"k", now).is_some())
            .count() as u32
    }

    #[test]
    fn leases_grow_with_use_and_shrink_without() {
        let (leases, mut now) = (Leases::new(10), Instant::now());
        for expected in [1, 2, 4, 8, 10, 10] {
            assert_eq!(lease(&leases, now), expected);
            assert_eq!(use_up(&leases, now), expected - 1);
            now += Duration::from_millis(10);
        }
        for expected in [5, 2, 1, 1] {
            now += LIFE;
            assert_eq!(lease(&leases, now), expected);
        }
    }

    #[test]
    fn what_is_left_of_a_lease_is_void_after_its_time() {
        let (leases, now) = (Leases::new(10), Instant::now());
        let place = leases.place(b"k", now).expect("room");
        leases.grant(&place, granted(10), now);
        assert!(leases.take(b"k", now + LIFE / 2).is_some());
        assert_eq!(leases.take(b"k", now + LIFE), None);
    }

    #[test]
    fn a_refusal_is_believed_for_its_time() {
        let (leases, now) = (Leases::new(10), Instant::now());
        let place = leases.place(b"k", now).expect("room");
        assert!(!leases.grant(&place, granted(0), now).is_allowed);
        let later = now + Duration::from_millis(100);
        let refused = leases.take(b"k", later).expect("it is known");
        assert_eq!(
            (refused.is_allowed, refused.wait),
            (false, Duration::from_millis(200))
        );
        assert_eq!(leases.take(b"k", now + Duration::from_millis(300)), None);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_of_use() {
        let (leases, now) = (Leases::new(10), Instant::now());
        let place = leases.place(b"k", now).expect("room");
        leases.grant(&place, granted(10), now);
        for key in 0..2 * SHARDS * SHARD_KEYS {
            let key = key.to_string();
            if let Some(place) = leases.place(key.as_bytes(), now) {
                leases.grant(&place, granted(2), now);
            }
        }
        let kept = leases.table.len();
        assert!(kept <= SHARDS * SHARD_KEYS, "{kept}");
        assert!(leases.take(b"k", now).is_some(), "it is still known");
        // What is void makes room.
        assert!(leases.place(b"new", now + LIFE).is_some());
    }
}
