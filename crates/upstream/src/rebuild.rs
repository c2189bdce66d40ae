//! From a service's state to the schedule of one selection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::EjectionSettings;
use tokio::time::Instant;

use crate::balance::{Share, quantise};
use crate::ejection::is_panic;
use crate::member::Member;
use crate::near::Near;
use crate::schedule::{Arranged, NoEndpoint, Schedule};
use crate::selection::Selection;
use crate::services::Context;
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
    pub(crate) fn rebuild(&self, state: &State, context: &Context, now: Instant) -> Option<Panic> {
        let mut candidates = self.candidates(state);
        let panic = panic(&candidates, &context.settings);
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
        let near = context.near.as_ref();
        // Who names a cluster means that one.
        let near = near.filter(|_| self.subset().cluster.is_none());
        let stay = near.and_then(|near| self.stay(near, state, &candidates));
        let window = self.policy().slow_start();
        let all = arrange(&candidates, stay, window, now);
        let parts = self.parts(&candidates, stay, now);
        let is_panic = panic.is_some();
        let is_same_part = |(name, shares): (&&str, &Arranged)| {
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

    /// Whether the endpoint may be ejected and the share that may be out is still kept; also if it has no such endpoint.
    pub(crate) fn can_lose(
        &self,
        address: SocketAddr,
        state: &State,
        settings: &EjectionSettings,
    ) -> bool {
        let candidates = self.candidates(state);
        let has_it = candidates
            .iter()
            .any(|candidate| candidate.listing.address == address);
        let (ejected, eligible) = out_of(&candidates);
        !has_it || !is_panic(settings, ejected + 1, eligible)
    }

    /// The shares of each part, where the selection is parted.
    fn parts<'a>(
        &self,
        candidates: &[&'a Candidate<'a>],
        stay: Option<Stay<'_>>,
        now: Instant,
    ) -> BTreeMap<&'a str, Arranged> {
        let Some(split) = &self.subset().split else {
            return BTreeMap::new();
        };
        let window = self.policy().slow_start();
        let parts = split.sort(candidates, |candidate| candidate.listing);
        parts
            .into_iter()
            .map(|(name, candidates)| (name, arrange(&candidates, stay, window, now)))
            .collect()
    }

    /// The share of requests that stays in the gateway's own cluster, by what is well of the endpoints there that are meant to serve; none
    /// where there are no such endpoints.
    fn stay<'n>(
        &self,
        near: &'n Near,
        state: &State,
        candidates: &[&Candidate<'_>],
    ) -> Option<Stay<'n>> {
        let is_near = |listing: &&EndpointSpec| *listing.cluster == *near.cluster;
        let weight = |listing: &EndpointSpec| listing.weight;
        let members = state.members.values();
        let meant = members.filter_map(|member| member.listing(self.subset(), false));
        let well = candidates.iter().map(|candidate| candidate.listing);
        let meant: f64 = meant.filter(is_near).map(weight).sum();
        (meant > 0.0).then(|| Stay {
            cluster: &near.cluster,
            share: near.stays(well.filter(is_near).map(weight).sum(), meant),
        })
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
    let (ejected, eligible) = out_of(candidates);
    is_panic(settings, ejected, eligible).then_some(Panic { ejected, eligible })
}

/// How many are out by what the gateway found, and of how many. Held ones do not count.
fn out_of(candidates: &[Candidate<'_>]) -> (usize, usize) {
    let live = candidates
        .iter()
        .filter(|candidate| !candidate.verdict.has(Reason::Held));
    let ejected = live
        .clone()
        .filter(|candidate| candidate.verdict.is_found_out())
        .count();
    (ejected, live.count())
}

/// How many requests stay in which cluster.
#[derive(Clone, Copy)]
struct Stay<'a> {
    cluster: &'a str,
    /// From 0 to 1.
    share: f64,
}

/// Endpoints of the gateway's own cluster alone while all requests stay there, with the others behind them; or all of them, with as much
/// weight together as requests stay and leave. Where either side has none, there is nothing to choose.
fn arrange(
    candidates: &[&Candidate<'_>],
    stay: Option<Stay<'_>>,
    window: Duration,
    now: Instant,
) -> Arranged {
    let weight =
        |candidate: &&Candidate<'_>| candidate.listing.weight * candidate.member.part(window, now);
    let is_near =
        |candidate: &&Candidate<'_>, stay: Stay<'_>| *candidate.listing.cluster == *stay.cluster;
    let all = |candidates: &[&Candidate<'_>]| shares(candidates, weight);
    let Some(stay) = stay else {
        return Arranged {
            shares: all(candidates),
            ..Arranged::default()
        };
    };
    let parts = candidates.iter().partition(|it| is_near(it, stay));
    let (near, far): (Vec<&Candidate<'_>>, Vec<&Candidate<'_>>) = parts;
    if near.is_empty() || far.is_empty() {
        let is_away = near.is_empty() && !far.is_empty();
        return Arranged {
            shares: all(candidates),
            elsewhere: Vec::new(),
            away_percent: if is_away { 100 } else { 0 },
        };
    }
    if stay.share >= 1.0 {
        return Arranged {
            shares: all(&near),
            elsewhere: all(&far),
            away_percent: 0,
        };
    }
    let sum = |candidates: &[&Candidate<'_>]| candidates.iter().map(weight).sum::<f64>();
    let (of_near, of_far) = (stay.share / sum(&near), (1.0 - stay.share) / sum(&far));
    let scaled = |candidate: &&Candidate<'_>| {
        let scale = match is_near(candidate, stay) {
            true => of_near,
            false => of_far,
        };
        weight(candidate) * scale
    };
    Arranged {
        shares: shares(candidates, scaled),
        elsewhere: Vec::new(),
        away_percent: ((1.0 - stay.share) * 100.0).round() as u8,
    }
}

fn shares(candidates: &[&Candidate<'_>], weight: impl Fn(&&Candidate<'_>) -> f64) -> Vec<Share> {
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
