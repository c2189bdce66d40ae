//! The state of one address of one service, which survives every update.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Weak;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::service::Service;

/// One address of one service: its counters, and how it stands with ejection.
///
/// It is the same value for as long as the service lists the address, whatever else changes. An address may belong to another service
/// within seconds: nothing here is shared between services.
pub struct Endpoint {
    address: SocketAddr,
    service: Weak<Service>,
    in_flight: AtomicU32,
    picks: AtomicU64,
    /// A [`Standing`] in one word, so that a pick and an ejection cannot see halves of two.
    standing: AtomicU64,
    timeouts: AtomicU32,
}

/// How an endpoint stands, and since which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Counts ejections, returns and lifts. What a pick of an earlier term reports says nothing about the present one.
    pub(crate) term: u32,
    pub(crate) condition: Condition,
}

/// What ejection allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Any number of requests.
    Well,
    /// Back from ejection: one request, on which the rest depends.
    OnTrial,
    /// Back from ejection, and that one request is under way.
    Tested,
    /// None, except in panic mode.
    Out,
}

impl Standing {
    fn from_word(word: u64) -> Standing {
        let condition = match word & 3 {
            0 => Condition::Well,
            1 => Condition::OnTrial,
            2 => Condition::Tested,
            _ => Condition::Out,
        };
        Standing {
            term: (word >> 2) as u32,
            condition,
        }
    }

    fn to_word(self) -> u64 {
        let condition = match self.condition {
            Condition::Well => 0,
            Condition::OnTrial => 1,
            Condition::Tested => 2,
            Condition::Out => 3,
        };
        u64::from(self.term) << 2 | condition
    }
}

impl Endpoint {
    pub(crate) fn new(address: SocketAddr, service: Weak<Service>) -> Endpoint {
        Endpoint {
            address,
            service,
            in_flight: AtomicU32::new(0),
            picks: AtomicU64::new(0),
            standing: AtomicU64::new(
                Standing {
                    term: 0,
                    condition: Condition::Well,
                }
                .to_word(),
            ),
            timeouts: AtomicU32::new(0),
        }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many picks of it are held now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How often it was picked.
    pub fn picks(&self) -> u64 {
        self.picks.load(Ordering::Relaxed)
    }

    pub(crate) fn service(&self) -> &Weak<Service> {
        &self.service
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.picks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing::from_word(self.standing.load(Ordering::Acquire))
    }

    /// Moves to a condition of the next term; only under the service's lock.
    pub(crate) fn enter(&self, condition: Condition) {
        self.timeouts.store(0, Ordering::Relaxed);
        let term = self.standing().term.wrapping_add(1);
        self.standing
            .store(Standing { term, condition }.to_word(), Ordering::Release);
    }

    /// Changes the condition within a term, unless somebody changed it first.
    pub(crate) fn shift(&self, term: u32, from: Condition, to: Condition) -> bool {
        let from = Standing {
            term,
            condition: from,
        }
        .to_word();
        let to = Standing {
            term,
            condition: to,
        }
        .to_word();
        self.standing
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Counts a request that was not answered in time, and says how many there were since the last answer.
    pub(crate) fn count_timeout(&self) -> u32 {
        self.timeouts
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    pub(crate) fn forget_timeouts(&self) {
        // Read first: the line stays shared between workers while all is well.
        if self.timeouts.load(Ordering::Relaxed) != 0 {
            self.timeouts.store(0, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .field("in_flight", &self.in_flight())
            .field("picks", &self.picks())
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}
