//! Whoever is likely to answer first.

use std::sync::Arc;

use tokio::time::Instant;

use super::draw::Draw;
use super::{Balance, Chooser, Entry, Policy, Share, no_arguments};

/// The registry's line.
pub(super) const ENTRY: Entry = Entry {
    name: "peak_ewma",
    summary: "Of two drawn by weight, the one that is likely to answer first, by its latest latencies and what it has in flight.",
    parse: |field| no_arguments(field).map(|()| policy()),
    default: policy,
};

/// A difference below this says nothing: among equals the first draw, which is by weight, decides.
const NOTABLE: f64 = 1.25;

fn policy() -> Policy {
    Policy::new(ENTRY.name, "", PeakEwma)
}

/// Finagle's, linkerd's and tower's balancer: the power of two choices by the cost `latency × (in flight + 1)`. Latency is a moving
/// average that jumps to a peak at once and forgets it over ten seconds, so that a slow endpoint is noticed with its first slow answer
/// and asked again before long. In flight counts against the weight, as in `least_request`.
#[derive(Debug)]
struct PeakEwma;

impl Balance for PeakEwma {
    fn compile(&self, shares: &Arc<[Share]>, _before: Option<&dyn Chooser>) -> Box<dyn Chooser> {
        for share in shares.iter() {
            share.endpoint.peak().follow();
        }
        let weights = shares.iter().map(|share| f64::from(share.weight));
        Box::new(Quicker {
            draw: Draw::new(shares.iter().map(|share| share.weight)),
            mean_weight: weights.sum::<f64>() / shares.len() as f64,
            shares: Arc::clone(shares),
        })
    }
}

struct Quicker {
    draw: Draw,
    mean_weight: f64,
    shares: Arc<[Share]>,
}

impl Chooser for Quicker {
    fn choose(&self, _key: Option<u64>) -> usize {
        let first = self.draw.draw();
        let second = self.draw.draw_other(first);
        if first == second {
            return first;
        }
        let now = Instant::now();
        let latency = |index: usize| self.shares[index].endpoint.peak().latency(now);
        // One that has not answered yet is as quick as the other.
        let (a, b) = latency(first).zip(latency(second)).unwrap_or((1.0, 1.0));
        match a * self.load(first) > b * self.load(second) * NOTABLE {
            true => second,
            false => first,
        }
    }

    fn choose_again(&self) -> usize {
        self.choose(None)
    }
}

impl Quicker {
    /// How many requests the endpoint would have in flight, if its weight were the mean and it got one more.
    fn load(&self, index: usize) -> f64 {
        let share = &self.shares[index];
        let in_flight = f64::from(share.endpoint.in_flight());
        in_flight * self.mean_weight / f64::from(share.weight) + 1.0
    }
}
