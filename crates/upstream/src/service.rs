//! A service: its endpoints, their state, and the selections over them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pailou_telemetry::ServiceMetrics;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Policy;
use crate::budget::RetryBudget;
use crate::check::{Check, CheckFailure, Checking, Target};
use crate::id::ServiceId;
use crate::news::News;
use crate::room::Rooms;
use crate::selection::{Selection, Subset};
use crate::services::Context;
use crate::set::EndpointSet;
use crate::state::State;
use crate::view::ServiceView;
use crate::wake::Bell;

/// The endpoints of one service and the state of each, which survives every update.
///
/// [`Services::service`](crate::Services::service) makes it, once for each id.
#[derive(Debug)]
pub struct Service {
    id: ServiceId,
    context: Arc<Context>,
    news: News,
    known: watch::Sender<bool>,
    state: Mutex<State>,
    retry_budget: RetryBudget,
    /// Rung by requests whose endpoint changed.
    bell: Arc<Bell>,
}

impl Service {
    pub(crate) fn new(id: ServiceId, context: Arc<Context>) -> Arc<Service> {
        Arc::new(Service {
            news: News::of(&id, &context.metrics, &context.troubles),
            bell: Bell::new(Arc::clone(&context.wake)),
            id,
            context,
            known: watch::Sender::new(false),
            state: Mutex::default(),
            retry_budget: RetryBudget::new(),
        })
    }

    /// What names it.
    pub fn id(&self) -> &ServiceId {
        &self.id
    }

    /// Its name as log lines and views have it: the id's text.
    pub fn label(&self) -> &str {
        self.news.metrics().name()
    }

    /// What is measured of it.
    pub fn metrics(&self) -> &ServiceMetrics {
        self.news.metrics()
    }

    /// The retries that it can pay for.
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.retry_budget
    }

    /// Who waits for room at its endpoints.
    pub(crate) fn rooms(&self) -> &Rooms {
        self.bell.rooms()
    }

    /// Whether it is known which endpoints it has. A service that is known to be empty is known.
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
        self.settle(&mut state, now);
        state.health_is_known = set.health_is_known;
        state.stale = set.stale;
        let settings = &self.context.settings;
        state.relist(set.endpoints, now, &self.bell, settings, &self.news);
        state.is_known = true;
        self.news.stale(set.stale);
        self.rebuild(&mut state, now);
        let is_moving = state.due.is_some();
        let is_checked = !state.checks.is_empty();
        drop(state);
        if is_checked {
            self.context.checks_changed.notify_one();
        }
        // Last: who waits for it picks at once.
        self.known
            .send_if_modified(|known| !std::mem::replace(known, true));
        if is_moving {
            self.bell.ring();
        }
    }

    /// Every endpoint, and why it is in or out.
    pub fn view(&self) -> ServiceView {
        let now = Instant::now();
        let mut state = self.lock();
        if self.settle(&mut state, now) {
            self.rebuild(&mut state, now);
        }
        ServiceView::new(self, &state, &state.live_selections(), now)
    }

    /// Has its endpoints checked for as long as what is returned is held. Equal wishes are one. Takes a lock; for compiling, not for
    /// requests.
    pub fn checking(self: &Arc<Self>, check: &Check) -> Arc<Checking> {
        let mut state = self.lock();
        let mut live = state.checks.iter().filter_map(Weak::upgrade);
        if let Some(same) = live.find(|checking| checking.check() == check) {
            return same;
        }
        drop(live);
        let checking = Checking::new(check.clone(), &self.context.checks_changed);
        let is_first = state.checks.is_empty();
        state.checks.push(Arc::downgrade(&checking));
        drop(state);
        if is_first {
            self.context.add_checked(self);
        }
        self.context.checks_changed.notify_one();
        checking
    }

    /// The endpoints that are to be asked; forgets what checks found that nobody wants any more. `None` when there is no check.
    ///
    /// An endpoint is asked if requests could go to it, were it well: whatever the source believes of its health.
    pub(crate) fn targets(self: &Arc<Self>) -> Option<Vec<Target>> {
        let mut state = self.lock();
        let live: Vec<_> = state.checks.iter().filter_map(Weak::upgrade).collect();
        if live.len() < state.checks.len() {
            state.checks = live.iter().map(Arc::downgrade).collect();
            let mut changed = false;
            for member in state.members.values_mut() {
                changed |= member.forget_checks();
            }
            if changed {
                self.rebuild(&mut state, Instant::now());
            }
        }
        if live.is_empty() {
            return None;
        }
        let anything = Subset::default();
        let members = state.members.values();
        let listings = members.filter_map(|member| member.listing(&anything, false));
        let target = |listing| {
            let targets = live.iter();
            targets.map(move |checking| Target::new(self, checking, listing))
        };
        Some(listings.flat_map(target).collect())
    }

    /// Takes the answer of an endpoint to a check.
    pub(crate) fn checked(
        &self,
        checking: &Arc<Checking>,
        address: SocketAddr,
        answer: Result<(), CheckFailure>,
    ) {
        self.news.checked(answer.err().map(CheckFailure::word));
        let now = Instant::now();
        let mut state = self.lock();
        let window = state.window;
        let Some(member) = state.members.get_mut(&address) else {
            return;
        };
        if !member.checked(checking, answer) {
            return;
        }
        if answer.is_ok() {
            member.begins(false, window, now);
        }
        let failure = answer.err().map(|failure| failure.to_string());
        let check = checking.check().to_string();
        self.news.check_changed(address, &check, failure.as_deref());
        self.rebuild(&mut state, now);
        if state.due.is_some() {
            self.bell.ring();
        }
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

    /// Takes the reports of requests, returns endpoints whose back-off is over, and moves slow starts on. Returns when the next call is due.
    ///
    /// Costs little when there is nothing to do.
    pub(crate) fn advance(&self, now: Instant) -> Option<Instant> {
        let is_called = self.bell.answer();
        let mut state = self.lock();
        if !is_called && state.due.is_none_or(|due| due > now) {
            return state.due;
        }
        let marked = self.settle(&mut state, now);
        let judged = state.judge(now, &self.context, &self.news);
        let changed = state.advance(now, &self.news);
        if marked || judged || changed {
            self.rebuild(&mut state, now);
        } else {
            state.look_ahead(now, &self.context);
        }
        state.due
    }

    fn settle(&self, state: &mut State, now: Instant) -> bool {
        state.settle(now, &self.context.settings, &self.news)
    }

    /// Makes the schedules of all selections anew, and says how the endpoints stand.
    fn rebuild(&self, state: &mut State, now: Instant) {
        state.window = state.longest_slow_start();
        let mut panic = None;
        for selection in state.live_selections() {
            let of_selection = selection.rebuild(state, &self.context, now);
            panic = panic.or(of_selection);
        }
        match (panic, state.panic) {
            (Some(panic), false) => self.news.panic_began(panic.ejected, panic.eligible),
            (None, true) => self.news.panic_ended(),
            _ => {}
        }
        let away = state.live_selections();
        let away = away.iter().map(|selection| selection.away_percent());
        self.news.away(away.max().unwrap_or_default());
        state.panic = panic.is_some();
        state.look_ahead(now, &self.context);
        self.news.counts(state.counts());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock is a bug. The gateway goes on with the state as it is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
