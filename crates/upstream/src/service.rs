//! A service: its endpoints, their state, and the selections over them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pailou_telemetry::ServiceMetrics;
use pailou_telemetry::events::{
    EndpointEjected, EndpointRefused, EndpointReturned, PanicBegan, PanicEnded,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Policy;
use crate::balance::{Share, quantise};
use crate::budget::RetryBudget;
use crate::ejection::{backoff_after, is_panic};
use crate::endpoint::{Condition, Endpoint};
use crate::id::ServiceId;
use crate::member::{Ejection, Member, weight_fault};
use crate::pick::Outcome;
use crate::plan::{NoEndpoint, Plan};
use crate::selection::{Selection, Subset};
use crate::services::Context;
use crate::set::{EndpointSet, EndpointSpec};
use crate::state::State;
use crate::view::ServiceView;

/// The endpoints of one service and the state of each, which survives every update.
///
/// [`Services::service`](crate::Services::service) makes it, once for each id.
#[derive(Debug)]
pub struct Service {
    id: ServiceId,
    label: String,
    context: Arc<Context>,
    metrics: Arc<ServiceMetrics>,
    known: watch::Sender<bool>,
    state: Mutex<State>,
    retry_budget: RetryBudget,
    /// Handed to endpoints, so that what becomes of a pick finds its way back.
    this: Weak<Service>,
}

impl Service {
    pub(crate) fn new(id: ServiceId, context: Arc<Context>) -> Arc<Service> {
        let label = id.to_string();
        let metrics = context.metrics.service(&label);
        Arc::new_cyclic(|this| Service {
            id,
            label,
            context,
            metrics,
            known: watch::Sender::new(false),
            state: Mutex::default(),
            retry_budget: RetryBudget::new(),
            this: this.clone(),
        })
    }

    /// What names it.
    pub fn id(&self) -> &ServiceId {
        &self.id
    }

    /// Its name as metrics and events label it: the id's text.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The retries that it can pay for.
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.retry_budget
    }

    /// Whether anybody has said which endpoints it has; a service that is known to be empty is known.
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Waits until it is known. Cancelling the wait changes nothing.
    pub async fn known(&self) {
        // The sender lives as long as the service, so that waiting cannot fail.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }

    /// Replaces the whole endpoint set. Addresses that stay keep their counters, their ejection and their place in the cycle.
    ///
    /// Costs time in proportion to the endpoints and the length of the schedules; for the writer's task, not for a request.
    pub fn update(&self, set: EndpointSet) {
        let now = Instant::now();
        let mut state = self.lock();
        state.is_known = true;
        state.health_is_known = set.health_is_known;
        state.stale = set.stale;
        self.relist(&mut state, set.endpoints, now);
        self.metrics.set_stale(set.stale);
        self.rebuild(&mut state, now);
        let is_moving = state.next_change(now).is_some();
        drop(state);
        // Last: who waits for it picks at once.
        self.known
            .send_if_modified(|known| !std::mem::replace(known, true));
        if is_moving {
            self.context.wake.notify_one();
        }
    }

    /// Every endpoint, and why it is in or out.
    pub fn view(&self) -> ServiceView {
        let state = self.lock();
        ServiceView::new(self, &state, &state.live_selections(), Instant::now())
    }

    /// The selection of that subset and policy, the same for all who ask.
    pub(crate) fn selection(self: &Arc<Self>, subset: &Subset, policy: &Policy) -> Arc<Selection> {
        let mut state = self.lock();
        let is_same = |selection: &&Arc<Selection>| {
            selection.subset() == subset && selection.policy() == policy
        };
        let live = state.live_selections();
        if let Some(selection) = live.iter().find(is_same) {
            return Arc::clone(selection);
        }
        let selection = Arc::new(Selection::new(
            Arc::clone(self),
            subset.clone(),
            policy.clone(),
        ));
        state
            .selections
            .retain(|selection| selection.strong_count() > 0);
        state.selections.push(Arc::downgrade(&selection));
        self.rebuild(&mut state, Instant::now());
        selection
    }

    /// An endpoint failed a request of its present term: it is ejected.
    pub(crate) fn failed(&self, endpoint: &Arc<Endpoint>, term: u32, outcome: Outcome) {
        let now = Instant::now();
        let mut state = self.lock();
        let standing = endpoint.standing();
        if standing.term != term || standing.condition == Condition::Out {
            return;
        }
        let Some(member) = state.member(endpoint) else {
            return;
        };
        let cause = outcome.word();
        let backoff = backoff_after(&self.context.settings, member.failures, fastrand::f64());
        member.failures += 1;
        member.ejection = Some(Ejection {
            until: now + backoff,
            cause,
        });
        member.slow_since = None;
        endpoint.enter(Condition::Out);
        let address = endpoint.address();
        EndpointEjected {
            service: &self.label,
            address,
            cause,
            backoff,
        }
        .record(&self.context.metrics);
        self.rebuild(&mut state, now);
        drop(state);
        self.context.wake.notify_one();
    }

    /// An endpoint on trial, or one that panic mode used, answered a request of its present term: it is well.
    pub(crate) fn answered(&self, endpoint: &Arc<Endpoint>, term: u32) {
        let mut state = self.lock();
        if endpoint.standing().term != term {
            return;
        }
        let Some(member) = state.member(endpoint) else {
            return;
        };
        member.failures = 0;
        endpoint.enter(Condition::Well);
        if member.ejection.take().is_some() {
            self.returned(endpoint.address(), "answered");
            self.rebuild(&mut state, Instant::now());
        }
    }

    /// Returns endpoints whose back-off is over and moves slow starts on; says when to come again.
    pub(crate) fn advance(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let mut changed = false;
        state.departed.retain(|_, member| member.is_remembered(now));
        for (address, member) in &mut state.members {
            let is_over = member
                .ejection
                .is_some_and(|ejection| ejection.until <= now);
            if is_over && member.may_return() {
                member.ejection = None;
                member.endpoint.enter(Condition::OnTrial);
                self.returned(*address, "backoff over");
                changed = true;
            }
            if member.slow_since.is_some() {
                member.slow_since = member
                    .slow_since
                    .filter(|_| member.slow_start(now).is_some());
                changed = true;
            }
        }
        if changed {
            self.rebuild(&mut state, now);
        }
        state.next_change(now)
    }

    /// Puts the listed endpoints in the place of the present ones.
    fn relist(&self, state: &mut State, specs: Vec<EndpointSpec>, now: Instant) {
        let mut listed: BTreeMap<SocketAddr, EndpointSpec> = BTreeMap::new();
        for spec in specs {
            let present = listed.get(&spec.address);
            let known = state.health_is_known;
            if present.is_none_or(|present| !present.is_eligible(known) && spec.is_eligible(known))
            {
                listed.insert(spec.address, spec);
            }
        }
        let mut before = std::mem::take(&mut state.members);
        for (address, spec) in listed {
            let fault = weight_fault(spec.weight);
            let mut fault_before = None;
            let member = if let Some(mut member) = before.remove(&address) {
                fault_before = weight_fault(member.spec.weight);
                let listed_again = member.spec.held && !spec.held;
                if listed_again || member.spec.registration != spec.registration {
                    self.lift(&mut member, now);
                }
                member.spec = spec;
                member
            } else if let Some(mut member) = state.departed.remove(&address) {
                self.lift(&mut member, now);
                member.spec = spec;
                member
            } else {
                let endpoint = Endpoint::new(address, self.this.clone());
                Member::new(spec, Arc::new(endpoint))
            };
            if let Some(reason) = fault.filter(|_| fault != fault_before) {
                let address = address.to_string();
                EndpointRefused {
                    service: &self.label,
                    address: &address,
                    reason,
                }
                .record(&self.context.metrics);
            }
            state.members.insert(address, member);
        }
        state.departed.extend(before);
        state.departed.retain(|_, member| member.is_remembered(now));
    }

    /// A fresh registration speaks for another process: whatever is held against the address is forgotten, but it starts slowly.
    fn lift(&self, member: &mut Member, now: Instant) {
        if member.endpoint.standing().condition == Condition::Well {
            return;
        }
        member.failures = 0;
        member.slow_since = Some(now);
        member.endpoint.enter(Condition::Well);
        if member.ejection.take().is_some() {
            self.returned(member.endpoint.address(), "registered afresh");
        }
    }

    /// Makes the plans of all selections anew, and says how the endpoints stand.
    fn rebuild(&self, state: &mut State, now: Instant) {
        let mut panic = None;
        for selection in state.live_selections() {
            let plan = self.plan(state, &selection, now);
            panic = panic.or(plan);
        }
        let label = &self.label;
        match (panic, state.panic) {
            (Some((ejected, eligible)), false) => {
                PanicBegan {
                    service: label,
                    ejected,
                    eligible,
                }
                .record(&self.context.metrics);
            }
            (None, true) => PanicEnded { service: label }.record(&self.context.metrics),
            _ => {}
        }
        state.panic = panic.is_some();
        self.metrics.set_endpoints(state.counts());
    }

    /// Makes one selection's plan anew, unless it would be the same; says how many of how many are ejected if that is panic.
    fn plan(&self, state: &State, selection: &Selection, now: Instant) -> Option<(usize, usize)> {
        let wanted: Vec<&Member> = state
            .members
            .values()
            .filter(|member| member.spec.is_eligible(state.health_is_known))
            .filter(|member| selection.subset().has(&member.spec))
            .collect();
        let live = wanted.iter().filter(|member| !member.spec.held);
        let eligible = live.clone().count();
        let ejected = live.filter(|member| member.ejection.is_some()).count();
        let panic = is_panic(&self.context.settings, ejected, eligible);
        let used: Vec<&Member> = wanted
            .into_iter()
            .filter(|member| member.ejection.is_none() || (panic && !member.spec.held))
            .collect();
        let before = selection.plan();
        if used.is_empty() {
            selection.replace_plan(Plan::nothing(match () {
                () if !state.is_known => NoEndpoint::Unknown,
                () if state.members.is_empty() => NoEndpoint::Empty,
                () => NoEndpoint::NoneEligible,
            }));
        } else {
            let weights: Vec<f64> = used.iter().map(|member| member.weight(now)).collect();
            let shares: Vec<Share> = used
                .iter()
                .zip(quantise(&weights))
                .map(|(member, weight)| Share {
                    endpoint: Arc::clone(&member.endpoint),
                    weight,
                })
                .collect();
            if !before.is_over(&shares, panic) {
                let plan = Plan::new(selection.policy(), shares, panic, &before);
                selection.replace_plan(plan);
            }
        }
        panic.then_some((ejected, eligible))
    }

    fn returned(&self, address: SocketAddr, reason: &'static str) {
        EndpointReturned {
            service: &self.label,
            address,
            reason,
        }
        .record(&self.context.metrics);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock is a bug, and the gateway serves on with what the state is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
