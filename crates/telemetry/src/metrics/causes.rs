//! Counters by a static word, without a lock and without a lookup by hash.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::words::OTHER;

/// Counts by the words of a list; a word that is not in it counts as `other`. Costs nothing until the first one: most routes never
/// fail.
#[derive(Debug)]
pub(crate) struct Causes {
    words: &'static [&'static str],
    /// One more than the words: the last is for all others.
    counts: OnceLock<Box<[AtomicU64]>>,
}

impl Causes {
    pub(crate) fn of(words: &'static [&'static str]) -> Causes {
        Causes {
            words,
            counts: OnceLock::new(),
        }
    }

    /// Adds one; scans the few words that are known. For what goes wrong, not for every request.
    pub(crate) fn count(&self, cause: &str) {
        let none = || (0..=self.words.len()).map(|_| AtomicU64::new(0)).collect();
        let known = self.words.iter().position(|word| *word == cause);
        let counts = self.counts.get_or_init(none);
        counts[known.unwrap_or(self.words.len())].fetch_add(1, Ordering::Relaxed);
    }

    /// Every word with its count, `other` at the end.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.get();
        let words = self.words.iter().copied().chain([OTHER]);
        words.enumerate().map(move |(at, word)| {
            let count = counts.map_or(0, |counts| counts[at].load(Ordering::Relaxed));
            (word, count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_there_before_the_first_and_bounded() {
        let causes = Causes::of(&["refused", "reset"]);
        let counts = |causes: &Causes| causes.counts().collect::<Vec<_>>();
        assert_eq!(
            counts(&causes),
            [("refused", 0), ("reset", 0), ("other", 0)]
        );
        for cause in ["refused", "reset", "refused", "unheard of", "unheard of"] {
            causes.count(cause);
        }
        assert_eq!(
            counts(&causes),
            [("refused", 2), ("reset", 1), ("other", 2)]
        );
    }
}
