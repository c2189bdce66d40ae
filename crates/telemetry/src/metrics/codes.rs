//! Requests by method and exact status code.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::peak::Peak;
use crate::words::{METHODS, OTHER};

/// Pairs of method and status that are looked through together.
const CHUNK: usize = 8;
/// The most pairs of a route, which usually has a handful. Beyond these (64) requests are counted by class.
const MAX_CHUNKS: usize = 8;

/// The status classes, by their first digit; `none` is a request that got no answer because its client had gone.
const CLASSES: [&str; 10] = [
    "none", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx",
];

/// A method, and a status or a class of them; as labels.
pub(crate) type Labelled = BTreeMap<(&'static str, String), u64>;

/// Counts by method and status. A pair takes the next free place when it comes for the first time, and keeps this place, so that
/// the usual answers of a route are found at once.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    first: Chunk,
    by_class: [Slot; CLASSES.len()],
}

#[derive(Debug, Default)]
struct Chunk {
    slots: [Slot; CHUNK],
    next: OnceLock<Box<Chunk>>,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// 0 while it is free.
    pair: AtomicU32,
    count: AtomicU64,
    /// The time that these requests took, where that is asked for.
    nanoseconds: AtomicU64,
    peak: Peak,
}

/// What was measured of requests that have method and status in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) count: u64,
    pub(crate) nanoseconds: u64,
    /// The longest of late.
    pub(crate) peak_microseconds: u64,
}

impl Slot {
    /// Notes how long a request took that was counted.
    pub(crate) fn time(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.peak.observe(took);
    }

    pub(crate) fn timing(&self) -> Timing {
        Timing {
            count: self.count.load(Ordering::Relaxed),
            nanoseconds: self.nanoseconds.load(Ordering::Relaxed),
            peak_microseconds: self.peak.microseconds(),
        }
    }
}

impl Codes {
    /// Counts a request; 0 is no status. Returns the place where it was counted.
    pub(crate) fn count(&self, method: &str, status: u16) -> &Slot {
        let slot = self.place(method, status);
        slot.count.fetch_add(1, Ordering::Relaxed);
        slot
    }

    fn place(&self, method: &str, status: u16) -> &Slot {
        let pair = pair(method, status);
        let mut chunk = &self.first;
        for _ in 1..MAX_CHUNKS {
            if let Some(slot) = chunk.place(pair) {
                return slot;
            }
            chunk = chunk.next.get_or_init(Box::default);
        }
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        chunk.place(pair).unwrap_or(&self.by_class[class])
    }

    /// All of them.
    pub(crate) fn sum(&self) -> u64 {
        let slots = self.slots().chain(&self.by_class);
        slots.map(|slot| slot.count.load(Ordering::Relaxed)).sum()
    }

    /// Adds what was counted, by its labels.
    pub(crate) fn add_to(&self, labelled: &mut Labelled) {
        for slot in self.slots() {
            let pair = slot.pair.load(Ordering::Relaxed);
            if pair != 0 {
                *labelled.entry(labels(pair)).or_default() += slot.count.load(Ordering::Relaxed);
            }
        }
        for (class, count) in CLASSES.iter().zip(&self.by_class) {
            let count = count.count.load(Ordering::Relaxed);
            if count > 0 {
                *labelled.entry((OTHER, (*class).to_owned())).or_default() += count;
            }
        }
    }

    /// What was counted, by method and status; a class of statuses has none.
    pub(crate) fn timed(&self) -> impl Iterator<Item = (&'static str, Option<u16>, &Slot)> {
        let pairs = self.slots().filter_map(|slot| {
            let pair = slot.pair.load(Ordering::Relaxed);
            let status = (pair & 0xffff) as u16;
            (pair != 0).then(|| (method_of(pair), (status != 0).then_some(status), slot))
        });
        let classes = self.by_class.iter();
        let classes = classes.filter(|slot| slot.count.load(Ordering::Relaxed) > 0);
        pairs.chain(classes.map(|slot| (OTHER, None, slot)))
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let chunks = std::iter::successors(Some(&self.first), |chunk| {
            chunk.next.get().map(|next| &**next)
        });
        chunks.flat_map(|chunk| &chunk.slots)
    }
}

impl Chunk {
    /// Its place, if there is room for it.
    fn place(&self, pair: u32) -> Option<&Slot> {
        self.slots.iter().find(|slot| {
            let mut taken = slot.pair.load(Ordering::Relaxed);
            if taken == 0 {
                let took =
                    slot.pair
                        .compare_exchange(0, pair, Ordering::Relaxed, Ordering::Relaxed);
                taken = took.map_or_else(|taken| taken, |_| pair);
            }
            taken == pair
        })
    }
}

/// Both in one word, which is never 0.
fn pair(method: &str, status: u16) -> u32 {
    let known = METHODS.iter().position(|known| *known == method);
    let method = known.map_or(0, |at| at + 1) as u32 + 1;
    method << 16 | u32::from(status)
}

fn method_of(pair: u32) -> &'static str {
    let method = (pair >> 16) as usize;
    let method = method.checked_sub(2).and_then(|at| METHODS.get(at));
    method.copied().unwrap_or(OTHER)
}

fn labels(pair: u32) -> (&'static str, String) {
    let status = match pair & 0xffff {
        0 => CLASSES[0].to_owned(),
        status => status.to_string(),
    };
    (method_of(pair), status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(codes: &Codes) -> Labelled {
        let mut labelled = Labelled::new();
        codes.add_to(&mut labelled);
        labelled
    }

    #[test]
    fn requests_are_counted_by_method_and_status() {
        let codes = Codes::default();
        for (method, status) in [
            ("GET", 200),
            ("GET", 503),
            ("GET", 200),
            ("POST", 200),
            ("BREW", 418),
            ("get", 418),
            ("DELETE", 0),
        ] {
            codes.count(method, status);
        }
        let expected = [
            (("DELETE", "none"), 1),
            (("GET", "200"), 2),
            (("GET", "503"), 1),
            (("POST", "200"), 1),
            (("other", "418"), 2),
        ];
        let expected =
            expected.map(|((method, status), count)| ((method, status.to_owned()), count));
        assert_eq!(labelled(&codes), Labelled::from(expected));
        assert_eq!(codes.sum(), 7);
    }

    /// An endpoint that answers with whatever it is asked for must not make a series of each.
    #[test]
    fn too_many_pairs_are_counted_by_class() {
        let codes = Codes::default();
        for status in 200..=999 {
            codes.count("GET", status);
        }
        for _ in 0..5 {
            codes.count("GET", 200);
        }
        let labelled = labelled(&codes);
        assert_eq!(codes.sum(), 805);
        assert_eq!(labelled.len(), CHUNK * MAX_CHUNKS + 8);
        assert_eq!(labelled[&("GET", "200".to_owned())], 6);
        assert_eq!(labelled[&("other", "9xx".to_owned())], 100);
    }

    #[test]
    fn threads_that_bring_the_same_pairs_take_one_place_each() {
        let codes = Codes::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for status in 200..240 {
                        codes.count("GET", status);
                    }
                });
            }
        });
        let labelled = labelled(&codes);
        assert_eq!(labelled.len(), 40);
        assert!(labelled.values().all(|count| *count == 8), "{labelled:?}");
    }
}
