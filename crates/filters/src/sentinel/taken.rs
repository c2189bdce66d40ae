//! What was taken of a rule, for each value that it counts by: as `ParamFlowChecker` of Sentinel 1.8 does it, to which the gateway's
//! adapter hands all of its rules.

use std::time::{Duration, Instant};

use super::read::{Amount, RuleSpec};
use crate::key_table::{KeyHash, KeyTable, Shard};

/// What was taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// So many requests in an interval, and a burst on top. Tokens come back once an interval has passed since they were last given
    /// back, as many as the time since then is worth.
    Requests {
        count: u64,
        most: u64,
        interval: Duration,
        tokens: KeyTable<Tokens>,
    },
    /// One after the other: a request waits until its turn comes, `patience` at most.
    Turns {
        /// The time between two requests; none may pass without it.
        apart: Option<Duration>,
        patience: Duration,
        last: KeyTable<Instant>,
    },
    /// So many at once.
    AtOnce {
        count: u64,
        under_way: KeyTable<u64>,
    },
}

#[derive(Debug)]
pub(super) struct Tokens {
    left: u64,
    since: Instant,
}

/// What a request got.
pub(super) enum Got {
    /// It may go on after so long.
    Turn(Duration),
    /// It may go on, and has to be taken back when it has ended.
    Place(KeyHash),
}

impl Taken {
    pub(super) fn new(spec: &RuleSpec) -> Taken {
        // Sentinel drops what is behind the point, so that less than one is none.
        let count = spec.count as u64;
        let interval = Duration::from_secs(spec.interval_seconds.into());
        match spec.amount {
            Amount::AtOnce => Taken::AtOnce {
                count,
                under_way: KeyTable::new(),
            },
            Amount::Turns { patience } => Taken::Turns {
                apart: (count > 0).then(|| {
                    let milliseconds = interval.as_secs_f64() * 1000.0 / count as f64;
                    Duration::from_millis(milliseconds.round() as u64)
                }),
                patience,
                last: KeyTable::new(),
            },
            Amount::Requests { burst } => Taken::Requests {
                count,
                most: match count {
                    0 => 0,
                    count => count.saturating_add(burst.into()),
                },
                interval,
                tokens: KeyTable::new(),
            },
        }
    }

    /// Takes one for a request; `None` if it may not go on.
    pub(super) fn take(&self, key: &[u8], now: Instant) -> Option<Got> {
        match self {
            Taken::Requests {
                count,
                most,
                interval,
                tokens,
            } => {
                let full = || Tokens {
                    left: *most,
                    since: now,
                };
                let is_less =
                    |tokens: &Tokens| tokens.filled(*count, *most, *interval, now).left < *most;
                at(tokens, key, now, is_less, full, |tokens, _| {
                    *tokens = tokens.filled(*count, *most, *interval, now);
                    tokens.left = tokens.left.checked_sub(1)?;
                    Some(Got::Turn(Duration::ZERO))
                })
            }
            Taken::Turns {
                apart,
                patience,
                last,
            } => {
                let apart = (*apart)?;
                let long_ago = || now.checked_sub(apart).unwrap_or(now);
                let is_recent = |last: &Instant| *last + apart > now;
                at(last, key, now, is_recent, long_ago, |last, _| {
                    let turn = (*last + apart).max(now);
                    let wait = turn - now;
                    if !wait.is_zero() && wait >= *patience {
                        return None;
                    }
                    *last = turn;
                    Some(Got::Turn(wait))
                })
            }
            Taken::AtOnce { count, under_way } => {
                let is_any = |under_way: &u64| *under_way > 0;
                at(
                    under_way,
                    key,
                    now,
                    is_any,
                    || 0,
                    |under_way, hash| {
                        if *under_way >= *count {
                            return None;
                        }
                        *under_way += 1;
                        Some(Got::Place(hash))
                    },
                )
            }
        }
    }

    /// A request that got a place has ended.
    pub(super) fn leave(&self, key: KeyHash) {
        let Taken::AtOnce { under_way, .. } = self else {
            return;
        };
        let mut shard = under_way.shard(key);
        // One that came when the table was full is among those that share a count.
        let has_own = shard.get(key).is_some_and(|under_way| *under_way > 0);
        let under_way = match shard.get(key) {
            Some(under_way) if has_own => under_way,
            _ => shard.shared(|| 0),
        };
        *under_way = under_way.saturating_sub(1);
    }
}

impl Tokens {
    /// With those that have come back by now.
    fn filled(&self, count: u64, most: u64, interval: Duration, now: Instant) -> Tokens {
        let passed = now.saturating_duration_since(self.since);
        let (left, since) = match passed > interval {
            false => (self.left, self.since),
            true => {
                let back = passed.as_millis() * u128::from(count) / interval.as_millis();
                let back = u64::try_from(back).unwrap_or(u64::MAX);
                (self.left.saturating_add(back).min(most), now)
            }
        };
        Tokens { left, since }
    }
}

/// Does something with the value of a key: its own, or the one that keys without a place share.
fn at<V, R>(
    table: &KeyTable<V>,
    key: &[u8],
    now: Instant,
    of_use: impl Fn(&V) -> bool,
    new: impl Fn() -> V,
    then: impl FnOnce(&mut V, KeyHash) -> R,
) -> R {
    let key = table.hash(key);
    let mut shard = table.shard(key);
    let shard: &mut Shard<V> = &mut shard;
    match shard.entry(key, now, of_use, &new) {
        Some(value) => then(value, key),
        None => then(shard.shared(new), key),
    }
}
