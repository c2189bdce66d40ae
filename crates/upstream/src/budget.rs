//! The retry budget: retries are a share of a service's traffic, so that they cannot double its load while it is
//! failing under it.
//!
//! The scheme is Finagle's `RetryBudget`: each request pays a fraction of a retry in, each retry takes a whole one out,
//! and a few a second are free.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// The price of one retry.
const RETRY: i64 = 100;
/// The most that can be saved up, in retries: enough for every request that was in flight to an endpoint when it died.
const SAVINGS: i64 = 1_000;

const FREE_BITS: u32 = 24;
/// The second in the upper 40 bits, the free retries of it in the lower 24.
const FREE_MASK: u64 = (1 << FREE_BITS) - 1;

/// The retries that one service can pay for: another service's failures take nothing of them.
///
/// All atomics; a saturated budget costs a request one load. On a line of its own: every request may write it, and the
/// service around it is only read.
#[derive(Debug)]
#[repr(align(64))]
pub struct RetryBudget {
    balance: AtomicI64,
    opened: Instant,
    free: AtomicU64,
}

impl RetryBudget {
    pub(crate) fn new() -> RetryBudget {
        RetryBudget {
            balance: AtomicI64::new(0),
            opened: Instant::now(),
            free: AtomicU64::new(0),
        }
    }

    /// A request came in, which pays for this share of a retry.
    pub fn pay_in(&self, percent: u32) {
        if percent > 0 && self.balance.load(Relaxed) < SAVINGS * RETRY {
            self.balance.fetch_add(i64::from(percent), Relaxed);
        }
    }

    /// Whether one retry can be paid for; it is then paid. So many a second are free.
    pub fn take(&self, free_per_second: u32) -> bool {
        self.take_free(self.opened.elapsed(), free_per_second) || self.take_saved()
    }

    fn take_saved(&self) -> bool {
        self.balance
            .fetch_update(Relaxed, Relaxed, |balance| {
                (balance >= RETRY).then(|| balance - RETRY)
            })
            .is_ok()
    }

    fn take_free(&self, age: Duration, per_second: u32) -> bool {
        let second = age.as_secs();
        let limit = u64::from(per_second).min(FREE_MASK);
        self.free
            .fetch_update(Relaxed, Relaxed, |free| {
                let taken = if free >> FREE_BITS == second {
                    free & FREE_MASK
                } else {
                    0
                };
                (taken < limit).then_some((second << FREE_BITS) | (taken + 1))
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `wanted` retries are granted.
    fn granted(budget: &RetryBudget, wanted: usize, free_per_second: u32) -> usize {
        (0..wanted).filter(|_| budget.take(free_per_second)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_requests() {
        let budget = RetryBudget::new();
        assert_eq!(granted(&budget, 10, 0), 0, "nothing was paid in");
        for _ in 0..100 {
            budget.pay_in(20);
        }
        assert_eq!(granted(&budget, 100, 0), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn some_retries_a_second_are_free() {
        let budget = RetryBudget::new();
        budget.pay_in(0);
        assert_eq!(granted(&budget, 10, 3), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(granted(&budget, 10, 3), 3);
        assert_eq!(granted(&RetryBudget::new(), 10, 0), 0);
        assert_eq!(granted(&RetryBudget::new(), 10, u32::MAX), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn savings_have_a_bound() {
        let budget = RetryBudget::new();
        for _ in 0..10_000 {
            budget.pay_in(100);
        }
        assert_eq!(granted(&budget, 10_000, 0), 1_000);
    }
}
