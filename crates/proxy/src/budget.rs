//! The retry budget: retries are a share of the traffic, so that they cannot
//! double the load of services that are failing under it.
//!
//! The scheme is Finagle's `RetryBudget`: each request pays a fraction of a
//! retry in, each retry takes a whole one out, and a few a second are free.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// The price of one retry.
const RETRY: i64 = 100;
/// The most that can be saved up, in retries: enough for every request that
/// was in flight to an endpoint when it died.
const SAVINGS: i64 = 1_000;

/// A budget of retries. All atomics; a saturated budget costs a request one
/// load.
#[derive(Debug)]
pub(crate) struct Budget {
    percent: i64,
    min_per_second: u64,
    balance: AtomicI64,
    opened: Instant,
    /// The second in the upper 40 bits, the free retries of it in the lower 24.
    free: AtomicU64,
}

const FREE_BITS: u32 = 24;

impl Budget {
    pub(crate) fn new(percent: u32, min_per_second: u32) -> Budget {
        Budget {
            percent: i64::from(percent),
            min_per_second: u64::from(min_per_second),
            balance: AtomicI64::new(0),
            opened: Instant::now(),
            free: AtomicU64::new(0),
        }
    }

    /// A request came in.
    pub(crate) fn pay_in(&self) {
        if self.percent > 0 && self.balance.load(Relaxed) < SAVINGS * RETRY {
            self.balance.fetch_add(self.percent, Relaxed);
        }
    }

    /// Whether one retry can be paid for; it is then paid.
    pub(crate) fn take(&self) -> bool {
        self.take_free(self.opened.elapsed()) || self.take_saved()
    }

    fn take_saved(&self) -> bool {
        self.balance
            .fetch_update(Relaxed, Relaxed, |balance| {
                (balance >= RETRY).then(|| balance - RETRY)
            })
            .is_ok()
    }

    fn take_free(&self, age: Duration) -> bool {
        let second = age.as_secs();
        self.free
            .fetch_update(Relaxed, Relaxed, |free| {
                let taken = if free >> FREE_BITS == second {
                    free & ((1 << FREE_BITS) - 1)
                } else {
                    0
                };
                (taken < self.min_per_second).then_some((second << FREE_BITS) | (taken + 1))
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `wanted` retries are granted.
    fn granted(budget: &Budget, wanted: usize) -> usize {
        (0..wanted).filter(|_| budget.take()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_requests() {
        let budget = Budget::new(20, 0);
        assert_eq!(granted(&budget, 10), 0, "nothing was paid in");
        for _ in 0..100 {
            budget.pay_in();
        }
        assert_eq!(granted(&budget, 100), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn some_retries_a_second_are_free() {
        let budget = Budget::new(0, 3);
        assert_eq!(granted(&budget, 10), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(granted(&budget, 10), 3);
        assert_eq!(granted(&Budget::new(0, 0), 10), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn savings_have_a_bound() {
        let budget = Budget::new(100, 0);
        for _ in 0..10_000 {
            budget.pay_in();
        }
        assert_eq!(granted(&budget, 10_000), 1_000);
    }
}
