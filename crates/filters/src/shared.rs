//! What filters of several routes share, and what outlives a change of a route.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pailou_config::CredentialSettings;
use pailou_redis::Redis;
use pailou_telemetry::Metrics;

use crate::Sources;
use crate::breaker::{Breaker, BreakerSettings};
use crate::limit::{Buckets, Rate};
use crate::response_cache::ResponseCache;
use crate::slots::{SlotSettings, Slots};
use crate::token::Known;

/// State of filters by name. A filter that is compiled anew finds its state again if
/// the old route still runs and the settings are the same.
///
/// One for each table cell. Its locks are taken when routes are compiled, never by a
/// request.
#[derive(Debug)]
pub struct Shared {
    metrics: Metrics,
    redis: Option<Redis>,
    breakers: Interned<String, Breaker>,
    buckets: Interned<String, Buckets>,
    slots: Interned<String, Slots>,
    caches: Interned<String, ResponseCache>,
    /// Tokens that were verified, by the settings of their filters.
    tokens: Mutex<Vec<Weak<Known>>>,
    sources: Sources,
}

type Interned<K, T> = Mutex<HashMap<K, Weak<T>>>;

impl Shared {
    /// Without any state yet, and without anybody who brings keys or credentials.
    pub fn new(metrics: Metrics) -> Shared {
        let settings = CredentialSettings::default();
        let sources = Sources::new(&settings, "DEFAULT_GROUP", metrics.clone());
        Shared {
            metrics,
            redis: None,
            breakers: Interned::default(),
            buckets: Interned::default(),
            slots: Interned::default(),
            caches: Interned::default(),
            tokens: Mutex::default(),
            sources,
        }
    }

    /// The same, with keys and credentials that somebody brings.
    pub fn following(self, sources: Sources) -> Shared {
        Shared { sources, ..self }
    }

    /// Where keys and credentials come from.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What filters with the same settings know of tokens: `made`, if none has them yet.
    pub(crate) fn tokens(&self, made: Known) -> Arc<Known> {
        let mut all = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        let mut live = all.iter().filter_map(Weak::upgrade);
        if let Some(known) = live.find(|known| known.is_same(&made)) {
            return known;
        }
        let made = Arc::new(made);
        all.push(Arc::downgrade(&made));
        made
    }

    /// The same where limits may be counted in a Redis.
    pub fn counting_in(self, redis: Option<Redis>) -> Shared {
        Shared { redis, ..self }
    }

    /// Forgets the state of filters that no table has any more. The writer of tables calls it after each publish.
    pub fn sweep(&self) {
        forget_dead(&self.breakers);
        forget_dead(&self.buckets);
        forget_dead(&self.slots);
        forget_dead(&self.caches);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|known| known.strong_count() > 0);
        let live = tokens.len();
        tokens.shrink_to(2 * live);
    }

    /// What filters measure.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where limits are counted together, if there is such a place.
    pub(crate) fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// The buckets of that name.
    pub(crate) fn buckets(&self, name: &str, rate: Rate) -> Arc<Buckets> {
        let is_same = |known: &Buckets| known.rate() == rate;
        let make = |_: Option<&Buckets>| Buckets::new(rate);
        intern(&self.buckets, name.to_owned(), is_same, make)
    }

    /// The places of that name. Of routes that set them in different ways, the one that was compiled last makes other ones.
    pub(crate) fn slots(&self, name: &str, settings: SlotSettings) -> Arc<Slots> {
        let is_same = |known: &Slots| known.settings() == settings;
        let make = |known: Option<&Slots>| Slots::new(settings, known, self.metrics.slots(name));
        intern(&self.slots, name.to_owned(), is_same, make)
    }

    /// The breaker of that name. Of routes that set it in different ways, the one that
    /// was compiled last makes another one.
    pub(crate) fn breaker(&self, name: &str, settings: BreakerSettings) -> Arc<Breaker> {
        let make = |_: Option<&Breaker>| Breaker::new(settings, self.metrics.breaker(name));
        let is_same = |known: &Breaker| *known.settings() == settings;
        intern(&self.breakers, name.to_owned(), is_same, make)
    }

    /// The responses that a route keeps, `most_bytes` of them.
    pub(crate) fn cache(&self, route: &str, most_bytes: usize) -> Arc<ResponseCache> {
        let make = |_: Option<&ResponseCache>| ResponseCache::new(most_bytes, self.metrics.clone());
        let is_same = |known: &ResponseCache| known.most_bytes() == most_bytes;
        intern(&self.caches, route.to_owned(), is_same, make)
    }
}

/// Lets go of what nobody uses: a weak reference keeps the memory of what it referred to.
fn forget_dead<K: Hash + Eq, T>(all: &Interned<K, T>) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, weak| weak.strong_count() > 0);
    let live = all.len();
    all.shrink_to(2 * live);
}

/// `make` gets what has the key until now, with other settings.
fn intern<K: Hash + Eq, T>(
    all: &Interned<K, T>,
    key: K,
    is_same: impl Fn(&T) -> bool,
    make: impl FnOnce(Option<&T>) -> T,
) -> Arc<T> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let known = all.get(&key).and_then(Weak::upgrade);
    if let Some(known) = known.as_ref().filter(|known| is_same(known)) {
        return Arc::clone(known);
    }
    // What is compiled and never published is not swept.
    if all.len() == all.capacity() {
        all.retain(|_, weak| weak.strong_count() > 0);
    }
    let made = Arc::new(make(known.as_deref()));
    all.insert(key, Arc::downgrade(&made));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_found_again_by_name_and_settings() {
        let shared = Shared::new(Metrics::new());
        let settings = BreakerSettings::default();
        let one = shared.breaker("a", settings);
        assert!(Arc::ptr_eq(&one, &shared.breaker("a", settings)));
        assert!(!Arc::ptr_eq(&one, &shared.breaker("b", settings)));
        let other = BreakerSettings {
            trials: 7,
            ..settings
        };
        assert!(!Arc::ptr_eq(&one, &shared.breaker("a", other)));
    }

    /// A thousand publishes, each with the filters of other routes than the one before.
    #[test]
    fn publishes_with_changing_filters_do_not_make_it_grow() {
        const ROUTES: usize = 5;
        let shared = Shared::new(Metrics::new());
        let (breaker, slots) = (BreakerSettings::default(), slot_settings());
        let rate = Rate {
            per_second: 1.0,
            burst: 1.0,
        };
        let mut table = Vec::new();
        for publish in 0..1_000 {
            let new: Vec<_> = (0..ROUTES)
                .map(|route| {
                    let name = format!("{publish}/{route}");
                    let known = Known::new(settings(&name), Vec::new(), None);
                    (
                        shared.breaker(&name, breaker),
                        shared.buckets(&name, rate),
                        shared.slots(&name, slots),
                        shared.cache(&name, 1_000),
                        shared.tokens(known),
                    )
                })
                .collect();
            table = new;
            shared.sweep();
            let tokens = shared.tokens.lock().expect("no panic under it");
            let sizes = [
                size(&shared.breakers),
                size(&shared.buckets),
                size(&shared.slots),
                size(&shared.caches),
                (tokens.len(), tokens.capacity()),
            ];
            for (len, capacity) in sizes {
                assert_eq!(len, ROUTES, "{publish}");
                assert!(capacity <= 4 * ROUTES, "{publish}: {capacity}");
            }
        }
        drop(table);
        shared.sweep();
        assert_eq!(size(&shared.buckets), (0, 0));
    }

    fn size<T>(all: &Interned<String, T>) -> (usize, usize) {
        let all = all.lock().expect("no panic under it");
        (all.len(), all.capacity())
    }

    fn settings(text: &str) -> pailou_config::Node {
        let report = pailou_config::Report::new("test");
        pailou_config::Node::parse_yaml(text, &report).expect("YAML")
    }

    fn slot_settings() -> SlotSettings {
        SlotSettings {
            most: 1,
            queue: 0,
            wait: std::time::Duration::from_secs(1),
            adapt: None,
        }
    }
}
