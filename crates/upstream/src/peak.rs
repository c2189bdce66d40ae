//! A latency that follows peaks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// After this time without a slow answer a third of a peak is left: what linkerd has.
const DECAY: Duration = Duration::from_secs(10);

/// The latency of an endpoint for a policy that avoids slow ones: an exponentially weighted moving average by time, which rises to a
/// slow answer at once.
///
/// Nobody writes it unless somebody reads it.
#[derive(Debug)]
pub(crate) struct Peak {
    is_followed: AtomicBool,
    began: Instant,
    /// In the upper half when it was written, in milliseconds; in the lower half the latency then, in microseconds, as the bits of an
    /// `f32`. 0 before the first answer.
    word: AtomicU64,
}

impl Peak {
    pub(crate) fn new() -> Peak {
        Peak {
            is_followed: AtomicBool::new(false),
            began: Instant::now(),
            word: AtomicU64::new(0),
        }
    }

    /// Somebody reads it from now on.
    pub(crate) fn follow(&self) {
        if !self.is_followed.load(Relaxed) {
            self.is_followed.store(true, Relaxed);
        }
    }

    /// Takes an answer. Two at one moment may count as one: an estimate needs no more.
    pub(crate) fn answered(&self, latency: Duration) {
        if !self.is_followed.load(Relaxed) {
            return;
        }
        let now = Instant::now();
        let new = latency.as_secs_f64() * 1e6;
        let (age, old) = self.read(now).unwrap_or_default();
        let smooth = match new >= old {
            true => new,
            false => new + (old - new) * left_after(age),
        };
        let at = u64::from(self.milliseconds(now));
        // Not 0, which is no answer at all.
        let latency = (smooth as f32).max(f32::MIN_POSITIVE);
        self.word
            .store(at << 32 | u64::from(latency.to_bits()), Relaxed);
    }

    /// In microseconds, as it is now: what nobody has asked for long is forgotten, so that it is asked again. `None` before the first
    /// answer.
    pub(crate) fn latency(&self, now: Instant) -> Option<f64> {
        let (age, latency) = self.read(now)?;
        Some(latency * left_after(age))
    }

    fn read(&self, now: Instant) -> Option<(Duration, f64)> {
        let word = self.word.load(Relaxed);
        if word == 0 {
            return None;
        }
        let at = (word >> 32) as u32;
        // Right for 49 days, and then again.
        let age = self.milliseconds(now).wrapping_sub(at);
        // A request that read the clock earlier may write later.
        let age = if age > u32::MAX / 2 { 0 } else { age };
        let latency = f64::from(f32::from_bits(word as u32));
        Some((Duration::from_millis(age.into()), latency))
    }

    fn milliseconds(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.began).as_millis() as u32
    }
}

fn left_after(age: Duration) -> f64 {
    (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn latency_after(peak: &Peak, seconds: u64) -> f64 {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        (peak.latency(Instant::now()).expect("answered") / 1_000.0).round()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peak_is_seen_at_once_and_forgotten_in_time() {
        let peak = Peak::new();
        let answer = |milliseconds| peak.answered(Duration::from_millis(milliseconds));
        answer(10);
        assert_eq!(peak.latency(Instant::now()), None, "nobody reads it");
        peak.follow();
        answer(10);
        assert_eq!(latency_after(&peak, 0).await, 10.0);
        answer(1_000);
        assert_eq!(latency_after(&peak, 0).await, 1_000.0);
        // Quick answers bring it down by time, and not by number.
        (0..100).for_each(|_| answer(10));
        assert_eq!(latency_after(&peak, 0).await, 1_000.0);
        tokio::time::advance(DECAY).await;
        answer(10);
        assert_eq!(latency_after(&peak, 0).await, 374.0);
        // So does silence: somebody has to ask it again.
        assert_eq!(latency_after(&peak, 10).await, 138.0);
        assert_eq!(latency_after(&peak, 100).await, 0.0);
        answer(0);
        assert_eq!(latency_after(&peak, 0).await, 0.0);
        assert!(peak.latency(Instant::now()).is_some());
    }
}
