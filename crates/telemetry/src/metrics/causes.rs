//! Counters by a static word, without a lock and without a lookup by hash.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many different words one set can hold. Words are written in source, so that more would be a mistake; what does not fit is
/// counted as `other`.
const MAX_CAUSES: usize = 32;

type Slots = [Slot; MAX_CAUSES];

/// Counts by cause. Costs nothing until the first one: most routes never fail.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    slots: OnceLock<Box<Slots>>,
    other: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    cause: OnceLock<&'static str>,
    count: AtomicU64,
}

impl Causes {
    /// Adds one; scans the few words that are known. For what goes wrong, not for every request.
    pub(crate) fn count(&self, cause: &'static str) {
        let slots = self.slots.get_or_init(Box::default);
        for slot in slots.iter() {
            if *slot.cause.get_or_init(|| cause) == cause {
                slot.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.other.fetch_add(1, Ordering::Relaxed);
    }

    /// Every cause that occurred, with its count.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let mut counts: Vec<(&'static str, u64)> = Vec::new();
        if let Some(slots) = self.slots.get() {
            let known = slots
                .iter()
                .map_while(|slot| Some((*slot.cause.get()?, &slot.count)));
            counts.extend(known.map(|(cause, count)| (cause, count.load(Ordering::Relaxed))));
        }
        let other = self.other.load(Ordering::Relaxed);
        if other > 0 {
            counts.push(("other", other));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_counted_by_word_and_bounded() {
        let causes = Causes::default();
        assert!(causes.counts().is_empty());
        causes.count("refused");
        causes.count("reset");
        causes.count("refused");
        assert_eq!(causes.counts(), [("refused", 2), ("reset", 1)]);
        for n in 0..100 {
            causes.count(Box::leak(format!("cause {n}").into_boxed_str()));
        }
        let counts = causes.counts();
        assert_eq!(counts.len(), MAX_CAUSES + 1);
        assert_eq!(counts.last(), Some(&("other", 100 - 30)));
    }
}
