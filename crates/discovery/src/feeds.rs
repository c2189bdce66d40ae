//! The feeds of all services that the table names: subscribed on demand, let go of after a grace.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_config::UpstreamUrl;
use pailou_nacos::ServiceName;
use pailou_telemetry::{events, tasks};
use pailou_upstream::{Service, ServiceId};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::claims::Claims;
use crate::clients::Clients;
use crate::feed::{Feed, FeedContext, FeedStatus, Restore};
use crate::snapshot::{self, Heard, SavedService};
use crate::static_feed::StaticFeed;
use crate::view::FeedView;

/// How long services are held, and kept when no route names them.
#[derive(Clone, Debug)]
pub(crate) struct FeedTimes {
    pub(crate) hold: Duration,
    pub(crate) hold_services: BTreeMap<String, Duration>,
    pub(crate) unsubscribe_after: Duration,
    /// When the snapshot takes the place of a Nacos that is silent since the start.
    pub(crate) restore_at: Instant,
}

/// The watched services.
pub(crate) struct Feeds {
    context: FeedContext,
    times: FeedTimes,
    clients: Arc<Clients>,
    feeds: BTreeMap<ServiceId, Running>,
    /// What an earlier run knew of services that have no feed yet.
    saved: BTreeMap<ServiceId, SavedService>,
    /// How long the snapshot had not changed at start.
    saved_age: Option<Duration>,
    /// By Nacos and namespace, since each has a connection of its own.
    claims: BTreeMap<(Arc<str>, Arc<str>), Arc<Claims>>,
}

/// A running feed. It ends only when something is wrong, and says what.
type Feeding = Pin<Box<dyn Future<Output = String> + Send>>;

struct Running {
    /// Keeps the service and the state of its addresses alive during the grace time.
    service: Arc<Service>,
    status: Arc<Mutex<FeedStatus>>,
    /// Since when no route names it.
    unnamed_since: Option<Instant>,
    task: AbortHandle,
}

impl Running {
    fn status(&self) -> MutexGuard<'_, FeedStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The task owns the watch, and dropping the watch ends the subscription.
        self.task.abort();
    }
}

impl Feeds {
    /// No feeds yet, and what an earlier run knew of the services to come.
    pub(crate) fn new(
        context: FeedContext,
        times: FeedTimes,
        clients: Arc<Clients>,
        saved: BTreeMap<ServiceId, SavedService>,
        saved_age: Option<Duration>,
    ) -> Feeds {
        Feeds {
            context,
            times,
            clients,
            feeds: BTreeMap::new(),
            saved,
            saved_age,
            claims: BTreeMap::new(),
        }
    }

    /// Starts the feeds of those services that have none, and returns those services.
    pub(crate) fn subscribe(&mut self, services: &[Arc<Service>]) -> Vec<Arc<Service>> {
        let mut new = Vec::new();
        for service in services {
            if !self.feeds.contains_key(service.id()) {
                let running = self.start(Arc::clone(service));
                self.feeds.insert(service.id().clone(), running);
                new.push(Arc::clone(service));
            }
        }
        new
    }

    /// Says which services the table names now; the grace of the others begins.
    pub(crate) fn named(&mut self, services: &[Arc<Service>]) {
        let now = Instant::now();
        for feed in self.feeds.values_mut() {
            feed.unnamed_since.get_or_insert(now);
        }
        for service in services {
            if let Some(feed) = self.feeds.get_mut(service.id()) {
                feed.unnamed_since = None;
            }
        }
    }

    /// Unsubscribes what has not been named for the grace time, and returns when to call it again.
    pub(crate) fn sweep(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let grace = self.times.unsubscribe_after;
        self.feeds.retain(|id, feed| {
            let keeps = feed.unnamed_since.is_none_or(|since| now < since + grace);
            if !keeps {
                tracing::info!(service = %id, "service unsubscribed: no route names it");
            }
            keeps
        });
        let sessions = self.feeds.keys();
        self.clients
            .keep_only(sessions.map(|id| (&*id.nacos, &*id.namespace)));
        let unnamed = self.feeds.values().filter_map(|feed| feed.unnamed_since);
        unnamed.min().map(|since| since + grace)
    }

    /// Whether some service is served from what a lost connection said.
    pub(crate) fn is_any_stale(&self) -> bool {
        self.feeds
            .values()
            .any(|feed| feed.unnamed_since.is_none() && feed.status().is_stale())
    }

    /// How many services are served from the snapshot that were not so at the last call, and how long it had
    /// not changed at start.
    pub(crate) fn newly_restored(&mut self) -> (usize, Option<Duration>) {
        let is_news = |feed: &&Running| std::mem::take(&mut feed.status().restored);
        let services = self.feeds.values().filter(is_news).count();
        (services, self.saved_age)
    }

    /// Forgets what the snapshot says of services that the first table did not name.
    pub(crate) fn forget_saved(&mut self) {
        self.saved.clear();
    }

    /// The last good endpoints of each service that is known.
    pub(crate) fn last_good(&self) -> Vec<(ServiceId, SavedService)> {
        let last_good = |(id, feed): (&ServiceId, &Running)| {
            let last_good = feed.status().last_good.clone()?;
            Some((id.clone(), last_good))
        };
        self.feeds.iter().filter_map(last_good).collect()
    }

    /// Notes which Nacos have said something of their services.
    pub(crate) fn heard(&self, heard: &mut Heard) {
        for (id, feed) in &self.feeds {
            if let Some(is_something) = feed.status().heard() {
                heard.note(&id.nacos, is_something);
            }
        }
    }

    /// Unsubscribes everything.
    pub(crate) fn clear(&mut self) {
        self.feeds.clear();
    }

    /// The feeds as shown to people.
    pub(crate) fn views(&self) -> Vec<FeedView> {
        let view = |feed: &Running| {
            feed.status()
                .view(&feed.service, feed.unnamed_since.is_none())
        };
        self.feeds.values().map(view).collect()
    }

    fn start(&mut self, service: Arc<Service>) -> Running {
        let status = Arc::new(Mutex::new(FeedStatus::default()));
        let (id, metrics) = (service.id().clone(), self.context.metrics.clone());
        let ended = move |error: &str| {
            let task = "service feed";
            let error = &*format!("{id}: {error}");
            events::TaskEnded { task, error }.record(&metrics);
        };
        let task = match service.id().url() {
            Some(url) => {
                let start = self.at_url(&service, &status, url);
                tokio::spawn(tasks::forever(start, ended))
            }
            None => {
                let start = self.of_nacos(&service, &status);
                tokio::spawn(tasks::forever(start, ended))
            }
        };
        Running {
            service,
            status,
            unnamed_since: None,
            task: task.abort_handle(),
        }
    }

    /// What starts the feed of a URL.
    fn at_url(
        &self,
        service: &Arc<Service>,
        status: &Arc<Mutex<FeedStatus>>,
        url: UpstreamUrl,
    ) -> impl FnMut() -> Feeding + Send + use<> {
        let context = self.context.clone();
        let (service, status) = (Arc::clone(service), Arc::clone(status));
        move || {
            let (service, status) = (Arc::clone(&service), Arc::clone(&status));
            let feed = StaticFeed::new(context.clone(), service, url.clone(), status);
            Box::pin(feed.run())
        }
    }

    /// What starts the feed of a service in a Nacos.
    fn of_nacos(
        &mut self,
        service: &Arc<Service>,
        status: &Arc<Mutex<FeedStatus>>,
    ) -> impl FnMut() -> Feeding + Send + use<> {
        let id = service.id();
        let client = self.clients.of(&id.nacos, &id.namespace);
        let name = ServiceName::new(&id.group, &id.name);
        let window = self.times.hold_services.get(&*id.name);
        let window = window.copied().unwrap_or(self.times.hold);
        let mut saved = self.saved.remove(id).map(|saved| {
            // With a connection the answer is a matter of milliseconds; without one the wait is over when
            // that of the start is.
            let patience = if client.states().borrow().connected {
                snapshot::SILENCE
            } else {
                Duration::ZERO
            };
            let at = self.times.restore_at.max(Instant::now() + patience);
            let at_once_until = at + snapshot::AT_ONCE;
            Restore {
                saved,
                at,
                at_once_until,
            }
        });
        let session = (Arc::clone(&id.nacos), Arc::clone(&id.namespace));
        let claims = Arc::clone(self.claims.entry(session).or_default());
        let (service, status) = (Arc::clone(service), Arc::clone(status));
        let context = self.context.clone();
        move || {
            let (service, status) = (Arc::clone(&service), Arc::clone(&status));
            let claimant = claims.claimant();
            let saved = saved.take();
            let feed = Feed::new(context.clone(), service, window, status, claimant, saved);
            Box::pin(feed.run(client.watch_service(&name), client.states()))
        }
    }
}
