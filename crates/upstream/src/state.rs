//! What a service keeps behind its lock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use pailou_config::EjectionSettings;
use pailou_telemetry::EndpointCounts;
use tokio::time::Instant;

use crate::check::Checking;
use crate::endpoint::Endpoint;
use crate::member::Member;
use crate::news::News;
use crate::selection::Selection;
use crate::services::Context;
use crate::set::EndpointSpec;
use crate::verdict::{Reason, weight_fault};
use crate::wake::Bell;

/// What discovery said last, and what ejection made of it. It changes a few times a second at most. No pick reads it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// In the order of addresses, which is stable from one update to the next.
    pub(crate) members: BTreeMap<SocketAddr, Member>,
    /// Addresses that are no longer listed, but must not be forgotten yet.
    pub(crate) departed: BTreeMap<SocketAddr, Member>,
    pub(crate) is_known: bool,
    pub(crate) health_is_known: bool,
    pub(crate) stale: bool,
    pub(crate) panic: bool,
    pub(crate) selections: Vec<Weak<Selection>>,
    pub(crate) checks: Vec<Weak<Checking>>,
    /// The longest time that a route gives an endpoint for a slow start.
    pub(crate) window: Duration,
    /// When something changes by itself next.
    pub(crate) due: Option<Instant>,
    /// When its endpoints are compared next, if they are.
    pub(crate) judged_next: Option<Instant>,
}

impl State {
    /// Takes the marks of requests. Returns whether anything changed.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        settings: &EjectionSettings,
        news: &News,
    ) -> bool {
        let mut changed = false;
        for member in self.members.values_mut().chain(self.departed.values_mut()) {
            changed |= member.settle(now, self.window, settings, news);
        }
        changed
    }

    /// Does what is due. Returns whether a schedule may differ now.
    pub(crate) fn advance(&mut self, now: Instant, news: &News) -> bool {
        self.departed.retain(|_, member| member.is_remembered(now));
        let mut changed = false;
        for member in self.members.values_mut() {
            changed |= member.advance(now, news);
        }
        changed
    }

    /// Notes when the next change is due.
    pub(crate) fn look_ahead(&mut self, now: Instant, context: &Context) {
        self.await_judgement(now, context);
        let changes = self
            .members
            .values()
            .filter_map(|member| member.next_change(now));
        self.due = changes.chain(self.judged_next).min();
    }

    /// Puts the listed endpoints in the place of the present ones.
    pub(crate) fn relist(
        &mut self,
        specs: Vec<EndpointSpec>,
        now: Instant,
        bell: &Arc<Bell>,
        settings: &EjectionSettings,
        news: &News,
    ) {
        let mut listed: BTreeMap<SocketAddr, Vec<EndpointSpec>> = BTreeMap::new();
        for spec in specs {
            listed.entry(spec.address).or_default().push(spec);
        }
        let mut before = std::mem::take(&mut self.members);
        for (address, listings) in listed {
            let member = match before.remove(&address) {
                Some(mut member) => {
                    report_weights(&listings, &member.listings, news);
                    member.list(listings, now, self.window, news);
                    member
                }
                None => {
                    report_weights(&listings, &[], news);
                    self.arrived(address, listings, now, (bell, settings), news)
                }
            };
            self.members.insert(address, member);
        }
        for member in before.values_mut() {
            member.trouble = None;
            member.health.clear();
        }
        self.departed.extend(before);
        self.departed.retain(|_, member| member.is_remembered(now));
    }

    /// An address that was not listed before: a new one, or one that comes back before it is forgotten.
    fn arrived(
        &mut self,
        address: SocketAddr,
        listings: Vec<EndpointSpec>,
        now: Instant,
        (bell, settings): (&Arc<Bell>, &EjectionSettings),
        news: &News,
    ) -> Member {
        if let Some(mut member) = self.departed.remove(&address) {
            member.lift(now, self.window, news);
            member.listings = listings;
            return member;
        }
        let endpoint = Endpoint::new(address, Arc::clone(bell), settings);
        let mut member = Member::new(listings, Arc::new(endpoint));
        // Of the endpoints that a service has when it is first heard of, nobody knows since when they are there.
        if self.is_known {
            member.begins(false, self.window, now);
        }
        member
    }

    pub(crate) fn live_selections(&self) -> Vec<Arc<Selection>> {
        self.selections.iter().filter_map(Weak::upgrade).collect()
    }

    /// The longest time that a selection in use gives an endpoint for a slow start.
    pub(crate) fn longest_slow_start(&self) -> Duration {
        let selections = self.selections.iter().filter_map(Weak::upgrade);
        let windows = selections.map(|selection| selection.policy().slow_start());
        windows.max().unwrap_or_default()
    }

    pub(crate) fn counts(&self) -> EndpointCounts {
        let mut counts = EndpointCounts::default();
        for member in self.members.values() {
            let verdict = member.verdict(self.health_is_known);
            let count = if verdict.has(Reason::Ejected) {
                &mut counts.ejected
            } else if verdict.has(Reason::CheckFailed) {
                &mut counts.check_failed
            } else if !verdict.is_in() {
                &mut counts.ineligible
            } else if verdict.has(Reason::Held) {
                &mut counts.held
            } else {
                &mut counts.eligible
            };
            *count += 1;
        }
        counts
    }
}

impl Member {
    /// Takes what discovery lists of it now.
    fn list(&mut self, listings: Vec<EndpointSpec>, now: Instant, window: Duration, news: &News) {
        let (was_held, registration) = (self.is_held(), self.registration());
        self.listings = listings;
        let is_listed_again = was_held && !self.is_held();
        if self.registration() != registration {
            // Another process, of which no check knows anything.
            self.health.clear();
        }
        let is_fresh = self.registration() != registration;
        if is_fresh || (is_listed_again && !self.endpoint.standing().is_well()) {
            self.lift(now, window, news);
        }
    }
}

/// Reports the weights that are refused and were not before.
fn report_weights(listings: &[EndpointSpec], before: &[EndpointSpec], news: &News) {
    for listing in listings {
        let Some(fault) = weight_fault(listing.weight) else {
            continue;
        };
        if !before
            .iter()
            .any(|it| weight_fault(it.weight) == Some(fault))
        {
            news.refused(listing.address, fault);
        }
    }
}
