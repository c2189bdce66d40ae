//! How an endpoint stands with ejection, in one word.
//!
//! Requests mark an endpoint out, or well again, by one atomic exchange. The supervisor reads the word and does the rest:
//! back-off, schedules, logs. A term counts the marks, so that the report of an old request does not change the present.

use std::sync::atomic::{AtomicU64, Ordering};

/// How an endpoint stands, and since which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Counts ejections, returns and lifts. A report of a pick from an earlier term says nothing about the present.
    pub(crate) term: u32,
    pub(crate) condition: Condition,
}

/// What ejection allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Any number of requests.
    Well,
    /// Back from ejection: one request at a time. Its outcome decides.
    OnTrial,
    /// Back from ejection, and that one request is under way.
    Tested,
    /// None, except in panic mode. It has the reason.
    Out(Failure),
}

/// What an endpoint did that puts it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Refused,
    ConnectTimeout,
    Reset,
    Timeout,
    Tls,
    GatewayErrors,
    SuccessRate,
    Latency,
}

impl Failure {
    const ALL: [Failure; 8] = [
        Failure::Refused,
        Failure::ConnectTimeout,
        Failure::Reset,
        Failure::Timeout,
        Failure::Tls,
        Failure::GatewayErrors,
        Failure::SuccessRate,
        Failure::Latency,
    ];

    /// The static word for logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::Reset => "reset",
            Failure::Timeout => "timeout",
            Failure::Tls => "tls",
            Failure::GatewayErrors => "gateway_errors",
            Failure::SuccessRate => "success_rate",
            Failure::Latency => "latency",
        }
    }

    /// Whether it was found by comparing endpoints. A single answer does not refute that.
    pub(crate) fn is_by_comparison(self) -> bool {
        matches!(self, Failure::SuccessRate | Failure::Latency)
    }
}

impl Standing {
    /// What every endpoint begins with.
    pub(crate) const NEW: Standing = Standing {
        term: 0,
        condition: Condition::Well,
    };

    /// The condition in the lower byte (0 to 2, or 3 and the failure above it), the term above that.
    fn to_word(self) -> u64 {
        let condition = match self.condition {
            Condition::Well => 0,
            Condition::OnTrial => 1,
            Condition::Tested => 2,
            Condition::Out(failure) => 3 + failure as u64,
        };
        u64::from(self.term) << 8 | condition
    }

    fn from_word(word: u64) -> Standing {
        let condition = match word & 0xff {
            0 => Condition::Well,
            1 => Condition::OnTrial,
            2 => Condition::Tested,
            out => {
                let index = (out as usize - 3).min(Failure::ALL.len() - 1);
                Condition::Out(Failure::ALL[index])
            }
        };
        Standing {
            term: (word >> 8) as u32,
            condition,
        }
    }

    pub(crate) fn is_out(self) -> bool {
        matches!(self.condition, Condition::Out(_))
    }

    pub(crate) fn is_well(self) -> bool {
        self.condition == Condition::Well
    }

    /// Out because the others of its service do better.
    pub(crate) fn is_outlier(self) -> bool {
        matches!(self.condition, Condition::Out(failure) if failure.is_by_comparison())
    }

    /// Back from ejection, and nothing has come of it yet.
    pub(crate) fn is_on_trial(self) -> bool {
        matches!(self.condition, Condition::OnTrial | Condition::Tested)
    }

    /// The next term, in another condition.
    fn next(self, condition: Condition) -> Standing {
        Standing {
            term: self.term.wrapping_add(1),
            condition,
        }
    }
}

/// A standing that many threads read and change.
#[derive(Debug)]
pub(crate) struct StandingCell(AtomicU64);

impl StandingCell {
    pub(crate) fn new() -> StandingCell {
        StandingCell(AtomicU64::new(Standing::NEW.to_word()))
    }

    pub(crate) fn load(&self) -> Standing {
        Standing::from_word(self.0.load(Ordering::Acquire))
    }

    /// Moves on to a condition of the next term, if `may` still allows that for the present standing. Returns the new standing if it
    /// moved.
    pub(crate) fn mark(&self, to: Condition, may: impl Fn(Standing) -> bool) -> Option<Standing> {
        let update = |word| {
            let now = Standing::from_word(word);
            may(now).then(|| now.next(to).to_word())
        };
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
        Some(Standing::from_word(before.ok()?).next(to))
    }

    /// Changes the condition within a term, unless another thread was first.
    pub(crate) fn shift(&self, term: u32, from: Condition, to: Condition) -> bool {
        let word = |condition| Standing { term, condition }.to_word();
        self.0
            .compare_exchange(word(from), word(to), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_survives_its_word() {
        let out = Failure::ALL.map(Condition::Out);
        let inside = [Condition::Well, Condition::OnTrial, Condition::Tested];
        for condition in out.into_iter().chain(inside) {
            for term in [0, 1, u32::MAX] {
                let standing = Standing { term, condition };
                assert_eq!(Standing::from_word(standing.to_word()), standing);
            }
        }
    }

    #[test]
    fn a_mark_counts_a_term_and_a_shift_does_not() {
        let cell = StandingCell::new();
        let out = cell.mark(Condition::Out(Failure::Reset), |now| now.term == 0);
        assert_eq!(out, Some(cell.load()));
        let late = cell.mark(Condition::Well, |now| now.term == 0);
        assert_eq!(late, None, "a report of the first term comes too late");
        assert!(cell.mark(Condition::OnTrial, Standing::is_out).is_some());
        assert!(cell.shift(2, Condition::OnTrial, Condition::Tested));
        assert!(!cell.shift(2, Condition::OnTrial, Condition::Tested));
        let now = cell.load();
        assert_eq!((now.term, now.condition), (2, Condition::Tested));
    }
}
