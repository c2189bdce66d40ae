//! All services of the process.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pailou_config::EjectionSettings;
use pailou_telemetry::Metrics;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::Policy;
use crate::id::ServiceId;
use crate::selection::{Selection, Subset};
use crate::service::Service;
use crate::trouble::Troubles;

/// All services that anybody holds, one of each id.
///
/// It knows them weakly: a service goes when the last selection over it and the last who watches it have gone.
#[derive(Debug)]
pub struct Services {
    context: Arc<Context>,
    services: Mutex<HashMap<ServiceId, Weak<Service>>>,
}

/// What all services share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: EjectionSettings,
    pub(crate) metrics: Metrics,
    /// Addresses that fail, of which all services say one thing together.
    pub(crate) troubles: Arc<Troubles>,
    /// Tells the supervisor that something may fall due earlier than it thinks.
    pub(crate) wake: Arc<Notify>,
}

impl Services {
    /// No services yet.
    pub fn new(settings: EjectionSettings, metrics: Metrics) -> Arc<Services> {
        let context = Context {
            settings,
            metrics,
            troubles: Arc::default(),
            wake: Arc::default(),
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
        // When the map would grow, and not each time: ten thousand new services would look at each other.
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

    /// Every service, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Service>> {
        let mut all = self.live();
        all.sort_by(|a, b| a.id().cmp(b.id()));
        all
    }

    /// Draws the consequences of what requests report, returns ejected endpoints when their back-off is over and moves slow starts on.
    ///
    /// Runs until it is dropped, and may be dropped at any time. A report wakes it at once. Without it ejected endpoints stay out.
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

    /// One round of [`Services::supervise`]; says when the next one is due, reports aside.
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
