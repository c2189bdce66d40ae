//! What is measured of a mirror: the copies that it makes of requests, and how they are answered.

use std::sync::atomic::{AtomicU64, Ordering};

use super::causes::Causes;
use crate::words::{AGREEMENTS, MIRROR_OUTCOMES};

/// The classes of statuses, from 1xx.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics of the mirrors of one name, held by these.
#[derive(Debug)]
pub struct MirrorMetrics {
    name: Box<str>,
    pub(crate) in_flight: AtomicU64,
    pub(crate) outcomes: Causes,
    /// By the class of the copy's status, and by the order of [`Agreement::ALL`].
    answers: [[AtomicU64; AGREEMENTS.len()]; CLASSES.len()],
}

/// How the answer to a copy compares with the one to its original, by their statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The classes differ, as with 200 and 500.
    Different,
    /// They were not compared, or the original has no status.
    NotCompared,
    /// The classes are the same and the statuses differ, as with 200 and 204.
    SameClass,
    /// The statuses are the same.
    SameStatus,
}

impl Agreement {
    /// All of them, as [`AGREEMENTS`] has their words.
    const ALL: [Agreement; AGREEMENTS.len()] = [
        Agreement::Different,
        Agreement::NotCompared,
        Agreement::SameClass,
        Agreement::SameStatus,
    ];

    /// Of two statuses.
    pub fn of(original: u16, copy: u16) -> Agreement {
        match (original == copy, original / 100 == copy / 100) {
            (true, _) => Agreement::SameStatus,
            (false, true) => Agreement::SameClass,
            (false, false) => Agreement::Different,
        }
    }
}

impl MirrorMetrics {
    pub(crate) fn new(name: &str) -> MirrorMetrics {
        MirrorMetrics {
            name: name.into(),
            in_flight: AtomicU64::new(0),
            outcomes: Causes::of(MIRROR_OUTCOMES),
            answers: Default::default(),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a copy as under way, unless `most` are; it is until [`ended`](MirrorMetrics::ended).
    pub fn begins(&self, most: u64) -> bool {
        let more = |under_way: u64| (under_way < most).then_some(under_way + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.in_flight.fetch_update(set, fetch, more).is_ok()
    }

    /// A copy is not under way any more.
    pub fn ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts what became of a copy, by a word out of [`MIRROR_OUTCOMES`].
    pub fn count(&self, outcome: &'static str) {
        self.outcomes.count(outcome);
    }

    /// Counts the answer to a copy.
    pub fn answered(&self, status: u16, agreement: Agreement) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        let column = Agreement::ALL.iter().position(|known| *known == agreement);
        let counter = &self.answers[class][column.unwrap_or_default()];
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Class, agreement and count of the answers.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        CLASSES.iter().zip(&self.answers).flat_map(|(class, row)| {
            let cells = AGREEMENTS.iter().zip(row);
            cells.map(|(word, count)| (*class, *word, count.load(Ordering::Relaxed)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_agree_wholly_by_class_or_not_at_all() {
        for (original, copy, expected) in [
            (200, 200, Agreement::SameStatus),
            (200, 204, Agreement::SameClass),
            (200, 404, Agreement::Different),
            (503, 502, Agreement::SameClass),
        ] {
            assert_eq!(Agreement::of(original, copy), expected);
        }
    }

    #[test]
    fn answers_are_counted_by_class_and_agreement() {
        let metrics = MirrorMetrics::new("m");
        metrics.answered(204, Agreement::SameClass);
        metrics.answered(999, Agreement::Different);
        let counted: Vec<_> = metrics.answers().filter(|(.., count)| *count > 0).collect();
        let expected = [("2xx", "same_class", 1), ("5xx", "different", 1)];
        assert_eq!(counted, expected);
    }

    #[test]
    fn no_more_copies_are_under_way_than_may_be() {
        let metrics = MirrorMetrics::new("m");
        assert_eq!(
            [2, 2, 2].map(|most| metrics.begins(most)),
            [true, true, false]
        );
        metrics.ended();
        assert!(metrics.begins(2));
    }
}
