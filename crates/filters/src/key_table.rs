//! Something for each key of requests, such as a bucket for each client: bounded, and sharded so that requests of different keys seldom
//! use the same lock.
//!
//! Two keys with the same hash of 64 bits have one value. No client can cause that, since the hash is seeded.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The shards of a table.
pub(crate) const SHARDS: usize = 16;
/// Keys of a shard: 65,536 of a table.
pub(crate) const SHARD_KEYS: usize = 4096;

/// How often a full shard is looked through for what is of no use any more: a flood of keys must not cost that for each of them.
const SWEEP: Duration = Duration::from_millis(100);

/// A value for each key.
#[derive(Debug)]
pub(crate) struct KeyTable<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    hasher: RandomState,
}

/// The hash of a key, which finds its value again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(u64);

/// The values of some keys.
#[derive(Debug)]
pub(crate) struct Shard<V> {
    values: HashMap<KeyHash, V>,
    /// What keys without a place share.
    shared: Option<V>,
    swept: Option<Instant>,
}

impl<V> KeyTable<V> {
    pub(crate) fn new() -> KeyTable<V> {
        KeyTable {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.hasher.hash_one(key))
    }

    /// Locks the shard of a key.
    pub(crate) fn shard(&self, key: KeyHash) -> MutexGuard<'_, Shard<V>> {
        let shard = &self.shards[key.0 as usize % SHARDS];
        // Every section under the lock leaves the shard whole.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys have a value.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let keys = (0..SHARDS as u64).map(KeyHash);
        keys.map(|key| self.shard(key).values.len()).sum()
    }
}

impl<V> Shard<V> {
    fn new() -> Shard<V> {
        Shard {
            values: HashMap::new(),
            shared: None,
            swept: None,
        }
    }

    /// The value of a key that has one.
    pub(crate) fn get(&mut self, key: KeyHash) -> Option<&mut V> {
        self.values.get_mut(&key)
    }

    /// The value of a key, a new one if it has none; nothing if there is no room. Room is made now and then, of values that are not
    /// `of_use` any more.
    pub(crate) fn entry(
        &mut self,
        key: KeyHash,
        now: Instant,
        of_use: impl Fn(&V) -> bool,
        new: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        if self.values.len() >= SHARD_KEYS && !self.values.contains_key(&key) {
            let is_due = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP;
            if self.swept.is_none_or(is_due) {
                self.swept = Some(now);
                self.values.retain(|_, value| of_use(value));
            }
            if self.values.len() >= SHARD_KEYS {
                return None;
            }
        }
        Some(self.values.entry(key).or_insert_with(new))
    }

    /// The value that keys without a place share.
    pub(crate) fn shared(&mut self, new: impl FnOnce() -> V) -> &mut V {
        self.shared.get_or_insert_with(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_value_and_others_have_their_own() {
        let table = KeyTable::new();
        let now = Instant::now();
        let (one, two) = (table.hash(b"one"), table.hash(b"two"));
        assert_eq!(table.hash(b"one"), one);
        assert!(table.shard(one).get(one).is_none());
        *table
            .shard(one)
            .entry(one, now, |_| true, || 0)
            .expect("room") += 1;
        *table
            .shard(two)
            .entry(two, now, |_| true, || 5)
            .expect("room") += 1;
        assert_eq!(table.shard(one).get(one), Some(&mut 1));
        assert_eq!(table.shard(two).get(two), Some(&mut 6));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_full_table_keeps_what_is_of_use_and_looks_for_the_rest_now_and_then() {
        let table = KeyTable::new();
        let now = Instant::now();
        let come = |number: usize, now, of_use: bool| {
            let key = table.hash(&number.to_be_bytes());
            let mut shard = table.shard(key);
            shard.entry(key, now, |_| of_use, || ()).is_some()
        };
        let many = 2 * SHARDS * SHARD_KEYS;
        let placed = (0..many).filter(|number| come(*number, now, true)).count();
        assert_eq!(placed, SHARDS * SHARD_KEYS, "every shard is full");
        assert_eq!(table.len(), placed);
        assert!(
            !come(many, now + SWEEP / 2, false),
            "it was looked through just now"
        );
        assert!(come(many, now + SWEEP, false));
        assert!(table.len() <= placed - SHARD_KEYS + 1);
    }
}
