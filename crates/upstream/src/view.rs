//! A service as people see it: every endpoint, and why it is in or out.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use crate::endpoint::Condition;
use crate::member::{Member, weight_fault};
use crate::selection::Selection;
use crate::service::Service;
use crate::state::State;

/// A service, for the admin interface.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceView {
    /// Its id as one text, which is also its label in metrics.
    pub service: String,
    /// The source that lists it.
    pub source: String,
    /// Its namespace; empty is the public one.
    pub namespace: String,
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Whether anybody has said which endpoints it has.
    pub known: bool,
    /// Whether that comes from a snapshot.
    pub stale: bool,
    /// Whether the source's health marks mean something now.
    pub health_is_known: bool,
    /// Whether so many endpoints are ejected that they are used again, in any selection.
    pub panic: bool,
    /// What routes use of it.
    pub selections: Vec<SelectionView>,
    /// Every endpoint, in the order of addresses.
    pub endpoints: Vec<EndpointView>,
}

/// What a route uses of a service.
#[derive(Clone, Debug, Serialize)]
pub struct SelectionView {
    /// Which endpoints: `all`, or the cluster and metadata that they must have.
    pub subset: String,
    /// The policy.
    pub balance: &'static str,
    /// How many endpoints may be picked now.
    pub endpoints: usize,
    /// Whether ejected ones are among them.
    pub panic: bool,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointView {
    /// Its address.
    pub address: SocketAddr,
    /// Its cluster.
    pub cluster: String,
    /// Its weight as listed; absent when it is not a finite number.
    pub weight: Option<f64>,
    /// Its labels.
    pub metadata: BTreeMap<String, String>,
    /// Whether requests may go to it now, by any selection.
    #[serde(rename = "in")]
    pub is_in: bool,
    /// Why it is in or out.
    pub reasons: Vec<Reason>,
    /// The subsets that it is not in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filtered_by: Vec<String>,
    /// Its ejection, while it is ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejection: Option<EjectionView>,
    /// How much of its weight it gets, while it starts slowly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start_percent: Option<u8>,
    /// Requests in flight.
    pub in_flight: u32,
    /// How often it was picked since it is listed.
    pub picks: u64,
}

/// Why an endpoint is ejected, and for how long.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EjectionView {
    /// What it did.
    pub cause: &'static str,
    /// When it returns, in milliseconds from now; absent for a held one, which returns only when it is listed again.
    pub returns_in_ms: Option<u64>,
    /// Ejections in a row.
    pub failures: u32,
}

/// Why an endpoint is in or out: the one list of words, for JSON and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// Nothing is against it.
    #[serde(rename = "eligible")]
    Eligible,
    /// An operator took it out.
    #[serde(rename = "disabled")]
    Disabled,
    /// The source believes it to be dead.
    #[serde(rename = "unhealthy")]
    Unhealthy,
    /// Its weight is 0.
    #[serde(rename = "weight zero")]
    WeightZero,
    /// Its weight is negative, infinite or not a number.
    #[serde(rename = "weight refused")]
    WeightRefused,
    /// It refused, reset or did not answer; in panic mode it is used all the same.
    #[serde(rename = "ejected")]
    Ejected,
    /// It is back from ejection and gets one request, on which the rest depends.
    #[serde(rename = "on trial")]
    OnTrial,
    /// The source no longer lists it; it is kept for a while.
    #[serde(rename = "held")]
    Held,
    /// No route's subset has it.
    #[serde(rename = "filtered")]
    Filtered,
    /// It was registered afresh after an ejection and gets a part of its weight.
    #[serde(rename = "slow start")]
    SlowStart,
}

impl Reason {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Eligible => "eligible",
            Reason::Disabled => "disabled",
            Reason::Unhealthy => "unhealthy",
            Reason::WeightZero => "weight zero",
            Reason::WeightRefused => "weight refused",
            Reason::Ejected => "ejected",
            Reason::OnTrial => "on trial",
            Reason::Held => "held",
            Reason::Filtered => "filtered",
            Reason::SlowStart => "slow start",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl ServiceView {
    pub(crate) fn new(
        service: &Service,
        state: &State,
        selections: &[Arc<Selection>],
        now: Instant,
    ) -> ServiceView {
        let id = service.id();
        let endpoint = |member| EndpointView::new(member, state.health_is_known, selections, now);
        ServiceView {
            service: service.label().to_owned(),
            source: id.source.to_string(),
            namespace: id.namespace.to_string(),
            group: id.group.to_string(),
            name: id.name.to_string(),
            known: service.is_known(),
            stale: state.stale,
            health_is_known: state.health_is_known,
            panic: state.panic,
            selections: selections
                .iter()
                .map(|selection| SelectionView::new(selection))
                .collect(),
            endpoints: state.members.values().map(endpoint).collect(),
        }
    }
}

impl SelectionView {
    fn new(selection: &Selection) -> SelectionView {
        let plan = selection.plan();
        SelectionView {
            subset: selection.subset().to_string(),
            balance: selection.policy().name(),
            endpoints: plan.shares().len(),
            panic: plan.is_panic(),
        }
    }
}

impl EndpointView {
    fn new(
        member: &Member,
        health_is_known: bool,
        selections: &[Arc<Selection>],
        now: Instant,
    ) -> EndpointView {
        let spec = &member.spec;
        let in_panic = |selection: &Selection| selection.plan().is_panic() && !spec.held;
        let admits = |selection: &Selection| {
            selection.subset().has(spec) && (member.ejection.is_none() || in_panic(selection))
        };
        let filtered_by: Vec<String> = selections
            .iter()
            .filter(|selection| !selection.subset().has(spec))
            .map(|selection| selection.subset().to_string())
            .collect();
        let is_filtered = !selections.is_empty() && filtered_by.len() == selections.len();
        let slow_start = member.slow_start(now);
        let on_trial = matches!(
            member.endpoint.standing().condition,
            Condition::OnTrial | Condition::Tested
        );
        let listed = [
            (!spec.enabled, Reason::Disabled),
            (!spec.healthy && health_is_known, Reason::Unhealthy),
            (spec.weight == 0.0, Reason::WeightZero),
            (weight_fault(spec.weight).is_some(), Reason::WeightRefused),
            (member.ejection.is_some(), Reason::Ejected),
            (on_trial, Reason::OnTrial),
            (spec.held, Reason::Held),
            (is_filtered, Reason::Filtered),
            (slow_start.is_some(), Reason::SlowStart),
        ];
        let applies = |(applies, reason): (bool, Reason)| applies.then_some(reason);
        let mut reasons: Vec<Reason> = listed.into_iter().filter_map(applies).collect();
        if reasons.is_empty() {
            reasons.push(Reason::Eligible);
        }
        EndpointView {
            address: spec.address,
            cluster: spec.cluster.to_string(),
            weight: Some(spec.weight).filter(|weight| weight.is_finite()),
            metadata: (*spec.metadata).clone(),
            is_in: spec.is_eligible(health_is_known)
                && selections.iter().any(|selection| admits(selection)),
            reasons,
            filtered_by,
            ejection: member.ejection.map(|ejection| EjectionView {
                cause: ejection.cause,
                returns_in_ms: member.may_return().then(|| {
                    let left = ejection.until.saturating_duration_since(now);
                    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
                }),
                failures: member.failures,
            }),
            slow_start_percent: slow_start.map(|part| (part * 100.0).round() as u8),
            in_flight: member.endpoint.in_flight(),
            picks: member.endpoint.picks(),
        }
    }
}
