//! The retry budget: retries are a share of a service's traffic, so that they cannot double the load of a service that fails under
//! load.
//!
//! The scheme is that of Finagle's `RetryBudget`. Each request pays a fraction of a retry, and each retry costs a whole one. Payments
//! are forgotten after ten seconds. A few retries a second are free.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::time::Instant;

/// How many of the last seconds count, the present one included.
const WINDOW_SECONDS: u64 = 10;
/// The price of one retry, of which a request pays a percentage.
const RETRY: u64 = 100;
/// The most that one second saves up, in retries. Beyond it a request costs one load and no write.
const MOST_A_SECOND: u64 = 1_000;

/// The retries that one service can pay for. Failures of other services do not use them up.
///
/// It consists of atomics; a saturated budget costs a request one load. It lies on cache lines of its own, since every request may write
/// it, and the service around it is only read.
#[derive(Debug)]
#[repr(align(64))]
pub struct RetryBudget {
    opened: Instant,
    seconds: [AtomicU64; WINDOW_SECONDS as usize],
}

/// What happened in one second, in one word: 16 bits of the second, 17 bits of the percents that were paid, 14 bits of the paid
/// retries, 17 bits of the free ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Second {
    /// Seconds since the budget was opened, modulo 2^16 (18 hours).
    at: u64,
    paid_in: u64,
    taken: u64,
    free: u64,
}

const AT_BITS: u32 = 16;
const PAID_BITS: u32 = 17;
const TAKEN_BITS: u32 = 14;
const FREE_BITS: u32 = 17;

impl Second {
    const MOST_PAID_IN: u64 = MOST_A_SECOND * RETRY;
    /// More than a whole window saves up.
    const MOST_TAKEN: u64 = (1 << TAKEN_BITS) - 1;
    const MOST_FREE: u64 = (1 << FREE_BITS) - 1;

    fn from_word(word: u64) -> Second {
        let part = |shift: u32, bits: u32| (word >> shift) & ((1 << bits) - 1);
        Second {
            at: part(PAID_BITS + TAKEN_BITS + FREE_BITS, AT_BITS),
            paid_in: part(TAKEN_BITS + FREE_BITS, PAID_BITS),
            taken: part(FREE_BITS, TAKEN_BITS),
            free: part(0, FREE_BITS),
        }
    }

    fn to_word(self) -> u64 {
        let paid_in = self.paid_in.min(Second::MOST_PAID_IN);
        ((self.at << PAID_BITS | paid_in) << TAKEN_BITS | self.taken) << FREE_BITS | self.free
    }

    /// What this word says of second `at`: nothing if it is of another second.
    fn of(word: u64, at: u64) -> Second {
        let second = Second::from_word(word);
        match second.at == at {
            true => second,
            false => Second {
                at,
                ..Second::default()
            },
        }
    }
}

impl RetryBudget {
    pub(crate) fn new() -> RetryBudget {
        RetryBudget {
            opened: Instant::now(),
            seconds: Default::default(),
        }
    }

    /// A request came in, which pays for this share of a retry.
    pub fn pay_in(&self, percent: u32, now: Instant) {
        let at = self.second(now);
        let slot = self.slot(at);
        let is_full =
            |word: u64| Second::of(word, at).paid_in + u64::from(percent) > Second::MOST_PAID_IN;
        if percent == 0 || is_full(slot.load(Relaxed)) {
            return;
        }
        // Always `Some`, so that it always succeeds.
        let _ = slot.fetch_update(Relaxed, Relaxed, |word| {
            let mut second = Second::of(word, at);
            second.paid_in += u64::from(percent);
            Some(second.to_word())
        });
    }

    /// Pays for one retry if that is possible, and returns whether it is. `free` retries a second cost nothing, up to 131,071.
    pub fn take(&self, free_per_second: u32, now: Instant) -> bool {
        let at = self.second(now);
        let most_free = u64::from(free_per_second).min(Second::MOST_FREE);
        self.slot(at)
            .fetch_update(Relaxed, Relaxed, |word| {
                let mut second = Second::of(word, at);
                if second.free < most_free {
                    second.free += 1;
                } else if second.taken < Second::MOST_TAKEN && self.saved(second) >= RETRY {
                    second.taken += 1;
                } else {
                    return None;
                }
                Some(second.to_word())
            })
            .is_ok()
    }

    /// What is left of the payments of the last seconds, `present` among them.
    fn saved(&self, present: Second) -> u64 {
        let earlier = (1..WINDOW_SECONDS).map(|age| {
            let at = present.at.wrapping_sub(age) & ((1 << AT_BITS) - 1);
            Second::of(self.slot(at).load(Relaxed), at)
        });
        let (paid_in, taken) = earlier
            .chain([present])
            .fold((0, 0), |(paid_in, taken), second| {
                (paid_in + second.paid_in, taken + second.taken)
            });
        paid_in.saturating_sub(taken * RETRY)
    }

    fn second(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.opened).as_secs();
        age & ((1 << AT_BITS) - 1)
    }

    fn slot(&self, at: u64) -> &AtomicU64 {
        &self.seconds[(at % WINDOW_SECONDS) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of `wanted` retries are granted.
    fn granted(budget: &RetryBudget, wanted: usize, free_per_second: u32) -> usize {
        let now = Instant::now();
        (0..wanted)
            .filter(|_| budget.take(free_per_second, now))
            .count()
    }

    fn requests(budget: &RetryBudget, count: usize, percent: u32) {
        for _ in 0..count {
            budget.pay_in(percent, Instant::now());
        }
    }

    async fn pass(seconds: f64) {
        tokio::time::advance(Duration::from_secs_f64(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_requests() {
        let budget = RetryBudget::new();
        assert_eq!(granted(&budget, 10, 0), 0, "nothing was paid in");
        requests(&budget, 100, 20);
        assert_eq!(granted(&budget, 100, 0), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn some_retries_a_second_are_free() {
        let budget = RetryBudget::new();
        requests(&budget, 10, 0);
        assert_eq!(granted(&budget, 10, 3), 3);
        pass(1.0).await;
        assert_eq!(granted(&budget, 10, 3), 3);
        assert_eq!(granted(&RetryBudget::new(), 10, 0), 0);
        assert_eq!(granted(&RetryBudget::new(), 10, u32::MAX), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn savings_of_a_second_have_a_bound() {
        let budget = RetryBudget::new();
        requests(&budget, 10_000, 100);
        assert_eq!(granted(&budget, 10_000, 0), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn savings_are_of_the_last_ten_seconds() {
        let budget = RetryBudget::new();
        requests(&budget, 500, 20);
        pass(9.9).await;
        assert!(budget.saved(Second::of(0, 9)) >= 100 * RETRY);
        pass(0.2).await;
        assert_eq!(granted(&budget, 10, 0), 0, "they have expired");
        // Each second's own requests are all that counts once the earlier ones are gone.
        for _ in 0..30 {
            requests(&budget, 50, 20);
            assert_eq!(granted(&budget, 50, 0), 10);
            pass(1.0).await;
        }
    }

    /// After a quiet hour the first 500 failing requests were each sent three times.
    #[tokio::test(start_paused = true)]
    async fn a_quiet_hour_saves_nothing() {
        let budget = RetryBudget::new();
        requests(&budget, 5_000, 20);
        pass(3_600.0).await;
        requests(&budget, 500, 20);
        assert_eq!(granted(&budget, 1_000, 10), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_counts_as_long_as_what_was_paid_in() {
        let budget = RetryBudget::new();
        requests(&budget, 100, 20);
        pass(4.0).await;
        assert_eq!(granted(&budget, 100, 0), 20);
        pass(5.0).await;
        assert_eq!(granted(&budget, 100, 0), 0);
    }

    #[test]
    fn a_second_survives_its_word() {
        let second = Second {
            at: (1 << AT_BITS) - 1,
            paid_in: Second::MOST_PAID_IN,
            taken: Second::MOST_TAKEN,
            free: Second::MOST_FREE,
        };
        assert_eq!(Second::from_word(second.to_word()), second);
        assert_eq!(AT_BITS + PAID_BITS + TAKEN_BITS + FREE_BITS, u64::BITS);
    }
}
