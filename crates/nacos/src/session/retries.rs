//! When to try again what failed on a live connection.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use crate::desired::Key;

const FIRST: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(30);

/// The failed keys: how often each failed, and when each is due.
#[derive(Debug, Default)]
pub(super) struct Retries {
    failures: HashMap<Key, (u32, Instant)>,
    due: BTreeSet<(Instant, Key)>,
}

impl Retries {
    /// The key failed once more: it is due after a pause that doubles each time.
    pub(super) fn failed(&mut self, key: Key) {
        let failures = self.remove(&key);
        let pause = (FIRST * 2_u32.saturating_pow(failures.min(10))).min(CAP);
        let at = Instant::now() + pause.mul_f64(0.75 + 0.25 * fastrand::f64());
        self.failures.insert(key.clone(), (failures + 1, at));
        self.due.insert((at, key));
    }

    /// The key succeeded, or is tried for another reason.
    pub(super) fn forget(&mut self, key: &Key) {
        self.remove(key);
    }

    /// When the next key is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The keys that are due; their failures stay counted.
    pub(super) fn take_due(&mut self) -> Vec<Key> {
        let now = Instant::now();
        let mut keys = Vec::new();
        while self.due.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.due.pop_first()
        {
            keys.push(key);
        }
        keys
    }

    /// All keys that wait, since the reason of their failure may be gone.
    pub(super) fn take_all(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.due)
            .into_iter()
            .map(|(_, key)| key)
            .collect()
    }

    fn remove(&mut self, key: &Key) -> u32 {
        let Some((failures, at)) = self.failures.remove(key) else {
            return 0;
        };
        self.due.remove(&(at, key.clone()));
        failures
    }
}
