//! One after the other, by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::schedule::schedule;
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

/// The policy. It starts at a random slot, so that many gateways do not march in step.
#[derive(Debug)]
struct RoundRobin;

impl Balance for RoundRobin {
    fn compile(&self, shares: &Arc<[Share]>, before: Option<&dyn Chooser>) -> Box<dyn Chooser> {
        let weights: Vec<u32> = shares.iter().map(|share| share.weight).collect();
        let slots = schedule(&weights);
        let start = match before.and_then(Chooser::position) {
            // Rounded at random: to round down each time would favour the first endpoints when updates are frequent.
            Some(position) => (position * slots.len() as f64 + fastrand::f64()) as usize,
            None => fastrand::usize(..slots.len().max(1)),
        };
        Box::new(Turns {
            slots,
            next: Cursor(AtomicUsize::new(start)),
        })
    }
}

struct Turns {
    slots: Box<[u32]>,
    next: Cursor,
}

/// On a cache line of its own: every worker writes it, and the slots beside it are only read.
#[repr(align(64))]
struct Cursor(AtomicUsize);

impl Chooser for Turns {
    fn choose(&self) -> usize {
        let slot = self.next.0.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        self.slots[slot] as usize
    }

    fn choose_again(&self) -> usize {
        self.slots[fastrand::usize(..self.slots.len())] as usize
    }

    fn position(&self) -> Option<f64> {
        let slot = self.next.0.load(Ordering::Relaxed) % self.slots.len();
        Some(slot as f64 / self.slots.len() as f64)
    }
}
