//! All services of the process.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pailou_config::EjectionSettings;
use pailou_telemetry::Metrics;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::Policy;
use crate::check::Target;
use crate::id::ServiceId;
use crate::near::Near;
use crate::selection::{Selection, Subset};
use crate::service::Service;
use crate::trouble::Troubles;

/// All services that anybody holds, one of each id.
///
/// It knows them weakly: a service is dropped with the last selection over it and the last task that watches it.
#[derive(Debug)]
pub struct Services {
    context: Arc<Context>,
    services: Mutex<HashMap<ServiceId, Weak<Service>>>,
}

/// What all services share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: EjectionSettings,
    /// Whose endpoints come first, if any do.
    pub(crate) near: Option<Near>,
    pub(crate) metrics: Metrics,
    /// From here on the intervals are counted in which endpoints are compared.
    pub(crate) began: Instant,
    /// Addresses that fail. All services together log one story of an address.
    pub(crate) troubles: Arc<Troubles>,
    /// Tells the supervisor that something may fall due earlier than it thinks.
    pub(crate) wake: Arc<Notify>,
    /// The services whose endpoints are checked.
    checked: Mutex<Vec<Weak<Service>>>,
    /// Tells whoever asks endpoints that others are to be asked.
    pub(crate) checks_changed: Arc<Notify>,
}

impl Context {
    /// Notes that a service has its first check.
    pub(crate) fn add_checked(&self, service: &Arc<Service>) {
        self.checked().push(Arc::downgrade(service));
    }

    fn checked(&self) -> MutexGuard<'_, Vec<Weak<Service>>> {
        // Every section under the lock leaves the list whole.
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services {
    /// No services yet.
    pub fn new(settings: EjectionSettings, metrics: Metrics) -> Arc<Services> {
        Services::preferring(None, settings, metrics)
    }

    /// The same where endpoints of one cluster come first, in selections that are not restricted to a cluster.
    pub fn preferring(
        near: Option<Near>,
        settings: EjectionSettings,
        metrics: Metrics,
    ) -> Arc<Services> {
        let context = Context {
            settings,
            near,
            metrics,
            began: Instant::now(),
            troubles: Arc::default(),
            wake: Arc::default(),
            checked: Mutex::default(),
            checks_changed: Arc::default(),
        };
        Arc::new(Services {
            context: Arc::new(context),
            services: Mutex::default(),
        })
    }

    /// The service of that id: the same one for as long as anybody holds it. Takes a lock; for compiling, not for requests.
    pub fn service(&self, id: &ServiceId) -> Arc<Service> {
        let mut services = self.lock();
        if let Some(service) = services.get(id).and_then(Weak::upgrade) {
            return service;
        }
        // Only when the map would grow. Otherwise each of ten thousand new services would look at all others.
        if services.len() == services.capacity() {
            services.retain(|_, service| service.strong_count() > 0);
        }
        let service = Service::new(id.clone(), Arc::clone(&self.context));
        services.insert(id.clone(), Arc::downgrade(&service));
        service
    }

    /// The selection of a subset of a service under a policy: the same one for as long as anybody holds it.
    pub fn selection(
        &self,
        service: &Arc<Service>,
        subset: &Subset,
        policy: &Policy,
    ) -> Arc<Selection> {
        Service::selection(service, subset, policy)
    }

    /// Every endpoint that is to be asked by an active check. One caller at a time.
    pub fn targets(&self) -> Vec<Target> {
        let services = std::mem::take(&mut *self.context.checked());
        let mut targets = Vec::new();
        for service in services.iter().filter_map(Weak::upgrade) {
            // A check that comes meanwhile finds the list of checks empty, and adds its service by itself.
            if let Some(of_service) = service.targets() {
                targets.extend(of_service);
                self.context.add_checked(&service);
            }
        }
        targets
    }

    /// Waits until other endpoints may be to be asked than [`Services::targets`] has said last. For one caller.
    pub async fn checks_changed(&self) {
        self.context.checks_changed.notified().await;
    }

    /// Every service, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Service>> {
        let mut all = self.live();
        all.sort_by(|a, b| a.id().cmp(b.id()));
        all
    }

    /// Acts on the reports of requests, returns ejected endpoints when their back-off is over, and moves slow starts on.
    ///
    /// Runs until it is dropped, which may be at any time. A report wakes it at once. Without it ejected endpoints stay out.
    pub async fn supervise(self: Arc<Self>) -> Infallible {
        loop {
            let next = self.advance();
            let woken = self.context.wake.notified();
            match next {
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = woken => {}
                },
                None => woken.await,
            }
        }
    }

    /// One round of [`Services::supervise`]. Returns when the next round is due if no report comes before.
    pub fn advance(&self) -> Option<Instant> {
        let now = Instant::now();
        let live = self.live();
        live.iter().filter_map(|service| service.advance(now)).min()
    }

    fn live(&self) -> Vec<Arc<Service>> {
        let mut services = self.lock();
        let live: Vec<_> = services.values().filter_map(Weak::upgrade).collect();
        // What is dead keeps its memory as long as its entry is there.
        if live.len() < services.len() {
            services.retain(|_, service| service.strong_count() > 0);
            services.shrink_to(2 * live.len());
        }
        live
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceId, Weak<Service>>> {
        // Every section under the lock leaves the map whole.
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
