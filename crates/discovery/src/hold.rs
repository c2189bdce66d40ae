//! The hold: what a service's endpoints are while a Nacos server may not know them yet.
//!
//! A server that restarts answers a subscription with no hosts, pushes empty for some seconds and then
//! lists the instances one by one as their publishers find it again. An empty answer is therefore true
//! in form and wrong in substance. For a window after a reconnect, or after an empty push on a live
//! connection, the effective set is the last good one **together with** what the server says now:
//! what it says now wins per address, the rest is held.
//!
//! A held endpoint leaves when it is listed again (it is live then, and its next absence is believed), when it
//! is ejected (the balancer does that, and never revives an ejected held endpoint), when another service has
//! taken over its address (`claims`), or when its window is over. A partial answer does not end the hold. A
//! further empty answer does not lengthen it. Another reconnect starts the window again, since the new server
//! may know as little as the one before.
//!
//! This is a state machine without a clock or a task: time is passed in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use pailou_upstream::EndpointSpec;
use tokio::time::Instant;

use crate::claims::Standing;

/// What the server said of one service, already admitted and resolved.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The endpoints it listed.
    pub(crate) endpoints: Vec<EndpointSpec>,
    /// Whether the server listed no instance at all. An answer whose instances were all refused by our
    /// own rules is not empty: the server knew what it said.
    pub(crate) empty: bool,
    /// The number of the connection it came over.
    pub(crate) epoch: u64,
}

/// Why a hold began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Began {
    /// The connection is a new one.
    Reconnect,
    /// The server said "empty" of a service that had instances, on the same connection.
    EmptyPush,
}

impl Began {
    /// The static name used in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Began::Reconnect => "reconnect",
            Began::EmptyPush => "empty push",
        }
    }
}

/// What an update or the passing of time did to the hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Transition {
    /// The hold began: why, and how many endpoints it keeps.
    pub(crate) began: Option<(Began, usize)>,
    /// The hold ended: how many endpoints it dropped because they were never listed again.
    pub(crate) ended: Option<usize>,
}

/// All that was listed under one address: at least one.
type Listings = Vec<EndpointSpec>;

#[derive(Debug)]
struct Held {
    listings: Listings,
    until: Instant,
    /// The connection that it was last listed over.
    epoch: u64,
    /// Why it is held.
    cause: Began,
}

/// The endpoints of one service, listed and held.
#[derive(Debug)]
pub(crate) struct Hold {
    window: Duration,
    epoch: Option<u64>,
    listed: BTreeMap<SocketAddr, Listings>,
    held: BTreeMap<SocketAddr, Held>,
    /// Endpoints dropped since the running hold began.
    dropped: usize,
    /// The last registration number given out.
    registration: u64,
}

impl Hold {
    /// Nothing known yet; a `window` of zero turns the hold off.
    pub(crate) fn new(window: Duration) -> Hold {
        Hold {
            window,
            epoch: None,
            listed: BTreeMap::new(),
            held: BTreeMap::new(),
            dropped: 0,
            registration: 0,
        }
    }

    /// Begins with what an earlier process knew, as if a connection that is lost had told of it.
    /// Only before the first [`Hold::take`].
    pub(crate) fn restore(&mut self, endpoints: Vec<EndpointSpec>) {
        self.listed = self.numbered(&BTreeMap::new(), endpoints);
        // Connections are numbered from 1: the first one is a reconnect.
        self.epoch = Some(0);
    }

    /// Treats the restored endpoints as told by the coming connection: endpoints that the next answer does not list are gone.
    pub(crate) fn trust_next(&mut self) {
        self.epoch = None;
    }

    /// Takes what the server says now.
    pub(crate) fn take(&mut self, now: Instant, update: Listed) -> Transition {
        let was_holding = !self.held.is_empty();
        let reconnected = self.epoch.is_some_and(|epoch| epoch != update.epoch);
        let emptied = update.empty && !self.listed.is_empty();
        let until = now + self.window;

        let cause = if reconnected {
            Began::Reconnect
        } else {
            Began::EmptyPush
        };
        let epoch = self.epoch.unwrap_or(update.epoch);

        self.drop_expired(now);
        if reconnected {
            for held in self.held.values_mut() {
                held.until = until;
            }
        }
        let previous = std::mem::take(&mut self.listed);
        self.listed = self.numbered(&previous, update.endpoints);
        if (reconnected || emptied) && !self.window.is_zero() {
            for (address, mut listings) in previous {
                for listing in &mut listings {
                    listing.held = true;
                }
                let held = Held {
                    listings,
                    until,
                    epoch,
                    cause,
                };
                self.held.insert(address, held);
            }
        }
        self.held
            .retain(|address, _| !self.listed.contains_key(address));
        self.epoch = Some(update.epoch);
        self.transition(was_holding, cause)
    }

    /// Drops the endpoints that were held long enough. Call it at [`Hold::deadline`].
    pub(crate) fn expire(&mut self, now: Instant) -> Transition {
        let was_holding = !self.held.is_empty();
        self.drop_expired(now);
        self.transition(was_holding, Began::EmptyPush)
    }

    /// Drops the held endpoints whose addresses belong to another service, as `is_taken` says. It gets the connection
    /// that listed the endpoint last, and why the endpoint is held.
    pub(crate) fn release(
        &mut self,
        is_taken: impl Fn(SocketAddr, u64, Began) -> bool,
    ) -> Transition {
        let before = self.held.len();
        self.held
            .retain(|address, held| !is_taken(*address, held.epoch, held.cause));
        self.dropped += before - self.held.len();
        self.transition(before > 0, Began::EmptyPush)
    }

    /// When the next held endpoint is dropped; `None` while nothing is held.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    /// Which addresses there are, listed or held.
    pub(crate) fn standings(&self) -> impl Iterator<Item = Standing> {
        let standing = |address: &SocketAddr, is_listed| Standing {
            address: *address,
            is_listed,
        };
        let listed = self
            .listed
            .keys()
            .map(move |address| standing(address, true));
        let held = self
            .held
            .keys()
            .map(move |address| standing(address, false));
        listed.chain(held)
    }

    /// How many addresses are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The effective set: what is listed, and what is held beside it.
    pub(crate) fn effective(&self) -> Vec<EndpointSpec> {
        let held = self.held.values().map(|held| &held.listings);
        self.listed
            .values()
            .chain(held)
            .flatten()
            .cloned()
            .collect()
    }

    /// Sorts the endpoints by address. An address that was listed or held until now keeps its registration
    /// number, one that was absent gets a new one: the balancer lifts an ejection when the number changes.
    fn numbered(
        &mut self,
        previous: &BTreeMap<SocketAddr, Listings>,
        endpoints: Vec<EndpointSpec>,
    ) -> BTreeMap<SocketAddr, Listings> {
        let mut numbered: BTreeMap<SocketAddr, Listings> = BTreeMap::new();
        for mut endpoint in endpoints {
            let address = endpoint.address;
            let held = self.held.get(&address).map(|held| &held.listings);
            let listings = numbered.entry(address).or_default();
            let of_address = [Some(&*listings), previous.get(&address), held];
            let known = of_address.into_iter().flatten().find_map(|it| it.first());
            endpoint.registration = match known {
                Some(known) => known.registration,
                None => {
                    self.registration += 1;
                    self.registration
                }
            };
            endpoint.held = false;
            listings.push(endpoint);
        }
        numbered
    }

    fn drop_expired(&mut self, now: Instant) {
        let before = self.held.len();
        self.held.retain(|_, held| held.until > now);
        self.dropped += before - self.held.len();
    }

    fn transition(&mut self, was_holding: bool, cause: Began) -> Transition {
        let holding = self.held.len();
        Transition {
            began: (!was_holding && holding > 0).then_some((cause, holding)),
            ended: (was_holding && holding == 0).then(|| std::mem::take(&mut self.dropped)),
        }
    }
}

#[cfg(test)]
mod tests;
