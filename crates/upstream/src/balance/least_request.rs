//! The less busy of two.

use std::sync::Arc;

use super::draw::Draw;
use super::{Balance, Chooser, Entry, Policy, Share, no_arguments};

/// The registry's line.
pub(super) const ENTRY: Entry = Entry {
    name: "least_request",
    summary: "Of two drawn by weight, the one with fewer requests in flight for its weight.",
    parse: |field| no_arguments(field).map(|()| policy()),
    default: policy,
};

fn policy() -> Policy {
    Policy::new(ENTRY.name, "", LeastRequest)
}

/// The power of two choices (Mitzenmacher, 2001), weighted as in nginx's `random two least_conn`: both are drawn by weight and their
/// requests in flight are compared in proportion to it, so that an idle service is shared by weight and a busy one by load.
#[derive(Debug)]
struct LeastRequest;

impl Balance for LeastRequest {
    fn compile(&self, shares: &Arc<[Share]>, _before: Option<&dyn Chooser>) -> Box<dyn Chooser> {
        Box::new(LessBusy {
            draw: Draw::new(shares.iter().map(|share| share.weight)),
            shares: Arc::clone(shares),
        })
    }
}

struct LessBusy {
    draw: Draw,
    shares: Arc<[Share]>,
}

impl Chooser for LessBusy {
    fn choose(&self, _key: Option<u64>) -> usize {
        let first = self.draw.draw();
        let second = self.draw.draw_other(first);
        if self.is_busier(first, second) {
            second
        } else {
            first
        }
    }

    fn choose_again(&self) -> usize {
        self.choose(None)
    }
}

impl LessBusy {
    /// Whether `a` has more in flight for its weight than `b`. Both are multiplied out: no division, no rounding.
    fn is_busier(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.shares[a], &self.shares[b]);
        let load_a = u64::from(a.endpoint.in_flight()) * u64::from(b.weight);
        let load_b = u64::from(b.endpoint.in_flight()) * u64::from(a.weight);
        load_a > load_b
    }
}
