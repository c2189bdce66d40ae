//! A service as people see it: every endpoint, and why it is in or out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use crate::check::Health;
use crate::member::Member;
use crate::selection::Selection;
use crate::service::Service;
use crate::set::EndpointSpec;
use crate::state::State;
use crate::tally::Counted;
use crate::transport::Transport;
use crate::verdict::{Reason, Verdict};

/// A service, for the admin interface.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceView {
    /// Its id as one text, which is also its label in metrics.
    pub service: String,
    /// The id of the Nacos that lists it, as in `gateway.yaml`; `static` for the endpoints of a URL.
    pub nacos: String,
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
    /// Whether discovery's health marks mean something now.
    pub health_is_known: bool,
    /// Whether so many endpoints are ejected that they are used again, in any selection.
    pub panic: bool,
    /// What routes use of it.
    pub selections: Vec<SelectionView>,
    /// Every listing, in the order of addresses.
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
    /// How many requests each of them may have at once; absent where that is not bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_limit: Option<u32>,
    /// How many requests wait until one of them has room; absent where none may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    /// Whether ejected ones are among them.
    pub panic: bool,
    /// The share of requests that leaves the gateway's own cluster, in percent, since that has too few endpoints that are well. Absent
    /// while none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away_percent: Option<u8>,
}

/// One listing of an endpoint. An address that is listed several times has as many of them, with one state.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointView {
    /// Its address.
    pub address: SocketAddr,
    /// Its cluster.
    pub cluster: String,
    /// Its weight as listed; absent when it is not a finite number.
    pub weight: Option<f64>,
    /// How it is spoken to, by what it says of itself; a route may say otherwise.
    pub transport: Transport,
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
    /// What its active checks have found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckView>,
    /// Requests in flight.
    pub in_flight: u32,
    /// How often it was picked since it is listed.
    pub picks: u64,
    /// How long it takes to answer, in milliseconds, smoothed over its last answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How many of its answers had a status of 500 or more, or could not be understood.
    pub error_answers: u64,
    /// How its requests went in the last interval in which outliers were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<IntervalView>,
}

/// What a check has found of an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct CheckView {
    /// What is asked: `tcp`, `http /path` or `grpc service`.
    pub check: String,
    /// Whether it keeps the endpoint out.
    pub failing: bool,
    /// What the last answer was: `passed`, or what was wrong with it. Absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// How the requests to an endpoint went in an interval.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IntervalView {
    /// How many there were.
    pub requests: u32,
    /// The share that went well, in percent.
    pub success_percent: f64,
    /// The median time to an answer, in milliseconds, within an eighth; absent unless slow endpoints are looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<f64>,
}

/// Why an endpoint is ejected, and for how long.
#[derive(Clone, Debug, Serialize)]
pub struct EjectionView {
    /// What it did.
    pub cause: &'static str,
    /// What was measured of an outlier, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// When it returns, in milliseconds from now; absent for a held one, which returns only when it is listed again.
    pub returns_in_ms: Option<u64>,
    /// Ejections in a row; of an outlier, less the intervals in which it was like the others.
    pub failures: u32,
}

impl ServiceView {
    pub(crate) fn new(
        service: &Service,
        state: &State,
        selections: &[Arc<Selection>],
        now: Instant,
    ) -> ServiceView {
        let id = service.id();
        let rows = |member| EndpointView::rows(member, state.health_is_known, selections, now);
        ServiceView {
            service: service.label().to_owned(),
            nacos: id.nacos.to_string(),
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
            endpoints: state.members.values().flat_map(rows).collect(),
        }
    }
}

impl SelectionView {
    fn new(selection: &Selection) -> SelectionView {
        let schedule = selection.schedule();
        let limit = selection.policy().endpoint_limit();
        SelectionView {
            subset: selection.subset().to_string(),
            balance: selection.policy().name(),
            endpoints: schedule.shares().len(),
            endpoint_limit: limit.map(|limit| limit.requests),
            waiting: limit
                .filter(|limit| limit.queue > 0)
                .map(|_| selection.waiting()),
            panic: schedule.is_panic(),
            away_percent: Some(schedule.away_percent()).filter(|percent| *percent > 0),
        }
    }
}

impl EndpointView {
    /// One for each listing of the address.
    fn rows(
        member: &Member,
        health_is_known: bool,
        selections: &[Arc<Selection>],
        now: Instant,
    ) -> Vec<EndpointView> {
        let row = |listing| EndpointView::new(member, listing, health_is_known, selections, now);
        member.listings.iter().map(row).collect()
    }

    fn new(
        member: &Member,
        listing: &EndpointSpec,
        health_is_known: bool,
        selections: &[Arc<Selection>],
        now: Instant,
    ) -> EndpointView {
        let (has, has_not): (Vec<_>, Vec<_>) = selections
            .iter()
            .partition(|selection| selection.subset().has(listing));
        let is_filtered = has.is_empty() && !has_not.is_empty();
        let verdict =
            Verdict::on(listing, member, health_is_known).and(is_filtered, Reason::Filtered);
        let admits = |selection: &&Arc<Selection>| {
            verdict.is_in() || (selection.schedule().is_panic() && verdict.is_in_by_panic())
        };
        let endpoint = &member.endpoint;
        EndpointView {
            address: listing.address,
            cluster: listing.cluster.to_string(),
            weight: Some(listing.weight).filter(|weight| weight.is_finite()),
            transport: listing.transport,
            metadata: (*listing.metadata).clone(),
            is_in: has.iter().any(admits),
            reasons: verdict.reasons(),
            filtered_by: has_not
                .iter()
                .map(|selection| selection.subset().to_string())
                .collect(),
            ejection: EjectionView::of(member, now),
            slow_start_percent: member.slow_start.map(|slow_start| slow_start.percent(now)),
            checks: member.health.iter().filter_map(CheckView::of).collect(),
            in_flight: endpoint.in_flight(),
            picks: endpoint.picks(),
            latency_ms: endpoint
                .latency()
                .map(|latency| latency.as_secs_f64() * 1_000.0),
            error_answers: endpoint.error_answers(),
            interval: member.counted.map(IntervalView::of),
        }
    }
}

impl CheckView {
    fn of(health: &Health) -> Option<CheckView> {
        let checking = health.checking.upgrade()?;
        let last = health.last.map(|answer| match answer {
            Ok(()) => "passed".to_owned(),
            Err(failure) => failure.to_string(),
        });
        Some(CheckView {
            check: checking.check().to_string(),
            failing: health.is_failing,
            last,
        })
    }
}

impl IntervalView {
    fn of(counted: Counted) -> IntervalView {
        let rounded = |number: f64| (number * 10.0).round() / 10.0;
        IntervalView {
            requests: counted.requests(),
            success_percent: rounded(counted.success_percent()),
            median_ms: counted.median.map(|median| median.as_secs_f64() * 1_000.0),
        }
    }
}

impl EjectionView {
    fn of(member: &Member, now: Instant) -> Option<EjectionView> {
        let ejection = member.ejection.as_ref()?;
        let left = ejection.until.saturating_duration_since(now);
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        Some(EjectionView {
            cause: ejection.cause,
            evidence: ejection.evidence.as_deref().map(str::to_owned),
            returns_in_ms: member.may_return().then_some(left),
            failures: ejection.count,
        })
    }
}
