//! Responses that are kept for a while, in memory.
//!
//! pingora-cache does not fit: its storage speaks the types of pingora's proxy,
//! which this gateway does not use, and its memory storage has no bound of bytes
//! that would hold without that proxy's eviction around it.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use pailou_telemetry::Metrics;

/// What an entry takes beside its body and its headers.
const OVERHEAD: usize = 256;

/// Responses by key, up to a number of bytes. Responses that no request has used are
/// dropped first, the oldest before the others.
///
/// Keys are kept as hashes of 128 bits that nobody can foresee. Cost per request:
/// two hashes for each lookup and a short lock.
pub(crate) struct ResponseCache {
    most_bytes: usize,
    hashers: [RandomState; 2],
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: HashMap<u128, Slot>,
    /// Every slot once, the oldest first.
    queue: VecDeque<u128>,
    bytes: usize,
}

enum Slot {
    /// The responses of this key differ by these request headers.
    Varies(Arc<[HeaderName]>),
    Kept {
        response: Arc<Kept>,
        is_used: bool,
    },
}

/// A response that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) until: Instant,
}

/// Where a response belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u128);

impl ResponseCache {
    pub(crate) fn new(most_bytes: usize, metrics: Metrics) -> ResponseCache {
        ResponseCache {
            most_bytes,
            hashers: [RandomState::new(), RandomState::new()],
            metrics,
            state: Mutex::default(),
        }
    }

    pub(crate) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// The key of these parts.
    pub(crate) fn key(&self, parts: &[&[u8]]) -> Key {
        let [high, low] = &self.hashers;
        Key(u128::from(high.hash_one(parts)) << 64 | u128::from(low.hash_one(parts)))
    }

    /// The response of a key that a request with these headers gets.
    pub(crate) fn find(&self, key: Key, headers: &HeaderMap, now: Instant) -> Option<Arc<Kept>> {
        let found = self.find_kept(key, headers, now);
        self.metrics.response_cache_asked(found.is_some());
        found
    }

    fn find_kept(&self, key: Key, headers: &HeaderMap, now: Instant) -> Option<Arc<Kept>> {
        let mut state = self.state();
        let names = match state.slots.get_mut(&key.0)? {
            Slot::Varies(names) => Arc::clone(names),
            Slot::Kept { response, is_used } => {
                *is_used = true;
                return (now < response.until).then(|| Arc::clone(response));
            }
        };
        let variant = self.variant(key, &names, headers);
        match state.slots.get_mut(&variant.0)? {
            Slot::Kept { response, is_used } => {
                *is_used = true;
                (now < response.until).then(|| Arc::clone(response))
            }
            Slot::Varies(_) => None,
        }
    }

    /// Keeps a response to a request with these headers; `varies` are the names in its
    /// Vary.
    pub(crate) fn keep(&self, key: Key, varies: &[HeaderName], headers: &HeaderMap, kept: Kept) {
        let weight = weight_of(&kept);
        if weight > self.most_bytes {
            return;
        }
        let mut state = self.state();
        let key = match varies {
            [] => key,
            names => {
                state.put(key.0, Slot::Varies(names.into()));
                self.variant(key, names, headers)
            }
        };
        state.put(
            key.0,
            Slot::Kept {
                response: Arc::new(kept),
                is_used: false,
            },
        );
        state.shrink(self.most_bytes);
    }

    fn variant(&self, key: Key, names: &[HeaderName], headers: &HeaderMap) -> Key {
        let key = key.0.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&key];
        for name in names {
            parts.push(name.as_str().as_bytes());
            parts.extend(headers.get_all(name).iter().map(|value| value.as_bytes()));
        }
        self.key(&parts)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, key: u128, slot: Slot) {
        self.bytes += slot.weight();
        match self.slots.insert(key, slot) {
            Some(before) => self.bytes -= before.weight(),
            None => self.queue.push_back(key),
        }
    }

    /// Drops responses until the rest has room. A response that was used since the last
    /// look stays once more (the clock algorithm).
    fn shrink(&mut self, most_bytes: usize) {
        while self.bytes > most_bytes {
            let Some(key) = self.queue.pop_front() else {
                return;
            };
            if let Some(Slot::Kept { is_used, .. }) = self.slots.get_mut(&key)
                && std::mem::take(is_used)
            {
                self.queue.push_back(key);
                continue;
            }
            if let Some(gone) = self.slots.remove(&key) {
                self.bytes -= gone.weight();
            }
        }
    }
}

impl Slot {
    fn weight(&self) -> usize {
        match self {
            Slot::Varies(names) => OVERHEAD + names.len() * size_of::<HeaderName>(),
            Slot::Kept { response, .. } => weight_of(response),
        }
    }
}

fn weight_of(kept: &Kept) -> usize {
    let fields = kept.headers.iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 64)
        .sum();
    OVERHEAD + fields + kept.body.len()
}

/// How long a response may still be kept, in whole seconds.
pub(crate) fn seconds_left(kept: &Kept, now: Instant) -> u64 {
    let left: Duration = kept.until.saturating_duration_since(now);
    left.as_secs()
}

impl std::fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseCache")
            .field("most_bytes", &self.most_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn kept(body: &'static str, until: Instant) -> Kept {
        Kept {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            until,
        }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        fields.collect()
    }

    #[test]
    fn a_response_is_kept_for_its_time() {
        let cache = ResponseCache::new(10_000, Metrics::new());
        let (now, none) = (Instant::now(), HeaderMap::new());
        let until = now + Duration::from_secs(2);
        let (one, two) = (cache.key(&[b"/a"]), cache.key(&[b"/b"]));
        cache.keep(one, &[], &none, kept("a", until));
        let found = |key, at| cache.find(key, &none, at).map(|kept| kept.body.clone());
        assert_eq!(found(one, now).as_deref(), Some(&b"a"[..]));
        assert_eq!(found(two, now), None);
        assert_eq!(found(one, until), None);
        let text = cache.metrics.render();
        assert!(
            text.contains("pailou_response_cache_hits_total 1"),
            "{text}"
        );
        assert!(
            text.contains("pailou_response_cache_misses_total 2"),
            "{text}"
        );
    }

    #[test]
    fn responses_differ_by_the_headers_that_they_vary_by() {
        let cache = ResponseCache::new(10_000, Metrics::new());
        let until = Instant::now() + Duration::from_secs(2);
        let key = cache.key(&[b"/a"]);
        let varies = [HeaderName::from_static("x-v")];
        for value in ["1", "2"] {
            let asked = headers(&[("x-v", value), ("x-w", "7")]);
            cache.keep(key, &varies, &asked, kept(value, until));
        }
        for (asked, expected) in [
            (&[("x-v", "1")][..], Some("1")),
            (&[("x-v", "2"), ("x-w", "8")], Some("2")),
            (&[("x-v", "3")], None),
            (&[], None),
        ] {
            let found = cache.find(key, &headers(asked), Instant::now());
            let found = found.map(|kept| kept.body.clone());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{asked:?}");
        }
    }

    #[test]
    fn the_bytes_are_bounded_and_what_is_asked_for_stays() {
        let cache = ResponseCache::new(10 * OVERHEAD, Metrics::new());
        let (now, none) = (Instant::now(), HeaderMap::new());
        let until = now + Duration::from_secs(60);
        let key = |number: u32| cache.key(&[&number.to_be_bytes()]);
        cache.keep(key(0), &[], &none, kept("", until));
        for number in 1..1_000 {
            cache.keep(key(number), &[], &none, kept("", until));
            assert!(cache.find(key(0), &none, now).is_some(), "{number}");
        }
        let state = cache.state();
        assert!(state.bytes <= 10 * OVERHEAD);
        assert_eq!((state.slots.len(), state.queue.len()), (10, 10));
        drop(state);
        let long: &'static str = "x".repeat(10 * OVERHEAD).leak();
        cache.keep(key(7), &[], &none, kept(long, until));
        assert!(
            cache.find(key(7), &none, now).is_none(),
            "too long to be kept"
        );
    }
}
