//! Tokens that were judged, until they end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use super::Verified;

/// Shards of the table: requests with different tokens seldom meet at one lock.
const SHARDS: usize = 16;
/// Tokens of a shard.
const SHARD_TOKENS: usize = 512;

/// SHA-256 of a token: two tokens with one are not to be found, and no token is kept.
type Digest = [u8; 32];

/// Judged tokens by their digests, 8,192 at most, some kilobytes each.
#[derive(Default)]
pub(crate) struct Tokens([Mutex<HashMap<Digest, Arc<Verified>>>; SHARDS]);

/// Nothing of what tokens say.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// What finds a token again.
#[derive(Clone, Copy)]
pub(crate) struct Entry(Digest);

impl Entry {
    pub(crate) fn of(token: &[u8]) -> Entry {
        let mut bytes = Digest::default();
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        Entry(bytes)
    }
}

impl Tokens {
    fn shard(&self, entry: Entry) -> &Mutex<HashMap<Digest, Arc<Verified>>> {
        &self.0[usize::from(entry.0[0]) % SHARDS]
    }

    /// The token, if it was judged and has not ended at `now`. A lock of one shard, for as long as the look-up takes.
    pub(crate) fn get(&self, entry: Entry, now: u64) -> Option<Arc<Verified>> {
        let shard = self.shard(entry);
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shard.get(&entry.0).cloned();
        drop(shard);
        found.filter(|verified| now < verified.ends)
    }

    /// Keeps a token. A full shard forgets those that have ended, or else any one.
    pub(crate) fn insert(&self, entry: Entry, verified: Arc<Verified>, now: u64) {
        let shard = self.shard(entry);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_TOKENS && !shard.contains_key(&entry.0) {
            shard.retain(|_, known| now < known.ends);
        }
        if shard.len() >= SHARD_TOKENS
            && let Some(any) = shard.keys().next().copied()
        {
            shard.remove(&any);
        }
        shard.insert(entry.0, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(ends: u64) -> Arc<Verified> {
        Arc::new(Verified {
            ends,
            ..Verified::default()
        })
    }

    #[test]
    fn a_token_is_known_until_it_ends() {
        let (tokens, entry) = (Tokens::default(), Entry::of(b"token"));
        assert!(tokens.get(entry, 1).is_none());
        tokens.insert(entry, verified(10), 1);
        assert!(tokens.get(entry, 9).is_some());
        assert!(tokens.get(entry, 10).is_none());
        assert!(tokens.get(Entry::of(b"tokem"), 9).is_none());
    }

    #[test]
    fn its_memory_has_a_bound() {
        let tokens = Tokens::default();
        let most = SHARDS * SHARD_TOKENS;
        for number in 0..100_000_usize {
            tokens.insert(Entry::of(&number.to_be_bytes()), verified(10), 1);
        }
        let count = || -> usize {
            let shards = tokens.0.iter();
            shards
                .map(|shard| shard.lock().expect("no panic").len())
                .sum()
        };
        assert_eq!(count(), most);
        // Those that have ended make room first.
        tokens.insert(Entry::of(b"last"), verified(20), 11);
        assert!(tokens.get(Entry::of(b"last"), 11).is_some());
        assert!(count() <= most - SHARD_TOKENS + 1);
    }
}
