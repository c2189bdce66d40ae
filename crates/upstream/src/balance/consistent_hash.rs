//! Equal keys to the same endpoint, within a bound on its load.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pailou_config::{Field, RequestKey};

use super::ring::Ring;
use super::{Balance, Chooser, Entry, Policy, Share};

/// The registry's line.
pub(super) const ENTRY: Entry = Entry {
    name: "consistent_hash",
    summary: "Equal keys to the same endpoint, unless it has more than its bound of requests in flight; in turn for requests without a key.",
    parse,
    default: || policy(RequestKey::default(), MAX_LOAD_PERCENT),
};

/// The bound of the paper's experiments, and of HAProxy's and Vimeo's use: few keys move, and nobody is far above the mean.
const MAX_LOAD_PERCENT: u64 = 125;

fn policy(key: RequestKey, max_load_percent: u64) -> Policy {
    let arguments = format!("key={}, max_load_percent={max_load_percent}", key.text());
    let balance = ConsistentHash { max_load_percent };
    Policy::new(ENTRY.name, &arguments, balance).with_key(key)
}

fn parse(field: &Field<'_>) -> Option<Policy> {
    if field.is_null() {
        return Some((ENTRY.default)());
    }
    let mut fields = field.mapping()?;
    let key = match fields.optional("key") {
        Some(key) => RequestKey::read(&key),
        None => Some(RequestKey::default()),
    };
    let max_load_percent = match fields.optional("max_load_percent") {
        Some(percent) => percent.integer(101..=10_000),
        None => Some(MAX_LOAD_PERCENT),
    };
    fields.finish();
    Some(policy(key?, max_load_percent?))
}

/// Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with Bounded Loads" (2016). A key belongs to the first endpoint after it on the
/// ring whose requests in flight are below its bound: its share by weight of all that are in flight, this one included, times the
/// factor, rounded up. Some endpoint always is.
#[derive(Debug)]
struct ConsistentHash {
    max_load_percent: u64,
}

impl Balance for ConsistentHash {
    fn compile(&self, shares: &Arc<[Share]>, before: Option<&dyn Chooser>) -> Box<dyn Chooser> {
        let points = |share: &Share| (share.endpoint.address(), share.weight);
        Box::new(Keyed {
            ring: Ring::new(shares.iter().map(points)),
            load: Load::of(shares),
            max_load_percent: self.max_load_percent,
            without_key: Policy::round_robin().compile(shares, before),
            shares: Arc::clone(shares),
        })
    }
}

struct Keyed {
    ring: Ring,
    load: Load,
    max_load_percent: u64,
    shares: Arc<[Share]>,
    /// For requests that have no key.
    without_key: Box<dyn Chooser>,
}

impl Chooser for Keyed {
    fn choose(&self, key: Option<u64>) -> usize {
        let Some(key) = key else {
            return self.without_key.choose(None);
        };
        let owner = self.ring.owners_from(key).next().unwrap_or_default();
        // An idle endpoint has room whatever the others have.
        if self.shares[owner].endpoint.in_flight() == 0 {
            return owner;
        }
        self.next_of(key, &|_| true).unwrap_or(owner)
    }

    fn choose_again(&self) -> usize {
        self.without_key.choose_again()
    }

    fn next_of(&self, key: u64, may: &dyn Fn(usize) -> bool) -> Option<usize> {
        let (in_flight, weights) = self.load.total(&self.shares);
        let has_room = |index: usize| {
            let share = &self.shares[index];
            // Multiplied out: load < factor × (all + 1) × weight / weights.
            let load = u128::from(share.endpoint.in_flight()) * u128::from(weights) * 100;
            let bound = u128::from(self.max_load_percent) * u128::from(in_flight + 1);
            load < bound * u128::from(share.weight)
        };
        let mut nearest = None;
        for index in self.ring.owners_from(key).filter(|index| may(*index)) {
            if has_room(index) {
                return Some(index);
            }
            nearest.get_or_insert(index);
        }
        // The load was counted while it changed, or nobody else may be used.
        nearest
    }

    fn owed(&self) -> HashMap<SocketAddr, i64> {
        self.without_key.owed()
    }
}

/// How many endpoints' loads are added up for one pick, on average.
const COUNTED_PER_PICK: usize = 16;

/// What is in flight at all endpoints together. It is added up anew after one pick for every sixteen endpoints, so that the cost of a
/// pick does not grow with them; meanwhile no endpoint has got more than a sixteenth of a request, on average, that is not counted.
struct Load {
    weights: u64,
    picks: AtomicUsize,
    in_flight: AtomicU64,
}

impl Load {
    fn of(shares: &[Share]) -> Load {
        Load {
            weights: shares.iter().map(|share| u64::from(share.weight)).sum(),
            picks: AtomicUsize::new(0),
            in_flight: AtomicU64::new(0),
        }
    }

    /// All that is in flight, and all weights.
    fn total(&self, shares: &[Share]) -> (u64, u64) {
        let pick = self.picks.fetch_add(1, Ordering::Relaxed);
        if !pick.is_multiple_of(shares.len() / COUNTED_PER_PICK + 1) {
            return (self.in_flight.load(Ordering::Relaxed), self.weights);
        }
        let loads = shares.iter().map(|share| share.endpoint.in_flight());
        let in_flight = loads.map(u64::from).sum();
        self.in_flight.store(in_flight, Ordering::Relaxed);
        (in_flight, self.weights)
    }
}

#[cfg(test)]
mod tests {
    use pailou_config::{Node, PartSpec, Position, Report};

    use super::super::parse;

    fn arguments(text: &str) -> Result<String, String> {
        let at = Position { line: 1, column: 1 };
        let report = Report::new("test");
        let args = match text {
            "" => Node::null(at),
            text => Node::parse_yaml(text, &report).expect("YAML"),
        };
        let part = PartSpec {
            name: "consistent_hash".to_owned(),
            args,
            at,
            path: "balance".to_owned(),
        };
        let policy = parse(&part, &report);
        match report.has_errors() {
            false => Ok(policy.expect("no fault").arguments().to_owned()),
            true => Err(report.into_faults()[0].to_string()),
        }
    }

    #[test]
    fn a_key_and_a_bound_are_read_and_what_is_neither_is_refused() {
        for (text, expected) in [
            ("", "key=client_address, max_load_percent=125"),
            (
                "{ key: 'header:x-user' }",
                "key=header:x-user, max_load_percent=125",
            ),
            (
                "{ key: 'cookie:sid', max_load_percent: 200 }",
                "key=cookie:sid, max_load_percent=200",
            ),
        ] {
            assert_eq!(arguments(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, problem) in [
            ("{ key: 'claim:' }", "client_address, header:NAME"),
            ("{ max_load_percent: 100 }", "from 101 to 10000"),
            ("{ keys: 'cookie:sid' }", "unknown key"),
            ("cookie:sid", "mapping"),
        ] {
            let error = arguments(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
