//! What a service keeps behind its lock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use pailou_telemetry::EndpointCounts;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::member::Member;
use crate::selection::Selection;

/// What the source said last, and what ejection made of it. Changed a few times a second at most; never read by a pick.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// In the order of addresses, which is stable from one update to the next.
    pub(crate) members: BTreeMap<SocketAddr, Member>,
    /// No longer listed, but not to be forgotten yet.
    pub(crate) departed: BTreeMap<SocketAddr, Member>,
    pub(crate) is_known: bool,
    pub(crate) health_is_known: bool,
    pub(crate) stale: bool,
    pub(crate) panic: bool,
    pub(crate) selections: Vec<Weak<Selection>>,
}

impl State {
    /// What is known of that endpoint, if it is still the one of its address.
    pub(crate) fn member(&mut self, endpoint: &Arc<Endpoint>) -> Option<&mut Member> {
        let address = endpoint.address();
        let members = [
            self.members.get_mut(&address),
            self.departed.get_mut(&address),
        ];
        members
            .into_iter()
            .flatten()
            .find(|member| Arc::ptr_eq(&member.endpoint, endpoint))
    }

    /// When something changes by itself next.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let changes = self
            .members
            .values()
            .filter_map(|member| member.next_change(now));
        changes.min()
    }

    pub(crate) fn live_selections(&self) -> Vec<Arc<Selection>> {
        self.selections.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn counts(&self) -> EndpointCounts {
        let mut counts = EndpointCounts::default();
        for member in self.members.values() {
            let count = if member.ejection.is_some() {
                &mut counts.ejected
            } else if !member.spec.is_eligible(self.health_is_known) {
                &mut counts.ineligible
            } else if member.spec.held {
                &mut counts.held
            } else {
                &mut counts.eligible
            };
            *count += 1;
        }
        counts
    }
}
