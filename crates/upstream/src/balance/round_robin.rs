//! One after the other, by weight.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cycle::{cycle, owed_after, settle};
use super::{Balance, Chooser, Entry, Policy, Share, no_arguments};

/// The registry's line.
pub(super) const ENTRY: Entry = Entry {
    name: "round_robin",
    summary: "One after the other in a smooth order, each as often as its weight says.",
    parse: |field| no_arguments(field).map(|()| policy()),
    default: policy,
};

fn policy() -> Policy {
    Policy::new(ENTRY.name, "", RoundRobin)
}

/// The policy. It starts at a random slot, so that many gateways do not march in step, and after a change goes on where it was: each
/// endpoint keeps the part of a turn that it is owed.
#[derive(Debug)]
struct RoundRobin;

impl Balance for RoundRobin {
    fn compile(&self, shares: &Arc<[Share]>, before: Option<&dyn Chooser>) -> Box<dyn Chooser> {
        let weights: Vec<u32> = shares.iter().map(|share| share.weight).collect();
        let before = before.map(Chooser::owed).filter(|owed| !owed.is_empty());
        let is_new = before.is_none();
        let before = before.unwrap_or_default();
        let owed_to = |share: &Share| before.get(&share.endpoint.address()).copied().unwrap_or(0);
        let mut owed: Vec<i64> = shares.iter().map(owed_to).collect();
        settle(&mut owed);
        let slots = cycle(&weights, &owed);
        let start = if is_new {
            fastrand::usize(..slots.len().max(1))
        } else {
            0
        };
        let next = Cursor(AtomicUsize::new(start));
        Box::new(Turns {
            shares: Arc::clone(shares),
            weights,
            owed,
            slots,
            next,
        })
    }
}

struct Turns {
    shares: Arc<[Share]>,
    weights: Vec<u32>,
    /// What each was owed at slot 0.
    owed: Vec<i64>,
    slots: Box<[u32]>,
    next: Cursor,
}

/// On a cache line of its own: every worker writes it, and the slots beside it are only read.
#[repr(align(64))]
struct Cursor(AtomicUsize);

impl Chooser for Turns {
    fn choose(&self, _key: Option<u64>) -> usize {
        let slot = self.next.0.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        self.slots[slot] as usize
    }

    fn choose_again(&self) -> usize {
        self.slots[fastrand::usize(..self.slots.len())] as usize
    }

    fn owed(&self) -> HashMap<SocketAddr, i64> {
        let done = self.next.0.load(Ordering::Relaxed) % self.slots.len();
        let owed = owed_after(done, &self.slots, &self.weights, &self.owed);
        let addresses = self.shares.iter().map(|share| share.endpoint.address());
        addresses.zip(owed).collect()
    }
}
