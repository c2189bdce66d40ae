//! From a service's state to the schedule of one selection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::EjectionSettings;
use tokio::time::Instant;

use crate::balance::{Share, quantise};
use crate::ejection::is_panic;
use crate::member::Member;
use crate::schedule::{NoEndpoint, Schedule};
use crate::selection::Selection;
use crate::set::EndpointSpec;
use crate::split::Parts;
use crate::state::State;
use crate::verdict::{Reason, Verdict};

/// So many live endpoints of a selection are ejected or fail their check that they are used again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panic {
    pub(crate) ejected: usize,
    /// Live ones that would be eligible.
    pub(crate) eligible: usize,
}

/// An address that a selection may use, by the listing that fits it.
struct Candidate<'a> {
    member: &'a Member,
    listing: &'a EndpointSpec,
    verdict: Verdict,
}

impl Selection {
    /// Makes its schedule anew, unless it would be the same.
    pub(crate) fn rebuild(
        &self,
        state: &State,
        settings: &EjectionSettings,
        now: Instant,
    ) -> Option<Panic> {
        let mut candidates = self.candidates(state);
        let panic = panic(&candidates, settings);
        candidates.retain(|candidate| {
            let verdict = candidate.verdict;
            verdict.is_in() || (panic.is_some() && verdict.is_in_by_panic())
        });
        let before = self.schedule();
        if candidates.is_empty() {
            self.replace_schedule(Schedule::nothing(match () {
                () if !state.is_known => NoEndpoint::Unknown,
                () if state.members.is_empty() => NoEndpoint::Empty,
                () => NoEndpoint::NoneEligible,
            }));
            return panic;
        }
        let candidates: Vec<&Candidate<'_>> = candidates.iter().collect();
        let window = self.policy().slow_start();
        let all = shares(&candidates, window, now);
        let parts = self.parts(&candidates, now);
        let is_panic = panic.is_some();
        let is_same_part = |(name, shares): (&&str, &Vec<Share>)| {
            let part = before.parts().get(name);
            part.is_some_and(|part| part.is_over(shares, is_panic))
        };
        let is_same = before.is_over(&all, is_panic)
            && before.parts().len() == parts.len()
            && parts.iter().all(is_same_part);
        if !is_same {
            let nobody = Schedule::nothing(NoEndpoint::Unknown);
            let mut schedules = Parts::default();
            for (name, shares) in parts {
                let before = before.parts().get(name).unwrap_or(&nobody);
                let part = Schedule::new(self.policy(), shares, is_panic, before);
                schedules.add(name, part);
            }
            let schedule = Schedule::new(self.policy(), all, is_panic, &before);
            self.replace_schedule(schedule.with_parts(schedules));
        }
        panic
    }

    /// The shares of each part, where the selection is parted.
    fn parts<'a>(
        &self,
        candidates: &[&'a Candidate<'a>],
        now: Instant,
    ) -> BTreeMap<&'a str, Vec<Share>> {
        let Some(split) = &self.subset().split else {
            return BTreeMap::new();
        };
        let window = self.policy().slow_start();
        let parts = split.sort(candidates, |candidate| candidate.listing);
        parts
            .into_iter()
            .map(|(name, candidates)| (name, shares(&candidates, window, now)))
            .collect()
    }

    fn candidates<'a>(&self, state: &'a State) -> Vec<Candidate<'a>> {
        let health_is_known = state.health_is_known;
        let candidate = |member: &'a Member| {
            let listing = member.listing(self.subset(), health_is_known)?;
            let verdict = Verdict::on(listing, member, health_is_known);
            Some(Candidate {
                member,
                listing,
                verdict,
            })
        };
        state.members.values().filter_map(candidate).collect()
    }
}

fn panic(candidates: &[Candidate<'_>], settings: &EjectionSettings) -> Option<Panic> {
    let live = candidates
        .iter()
        .filter(|candidate| !candidate.verdict.has(Reason::Held));
    let ejected = live
        .clone()
        .filter(|candidate| candidate.verdict.is_found_out())
        .count();
    let eligible = live.count();
    is_panic(settings, ejected, eligible).then_some(Panic { ejected, eligible })
}

fn shares(candidates: &[&Candidate<'_>], window: Duration, now: Instant) -> Vec<Share> {
    let weight =
        |candidate: &&Candidate<'_>| candidate.listing.weight * candidate.member.part(window, now);
    let weights: Vec<f64> = candidates.iter().map(weight).collect();
    let share = |(candidate, weight): (&&Candidate<'_>, u32)| Share {
        endpoint: Arc::clone(&candidate.member.endpoint),
        weight,
        held: candidate.verdict.has(Reason::Held),
        transport: candidate.listing.transport,
        grpc_port: candidate.listing.grpc_port,
        host: candidate.listing.host.clone(),
    };
    candidates
        .iter()
        .zip(quantise(&weights))
        .map(share)
        .collect()
}
