//! How slow the other side may be while the gateway waits for it.
//!
//! The other side has an account of time. Waiting is taken from the account, and
//! every byte adds the time that the byte may take. So the average rate counts, and
//! not that of a moment. The account has an upper bound, so that a fast hour does
//! not make up for a slow one. Only time in which the gateway waits counts.

use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::connection::Connection;

/// What is asked of the other side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The least rate, in bytes a second; 0 for none.
    pub(crate) min_rate: u64,
    /// For how long it may be slower at first.
    pub(crate) after: Duration,
    /// For how long it may do nothing.
    pub(crate) silence: Duration,
}

/// The account of time of the other side.
#[derive(Debug)]
pub(crate) struct Pace {
    rules: Rules,
    in_hand: Duration,
    waits_since: Option<Instant>,
}

/// In which way the other side is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Silent,
    TooSlow,
}

impl Pace {
    pub(crate) fn new(rules: Rules) -> Pace {
        Pace {
            rules,
            in_hand: rules.after,
            waits_since: None,
        }
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) {
        *self = Pace::new(self.rules);
    }

    /// From now on any rate will do.
    pub(crate) fn any_rate(&mut self) {
        self.rules.min_rate = 0;
        self.restart();
    }

    /// When the other side is late, and in which way. The wait begins now, unless it
    /// has begun.
    pub(crate) fn due(&mut self) -> (Instant, Late) {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        if self.rules.min_rate > 0 && self.in_hand < self.rules.silence {
            return (since + self.in_hand, Late::TooSlow);
        }
        (since + self.rules.silence, Late::Silent)
    }

    /// The same for a client while an answer's bytes wait for it: when it is cut, and
    /// why.
    pub(crate) fn cut_due(&mut self, connection: &Connection) -> (Instant, Cause) {
        let (due, late) = self.due();
        match connection.cut_due() {
            Some(cut_due) if cut_due < due => (cut_due, Cause::TotalTimeout),
            _ if late == Late::TooSlow => (due, Cause::ClientTooSlow),
            _ => (due, Cause::ClientGone),
        }
    }

    /// Notes that `bytes` have come or gone, which ends the wait.
    pub(crate) fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.waits_since.take() {
            self.in_hand = self.in_hand.saturating_sub(since.elapsed());
        }
        if self.rules.min_rate > 0 && bytes > 0 {
            // Bytes may come in bursts, with the longest allowed silence between them.
            let most = self.rules.after + self.rules.silence;
            let earned = Duration::from_secs_f64(bytes as f64 / self.rules.min_rate as f64);
            self.in_hand = most.min(self.in_hand + earned);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const RULES: Rules = Rules {
        min_rate: 1000,
        after: Duration::from_secs(10),
        silence: Duration::from_secs(30),
    };

    /// Waits for pieces of so many bytes, each so many seconds after the one
    /// before; the second in which it was too late, and what it was then.
    async fn run(rules: Rules, seconds: u64, bytes: usize) -> Option<(u64, Late)> {
        let (mut pace, began) = (Pace::new(rules), Instant::now());
        while began.elapsed() < Duration::from_secs(1000) {
            let (due, late) = pace.due();
            if due < Instant::now() + Duration::from_secs(seconds) {
                return Some(((due - began).as_secs(), late));
            }
            advance(Duration::from_secs(seconds)).await;
            pace.moved(bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn an_average_below_the_rate_is_too_slow_and_silence_is_silence() {
        for (seconds, bytes, expected) in [
            (1, 1001, None),
            (1, 1, Some((10, Late::TooSlow))),
            // Ten seconds in hand, and half a second lost in each.
            (1, 500, Some((19, Late::TooSlow))),
            // In bursts.
            (9, 9001, None),
            (9, 90_000, None),
            (12, 9001, Some((10, Late::TooSlow))),
        ] {
            assert_eq!(
                run(RULES, seconds, bytes).await,
                expected,
                "{seconds} {bytes}"
            );
        }
        let any = Rules {
            min_rate: 0,
            ..RULES
        };
        assert_eq!(run(any, 29, 1).await, None);
        assert_eq!(run(any, 31, 1).await, Some((30, Late::Silent)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_well_long_ago_is_no_excuse() {
        let mut pace = Pace::new(RULES);
        pace.moved(1 << 30);
        let (due, late) = pace.due();
        assert_eq!((due - Instant::now(), late), (RULES.silence, Late::Silent));
        for _ in 0..2 {
            pace.due();
            advance(Duration::from_secs(20)).await;
            pace.moved(1);
        }
        let (due, late) = pace.due();
        assert_eq!(late, Late::TooSlow);
        assert!(due - Instant::now() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_is_waited_for_does_not_count() {
        let mut pace = Pace::new(RULES);
        for _ in 0..100 {
            pace.due();
            advance(Duration::from_millis(50)).await;
            pace.moved(1);
            advance(Duration::from_secs(3600)).await;
        }
        let left = pace.due().0 - Instant::now();
        assert!(left > Duration::from_secs(4), "{left:?}");
    }
}
