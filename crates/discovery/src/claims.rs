//! Which services list which addresses: an address that another service has taken over is not held.
//!
//! Addresses are given out again. While a service's endpoints are held because Nacos does not list
//! them, the address of one may appear under another service. Requests for the first service would then
//! reach the second. One address under two services alone proves nothing, since one process may register
//! as both. It counts only if the second service did not have the address before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses of all services of one session, so that the numbers of its connections compare.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    claims: Mutex<HashMap<SocketAddr, Vec<Claim>>>,
    /// Grows with each change, so that a feed only checks after a change.
    version: AtomicU64,
    /// The number of the next service.
    next: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    claimant: u64,
    /// The connection over which the address was first heard of; 0 for what was known before.
    since: u64,
}

/// One service's part in the claims. Dropping it gives up all of them.
#[derive(Debug)]
pub(crate) struct Claimant {
    claims: Arc<Claims>,
    number: u64,
    /// The addresses that the service lists, and since which connection. Held addresses are here too, but
    /// claim nothing.
    known: HashMap<SocketAddr, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    since: u64,
    is_listed: bool,
}

/// An address of a service, as the claims see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) address: SocketAddr,
    /// Whether Nacos lists it now; it is held otherwise.
    pub(crate) is_listed: bool,
}

impl Claims {
    /// A service that claims nothing yet.
    pub(crate) fn claimant(self: &Arc<Self>) -> Claimant {
        Claimant {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            claims: Arc::clone(self),
            known: HashMap::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Claim>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimant {
    /// Replaces what the service has, as heard over connection `epoch`. An address keeps the connection
    /// that it was first heard over for as long as it stays.
    pub(crate) fn set(&mut self, epoch: u64, standings: impl Iterator<Item = Standing>) {
        let mut before = std::mem::take(&mut self.known);
        let mut claims = self.claims.lock();
        let mut changed = false;
        for Standing { address, is_listed } in standings {
            let known = before.remove(&address);
            let since = known.map_or(epoch, |known| known.since);
            let was_listed = known.is_some_and(|known| known.is_listed);
            if is_listed && !was_listed {
                let claimant = self.number;
                claims
                    .entry(address)
                    .or_default()
                    .push(Claim { claimant, since });
                changed = true;
            } else if was_listed && !is_listed {
                give_up(&mut claims, address, self.number);
            }
            self.known.insert(address, Known { since, is_listed });
        }
        for (address, known) in before {
            if known.is_listed {
                give_up(&mut claims, address, self.number);
            }
        }
        drop(claims);
        if changed {
            self.claims.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Notes addresses that were known before the first connection.
    pub(crate) fn remember(&mut self, addresses: impl Iterator<Item = SocketAddr>) {
        let known = Known {
            since: 0,
            is_listed: false,
        };
        self.known.extend(addresses.map(|address| (address, known)));
    }

    /// Whether another service lists an address that was not its own until connection `epoch`, or, with
    /// `any`, lists it at all.
    pub(crate) fn is_taken(&self, address: SocketAddr, epoch: u64, any: bool) -> bool {
        let claims = self.claims.lock();
        claims.get(&address).is_some_and(|claims| {
            claims
                .iter()
                .any(|claim| claim.claimant != self.number && (any || claim.since > epoch))
        })
    }

    /// A number that differs when an address may have been taken since.
    pub(crate) fn version(&self) -> u64 {
        self.claims.version.load(Ordering::Acquire)
    }
}

impl Drop for Claimant {
    fn drop(&mut self) {
        self.set(0, std::iter::empty());
    }
}

fn give_up(claims: &mut HashMap<SocketAddr, Vec<Claim>>, address: SocketAddr, claimant: u64) {
    if let Some(of_address) = claims.get_mut(&address) {
        of_address.retain(|claim| claim.claimant != claimant);
        if of_address.is_empty() {
            claims.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn listed(ports: &[u16]) -> impl Iterator<Item = Standing> {
        ports.iter().map(|port| Standing {
            address: at(*port),
            is_listed: true,
        })
    }

    fn held(ports: &[u16]) -> impl Iterator<Item = Standing> {
        listed(ports).map(|standing| Standing {
            is_listed: false,
            ..standing
        })
    }

    #[test]
    fn an_address_is_taken_by_who_was_not_there_before() {
        let claims = Arc::<Claims>::default();
        let (mut a, mut b) = (claims.claimant(), claims.claimant());
        a.set(1, listed(&[1, 2]));
        b.set(1, listed(&[2]));
        assert!(!a.is_taken(at(1), 1, true), "nobody else has it");
        assert!(!a.is_taken(at(2), 1, false), "both had it");
        assert!(a.is_taken(at(2), 1, true));

        // Both are held over the next connection; the one that is listed again had it before.
        a.set(2, held(&[1, 2]));
        b.set(2, held(&[2]));
        assert!(!a.is_taken(at(2), 1, true), "what is held claims nothing");
        let version = a.version();
        b.set(2, listed(&[1, 2]));
        assert_ne!(a.version(), version);
        assert!(!a.is_taken(at(2), 1, false));
        assert!(a.is_taken(at(1), 1, false));
        drop(b);
        assert!(!a.is_taken(at(1), 1, true), "who is gone claims nothing");
        drop(a);
        assert!(claims.lock().is_empty());
    }

    #[test]
    fn what_an_earlier_run_knew_is_older_than_any_connection() {
        let claims = Arc::<Claims>::default();
        let (mut a, mut b) = (claims.claimant(), claims.claimant());
        a.remember([at(1), at(2)].into_iter());
        b.remember([at(1)].into_iter());
        a.set(1, held(&[1, 2]));
        b.set(1, listed(&[1, 2]));
        assert!(
            !a.is_taken(at(1), 0, false),
            "both had it in the earlier run"
        );
        assert!(a.is_taken(at(2), 0, false));
    }
}
