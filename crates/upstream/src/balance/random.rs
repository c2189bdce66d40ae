//! At random, by weight.

use std::sync::Arc;

use super::draw::Draw;
use super::{Balance, Chooser, Entry, Policy, Share, no_arguments};

/// The registry's line.
pub(super) const ENTRY: Entry = Entry {
    name: "random",
    summary: "At random, each with a chance in proportion to its weight.",
    parse: |field| no_arguments(field).map(|()| policy()),
    default: policy,
};

fn policy() -> Policy {
    Policy::new(ENTRY.name, "", Random)
}

#[derive(Debug)]
struct Random;

impl Balance for Random {
    fn compile(&self, shares: &Arc<[Share]>, _before: Option<&dyn Chooser>) -> Box<dyn Chooser> {
        Box::new(Chance(Draw::new(shares.iter().map(|share| share.weight))))
    }
}

struct Chance(Draw);

impl Chooser for Chance {
    fn choose(&self, _key: Option<u64>) -> usize {
        self.0.draw()
    }

    fn choose_again(&self) -> usize {
        self.0.draw()
    }
}
