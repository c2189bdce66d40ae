//! The feed of one service: it makes the endpoints that are balanced over from what Nacos says.
//!
//! Each service has one such task. A state passes admission, name resolution and the hold, and goes to the
//! balancer. Only a state changes the set of endpoints. An error or a lost connection only marks the set stale.

mod instances;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_nacos::{ConnectionState, Origin, ServiceState, ServiceWatch};
use pailou_telemetry::{Metrics, events};
use pailou_upstream::{EndpointSet, EndpointSpec, Service};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::claims::Claimant;
use crate::hold::{Began, Hold, Listed, Transition};
use crate::resolve::{Lookup, Names};
use crate::snapshot::{SavedService, Snapshot};
use crate::view::{FeedView, RefusedView};

/// How long the first state of a service waits for its host names to be resolved.
const FIRST_LOOKUP: Duration = Duration::from_secs(1);
/// How often the feed checks whether the address of a held endpoint belongs to another service by now.
const LOOK: Duration = Duration::from_millis(250);

/// What all feeds share.
#[derive(Clone)]
pub(crate) struct FeedContext {
    pub(crate) admission: Arc<Admission>,
    pub(crate) lookup: Arc<dyn Lookup>,
    /// How often host names are looked up again.
    pub(crate) dns_refresh: Duration,
    pub(crate) metrics: Metrics,
    /// Told of changes, unless it is off.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
}

/// What an earlier run knew of the service, and when it is used if Nacos has not answered.
pub(crate) struct Restore {
    pub(crate) saved: SavedService,
    pub(crate) at: Instant,
    /// Until when a first answer takes the place of what the earlier run knew.
    pub(crate) at_once_until: Instant,
}

/// What a feed last did, for the views.
#[derive(Clone, Debug, Default)]
pub(crate) struct FeedStatus {
    /// What Nacos said last, how long ago, and its errors.
    watch: Option<ServiceWatch>,
    stale: bool,
    from_snapshot: bool,
    /// Whether the feed began with the snapshot's endpoints, and the log does not say so yet.
    pub(crate) restored: bool,
    /// The endpoints that the snapshot keeps.
    pub(crate) last_good: Option<SavedService>,
    held: usize,
    hold_until: Option<Instant>,
    refused: Vec<RefusedView>,
    /// What is known of a host name that a route gives.
    name: Option<NameStatus>,
}

/// The result of the last lookup of a host name.
#[derive(Clone, Debug)]
struct NameStatus {
    addresses: usize,
    at: Instant,
    error: Option<String>,
}

impl FeedStatus {
    /// Notes how many addresses a host has.
    pub(crate) fn resolved(&mut self, addresses: usize, refused: Vec<RefusedView>) {
        self.refused = refused;
        self.name = Some(NameStatus {
            addresses,
            at: Instant::now(),
            error: None,
        });
    }

    /// Notes that a host has no address.
    pub(crate) fn unresolved(&mut self, error: &str) {
        self.name = Some(NameStatus {
            addresses: 0,
            at: Instant::now(),
            error: Some(error.to_owned()),
        });
    }

    /// Whether the endpoints come from a connection that is lost.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether Nacos has spoken of the service, and listed an instance.
    pub(crate) fn heard(&self) -> Option<bool> {
        let state = self.watch.as_ref().and_then(ServiceWatch::current)?;
        Some(!state.instances.is_empty())
    }

    /// The status as shown to people.
    pub(crate) fn view(&self, service: &Service, named: bool) -> FeedView {
        let now = Instant::now();
        let state = self.watch.as_ref().and_then(ServiceWatch::current);
        let state = state.as_deref();
        let error = self.watch.as_ref().and_then(ServiceWatch::last_error);
        let name = self.name.as_ref();
        let heard = state.map(|state| state.received);
        let heard = heard.or(name.map(|name| name.at));
        FeedView {
            service: service.label().to_owned(),
            known: state.is_some() || name.is_some_and(|name| name.error.is_none()),
            named,
            stale: self.stale,
            from_snapshot: self.from_snapshot,
            age_seconds: heard.map(|heard| (now - heard).as_secs_f64()),
            epoch: state.map(|state| state.epoch),
            origin: state.map(|state| state.origin),
            listed: match name {
                Some(name) => name.addresses,
                None => state.map_or(0, |state| state.instances.len()),
            },
            held: self.held,
            hold_seconds: self.hold_until.map(|until| (until - now).as_secs_f64()),
            protected: state.is_some_and(|state| state.protected),
            refused: self.refused.clone(),
            error: match name {
                Some(name) => name.error.clone(),
                None => error.as_ref().map(ToString::to_string),
            },
        }
    }
}

/// The task of one service.
pub(crate) struct Feed {
    context: FeedContext,
    service: Arc<Service>,
    status: Arc<Mutex<FeedStatus>>,
    names: Names,
    hold: Hold,
    claimant: Claimant,
    /// The version of the claims that the held endpoints were compared with.
    claims_seen: Option<u64>,
    state: Option<Arc<ServiceState>>,
    connection: ConnectionState,
    /// Until when the first state waits for its host names.
    waits_until: Option<Instant>,
    refused: Vec<RefusedView>,
    stale: bool,
    health_is_known: bool,
    /// What an earlier run knew, until Nacos has answered.
    restore: Option<Restore>,
    /// Whether the endpoints of the earlier run are served now.
    from_snapshot: bool,
    /// Until when a first answer takes the place of these.
    at_once_until: Option<Instant>,
}

impl Feed {
    /// A feed of `service` that holds for `window`. If Nacos is silent, it begins with what an earlier run
    /// knew.
    pub(crate) fn new(
        context: FeedContext,
        service: Arc<Service>,
        window: Duration,
        status: Arc<Mutex<FeedStatus>>,
        mut claimant: Claimant,
        restore: Option<Restore>,
    ) -> Feed {
        if let Some(Restore { saved, .. }) = &restore {
            claimant.remember(saved.endpoints.iter().map(|endpoint| endpoint.address));
        }
        Feed {
            names: Names::new(Arc::clone(&context.lookup), context.dns_refresh),
            context,
            service,
            status,
            hold: Hold::new(window),
            claimant,
            claims_seen: None,
            state: None,
            connection: ConnectionState::default(),
            waits_until: None,
            refused: Vec::new(),
            stale: false,
            health_is_known: true,
            restore,
            from_snapshot: false,
            at_once_until: None,
        }
    }

    /// Feeds the service until the future is dropped.
    pub(crate) async fn run(
        mut self,
        mut watch: ServiceWatch,
        mut connections: watch::Receiver<ConnectionState>,
    ) -> String {
        self.connection = connections.borrow_and_update().clone();
        self.status().watch = Some(watch.clone());
        loop {
            let hold_ends = self.hold.deadline();
            let wait_ends = self.waits_until;
            let is_holding = self.hold.held() > 0;
            let restores = self.restore.as_ref().map(|restore| restore.at);
            tokio::select! {
                state = watch.changed() => self.listed(state),
                () = self.names.changed() => self.refresh(),
                () = at(hold_ends), if hold_ends.is_some() => self.expire(),
                () = at(wait_ends), if wait_ends.is_some() => self.refresh(),
                () = tokio::time::sleep(LOOK), if is_holding => self.look(),
                () = at(restores), if restores.is_some() => self.restore(),
                Ok(()) = connections.changed() => {
                    let connection = connections.borrow_and_update().clone();
                    self.connection_is(connection);
                }
            }
        }
    }

    /// Takes what Nacos says.
    fn listed(&mut self, state: Arc<ServiceState>) {
        self.names.need(&instances::host_names(&state.instances));
        if self.state.is_none() && self.names.is_pending() {
            self.waits_until = Some(Instant::now() + FIRST_LOOKUP);
        }
        if state.origin == Origin::Audit {
            events::DriftFound {
                service: self.service.metrics(),
            }
            .record();
        }
        self.state = Some(state);
        self.refresh();
    }

    /// Makes the endpoints of the last state anew.
    fn refresh(&mut self) {
        let Some(state) = self.state.clone() else {
            return;
        };
        let now = Instant::now();
        if self.waits_until.is_some_and(|until| now < until) && self.names.is_pending() {
            return;
        }
        self.waits_until = None;
        if state.instances.is_empty() {
            // A Nacos that has just been started as well says that there is nothing: what the earlier
            // run knew is the last good set of this first connection. Any other first answer is believed.
            self.take_saved();
        } else if self.from_snapshot && self.at_once_until.is_some_and(|until| now < until) {
            // It came at once all the same, so the endpoints of the snapshot are not held beside it.
            self.hold.trust_next();
        }
        self.restore = None;
        self.from_snapshot = false;
        let (endpoints, refused) =
            instances::endpoints(&state.instances, &self.names, &self.context.admission);
        self.report_refused(refused);
        let listed = Listed {
            endpoints,
            empty: state.instances.is_empty(),
            epoch: state.epoch,
        };
        let transition = self.hold.take(now, listed);
        let standings = self.hold.standings();
        self.claimant.set(state.epoch, standings);
        let released = self.let_go_of_taken();
        self.publish(transition);
        self.report(released);
    }

    /// Serves what an earlier run knew: Nacos is silent.
    fn restore(&mut self) {
        if self.take_saved() {
            self.from_snapshot = true;
            self.status().restored = true;
            self.publish(Transition::default());
        }
    }

    /// Makes what an earlier run knew the last good set, once, if there is any. Addresses that the present rules
    /// refuse are left out.
    fn take_saved(&mut self) -> bool {
        let Some(restore) = self.restore.take() else {
            return false;
        };
        self.at_once_until = Some(restore.at_once_until);
        let saved = restore.saved;
        self.health_is_known = saved.health_is_known;
        let admission = &self.context.admission;
        let mut endpoints = saved.endpoints.to_vec();
        endpoints.retain_mut(|endpoint| {
            endpoint.grpc_port = admission.admit_port(endpoint.address, endpoint.grpc_port);
            admission.admit(endpoint.address).is_ok()
        });
        self.hold.restore(endpoints);
        true
    }

    /// Publishes without the endpoints whose addresses were taken over, if there may be any.
    fn look(&mut self) {
        if self.claims_seen != Some(self.claimant.version()) {
            let held = self.hold.held();
            let transition = self.let_go_of_taken();
            if self.hold.held() < held {
                self.publish(transition);
            }
        }
    }

    /// Drops held endpoints whose addresses another service has taken over.
    fn let_go_of_taken(&mut self) -> Transition {
        self.claims_seen = Some(self.claimant.version());
        let claimant = &self.claimant;
        self.hold.release(|address, epoch, cause| {
            // A server that removed a service's last instance and lists the same address elsewhere is right.
            // A restarted server may list only a part of what was there before.
            let is_taken = claimant.is_taken(address, epoch, cause == Began::EmptyPush);
            if is_taken {
                tracing::info!(
                    target: "pailou",
                    service = self.service.label(),
                    %address,
                    "a held endpoint is let go of, its address belongs to another service"
                );
            }
            is_taken
        })
    }

    fn expire(&mut self) {
        let transition = self.hold.expire(Instant::now());
        self.publish(transition);
    }

    /// Notes a lost or a new connection. Endpoints stay, and are marked stale while no connection confirms
    /// them.
    fn connection_is(&mut self, connection: ConnectionState) {
        self.connection = connection;
        let has_endpoints = self.state.is_some() || self.from_snapshot;
        if has_endpoints && self.is_stale() != self.stale && self.waits_until.is_none() {
            self.publish(Transition::default());
        }
    }

    fn is_stale(&self) -> bool {
        let heard_over = self.state.as_ref().map(|state| state.epoch);
        !self.connection.connected || heard_over < Some(self.connection.epoch)
    }

    fn publish(&mut self, transition: Transition) {
        if let Some(state) = &self.state {
            self.health_is_known = !state.protected;
        }
        let health_is_known = self.health_is_known;
        self.stale = self.is_stale();
        let endpoints = self.hold.effective();
        self.keep(&endpoints);
        self.service.update(EndpointSet {
            endpoints,
            health_is_known,
            stale: self.stale,
        });
        self.report(transition);
        let mut status = self.status();
        status.stale = self.stale;
        status.from_snapshot = self.from_snapshot;
        status.held = self.hold.held();
        status.hold_until = self.hold.deadline();
        status.refused.clone_from(&self.refused);
    }

    /// Hands the endpoints to the snapshot, if they differ from those that it has.
    fn keep(&self, endpoints: &[EndpointSpec]) {
        let Some(snapshot) = &self.context.snapshot else {
            return;
        };
        let mut status = self.status();
        let health_is_known = self.health_is_known;
        let is_same = status.last_good.as_ref().is_some_and(|last_good| {
            last_good.health_is_known == health_is_known && *last_good.endpoints == *endpoints
        });
        if !is_same {
            status.last_good = Some(SavedService {
                endpoints: endpoints.into(),
                health_is_known,
            });
            snapshot.changed.notify_one();
        }
    }

    fn status(&self) -> MutexGuard<'_, FeedStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, transition: Transition) {
        let service = self.service.metrics();
        if let Some((reason, endpoints)) = transition.began {
            events::HoldBegan {
                service,
                endpoints,
                reason: reason.as_str(),
            }
            .record();
        }
        if let Some(dropped) = transition.ended {
            events::HoldEnded { service, dropped }.record();
        }
    }

    /// Reports the instances that are refused and were not before.
    fn report_refused(&mut self, refused: Vec<RefusedView>) {
        let service = self.service.metrics();
        for instance in &refused {
            let is_news = self.refused.binary_search(instance).is_err();
            if is_news && instance.reason != instances::PENDING {
                events::EndpointRefused {
                    service,
                    address: &instance.address,
                    reason: instance.reason,
                }
                .record();
            }
        }
        self.refused = refused;
    }
}

async fn at(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}
