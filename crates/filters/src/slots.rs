//! How many requests may be under way at once, and who waits for a place.
//!
//! The number is fixed, or found by itself, in one of two ways. By additive increase and multiplicative decrease, as TCP finds its window
//! (Chiu and Jain, 1989) and as Netflix's concurrency-limits do it for services: while answers come within a target the number grows by
//! one for each round of requests; one that comes later, or never, takes a tenth of it away, once within the time of the target. Or by
//! the gradient of the time to an answer, without a target (`gradient`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pailou_telemetry::SlotMetrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::gradient::{Gradient, GradientSettings};

/// The number is kept in thousandths.
const ONE: u64 = 1_000;

/// Bounds on requests under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SlotSettings {
    /// The most at once.
    pub(crate) most: u32,
    /// How many may wait, and for how long.
    pub(crate) queue: u32,
    pub(crate) wait: Duration,
    pub(crate) adapt: Option<Adapt>,
}

/// How the number is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adapt {
    /// The fewest at once.
    pub(crate) least: u32,
    pub(crate) algorithm: Algorithm,
}

/// By what the number is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Algorithm {
    /// How soon answers should begin.
    Aimd { target: Duration },
    /// By how the time to an answer changes.
    Gradient(GradientSettings),
}

/// Places for requests.
#[derive(Debug)]
pub(crate) struct Slots {
    settings: SlotSettings,
    semaphore: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// How many places there are, in thousandths.
    limit: AtomicU64,
    /// Places to be taken away once they are free.
    debt: AtomicUsize,
    began: Instant,
    /// When the number was made smaller last, in microseconds since it began.
    shrunk_at: AtomicU64,
    gradient: Option<Gradient>,
    metrics: Arc<SlotMetrics>,
}

/// A request's place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    permit: Option<OwnedSemaphorePermit>,
    taken: Instant,
    /// Whether an answer has begun.
    is_answered: AtomicBool,
}

impl Slots {
    pub(crate) fn new(settings: SlotSettings, metrics: Arc<SlotMetrics>) -> Slots {
        // What is found by trying begins low.
        let first = settings.adapt.map_or(settings.most, |adapt| adapt.least);
        metrics.set_limit(first.into());
        let gradient = settings.adapt.and_then(|adapt| match adapt.algorithm {
            Algorithm::Gradient(settings) => Some(Gradient::new(settings)),
            Algorithm::Aimd { .. } => None,
        });
        Slots {
            settings,
            semaphore: Arc::new(Semaphore::new(first as usize)),
            waiting: AtomicUsize::new(0),
            limit: AtomicU64::new(u64::from(first) * ONE),
            debt: AtomicUsize::new(0),
            began: Instant::now(),
            shrunk_at: AtomicU64::new(0),
            gradient,
            metrics,
        }
    }

    pub(crate) fn settings(&self) -> SlotSettings {
        self.settings
    }

    /// A place, if one is free and nobody waits for it.
    pub(crate) fn try_take(self: &Arc<Slots>) -> Option<Slot> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(self.slot(permit))
    }

    /// Whether nobody may wait either.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.load(Relaxed) >= self.settings.queue as usize
    }

    /// A place, as soon as one is free. Nothing if too many wait already, or none is free in time. Who came first is first.
    pub(crate) async fn take(self: &Arc<Slots>) -> Option<Slot> {
        let _waiting = Waiting::begin(self)?;
        let permit = Arc::clone(&self.semaphore).acquire_owned();
        let permit = timeout(self.settings.wait, permit).await.ok()?.ok()?;
        Some(self.slot(permit))
    }

    /// Counts a request that found no place.
    pub(crate) fn refused(&self) {
        self.metrics.refused();
    }

    fn slot(self: &Arc<Slots>, permit: OwnedSemaphorePermit) -> Slot {
        self.metrics.taken();
        Slot {
            slots: Arc::clone(self),
            permit: Some(permit),
            taken: Instant::now(),
            is_answered: false.into(),
        }
    }

    /// An answer came to a request that has had its place since `taken`, or that ended without one.
    fn learn(&self, adapt: Adapt, taken: Instant, now: Instant, is_answered: bool) {
        let time = now.saturating_duration_since(taken);
        let now_us = now.saturating_duration_since(self.began).as_micros() as u64;
        match (adapt.algorithm, &self.gradient) {
            (Algorithm::Aimd { target }, _) if time > target => self.shrink(target, now_us),
            (Algorithm::Aimd { .. }, _) if is_answered => self.grow(),
            // A request that ends early without an answer says nothing: its client may have left.
            (Algorithm::Gradient(_), Some(gradient)) if is_answered || time > gradient.long() => {
                if let Some(window) = gradient.answered(time, now_us) {
                    let is_used = self.is_used();
                    self.change(|places| {
                        let places = places as f64 / ONE as f64;
                        (gradient.judge(window, places, is_used) * ONE as f64) as u64
                    });
                }
            }
            _ => {}
        }
    }

    /// Whether at least half of the places are taken.
    fn is_used(&self) -> bool {
        let places = self.limit.load(Relaxed);
        let in_use = places / ONE - (self.semaphore.available_permits() as u64).min(places / ONE);
        in_use * 2 * ONE >= places
    }

    /// An answer came within the target: one place more for each round of requests, as long as the places are used.
    fn grow(&self) {
        if self.is_used() {
            self.change(|places| places + ONE * ONE / places.max(ONE));
        }
    }

    /// An answer came late, or never: a tenth of the places goes, once within the time of the target.
    fn shrink(&self, target: Duration, now: u64) {
        let shrunk = self.shrunk_at.load(Relaxed);
        if now < shrunk.saturating_add(target.as_micros() as u64)
            || self
                .shrunk_at
                .compare_exchange(shrunk, now, Relaxed, Relaxed)
                .is_err()
        {
            return;
        }
        self.change(|places| places - places / 10);
    }

    /// Another number of places, in thousandths, within the bounds. Those that go and are not free go when they are.
    fn change(&self, to: impl FnOnce(u64) -> u64) {
        let adapt = self.settings.adapt;
        let least = u64::from(adapt.map_or(1, |adapt| adapt.least)) * ONE;
        let most = u64::from(self.settings.most) * ONE;
        let before = self.limit.load(Relaxed);
        let after = to(before).clamp(least, most);
        let changed = self.limit.compare_exchange(before, after, Relaxed, Relaxed);
        // Another answer was first. This one changes as little as one answer does.
        if changed.is_err() || after / ONE == before / ONE {
            return;
        }
        if after > before {
            self.semaphore
                .add_permits((after / ONE - before / ONE) as usize);
        } else {
            let gone = (before / ONE - after / ONE) as usize;
            let free = self.semaphore.forget_permits(gone);
            self.debt.fetch_add(gone - free, Relaxed);
        }
        self.metrics.set_limit(after / ONE);
    }

    fn owes(&self) -> bool {
        let paid = |debt: usize| debt.checked_sub(1);
        self.debt.load(Relaxed) > 0 && self.debt.fetch_update(Relaxed, Relaxed, paid).is_ok()
    }
}

impl Slot {
    /// The head of the response is there.
    pub(crate) fn answered(&self, now: Instant) {
        let Some(adapt) = self.slots.settings.adapt else {
            return;
        };
        if self.is_answered.swap(true, Relaxed) {
            return;
        }
        self.slots.learn(adapt, self.taken, now, true);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.slots;
        if let Some(adapt) = slots.settings.adapt
            && !self.is_answered.load(Relaxed)
        {
            slots.learn(adapt, self.taken, Instant::now(), false);
        }
        slots.metrics.freed();
        if let Some(permit) = self.permit.take()
            && slots.owes()
        {
            permit.forget();
        }
    }
}

/// Somebody who waits for a place.
struct Waiting<'a>(&'a Slots);

impl<'a> Waiting<'a> {
    fn begin(slots: &'a Slots) -> Option<Waiting<'a>> {
        let most = slots.settings.queue as usize;
        let more = |waiting: usize| (waiting < most).then_some(waiting + 1);
        let begun = slots.waiting.fetch_update(Relaxed, Relaxed, more);
        begun.is_ok().then(|| Waiting(slots))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use pailou_telemetry::Metrics;

    use super::*;

    fn slots(most: u32, queue: u32, adapt: Option<Adapt>) -> Arc<Slots> {
        let settings = SlotSettings {
            most,
            queue,
            wait: Duration::from_secs(1),
            adapt,
        };
        Arc::new(Slots::new(settings, Metrics::new().slots("s")))
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_is_first_and_nobody_waits_for_longer_than_he_may() {
        let slots = slots(1, 1, None);
        let first = slots.try_take().expect("a place");
        assert!(slots.try_take().is_none());
        let waits = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.take().await }
        });
        tokio::task::yield_now().await;
        assert!(slots.is_full());
        assert!(slots.take().await.is_none(), "one may wait");
        drop(first);
        let second = waits.await.expect("no panic").expect("a place");
        let began = tokio::time::Instant::now();
        assert!(slots.take().await.is_none(), "none is free in time");
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert!(!slots.is_full());
        drop(second);
        assert!(slots.try_take().is_some());
    }

    const ADAPT: Adapt = Adapt {
        least: 4,
        algorithm: Algorithm::Aimd {
            target: Duration::from_millis(100),
        },
    };

    /// Fills every place and answers all of them after `after`.
    fn round(slots: &Arc<Slots>, after: Duration) -> usize {
        let all: Vec<_> = std::iter::from_fn(|| slots.try_take()).collect();
        for slot in &all {
            slot.answered(slot.taken + after);
        }
        all.len()
    }

    #[test]
    fn the_number_grows_while_answers_are_fast_and_falls_when_they_are_not() {
        let slots = slots(10, 0, Some(ADAPT));
        let mut places: Vec<usize> = (0..9).map(|_| round(&slots, Duration::ZERO)).collect();
        assert_eq!(places.remove(0), 4);
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(places.last(), Some(&10), "and no further: {places:?}");
        // All of a round that is late count once.
        assert_eq!(round(&slots, Duration::from_secs(1)), 10);
        assert_eq!(round(&slots, Duration::from_secs(1)), 9);
    }

    #[test]
    fn it_never_falls_below_its_least() {
        let slots = slots(10, 0, Some(ADAPT));
        for _ in 0..3 {
            assert_eq!(round(&slots, Duration::from_secs(1)), 4);
        }
    }

    #[test]
    fn few_requests_prove_nothing() {
        let slots = slots(10, 0, Some(ADAPT));
        for _ in 0..100 {
            let slot = slots.try_take().expect("a place");
            slot.answered(slot.taken);
        }
        assert_eq!(round(&slots, Duration::ZERO), 4);
    }
}
