//! Credentials that were verified a short while ago.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac::{HMAC_SHA256, Key};
use ring::rand::SystemRandom;

use super::Credentials;

const SHARDS: usize = 16;
/// Credentials of a shard. Only those that were verified get here.
const SHARD_KEPT: usize = 256;

/// How long verified credentials need no second look. A changed hash ends it at once.
const KEPT: Duration = Duration::from_secs(300);

/// Proofs of name, password and hash together, 4,096 at most.
#[derive(Default)]
pub(super) struct Known([Mutex<HashMap<Proof, Instant>>; SHARDS]);

/// A digest by a key that this process has drawn: it cannot be turned back into a password, not even by trying.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Proof([u8; 32]);

impl Proof {
    pub(super) fn of(given: &Credentials, hash: &str) -> Proof {
        static KEY: std::sync::LazyLock<Key> = std::sync::LazyLock::new(|| {
            Key::generate(HMAC_SHA256, &SystemRandom::new())
                .expect("the system gives random numbers")
        });
        let mut context = ring::hmac::Context::with_key(&KEY);
        for part in [given.name.as_bytes(), &given.password, hash.as_bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        Proof(bytes)
    }
}

impl Known {
    pub(super) fn new() -> Known {
        Known::default()
    }

    fn shard(&self, proof: &Proof) -> &Mutex<HashMap<Proof, Instant>> {
        &self.0[usize::from(proof.0[0]) % SHARDS]
    }

    /// Whether these were verified a short while before `now`.
    pub(super) fn has(&self, proof: &Proof, now: Instant) -> bool {
        let shard = self.shard(proof).lock();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        shard.get(proof).is_some_and(|ends| now < *ends)
    }

    pub(super) fn insert(&self, proof: Proof, now: Instant) {
        let shard = self.shard(&proof).lock();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_KEPT {
            shard.retain(|_, ends| now < *ends);
        }
        if shard.len() >= SHARD_KEPT
            && let Some(any) = shard.keys().next().copied()
        {
            shard.remove(&any);
        }
        shard.insert(proof, now + KEPT);
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}
