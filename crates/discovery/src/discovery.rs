//! The handle: starts everything, tells what is known, ends everything.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_config::{Loopback, RouteSource, Settings};
use pailou_nacos::{Client, ConfigName, ServiceName};
use pailou_routing::TableCell;
use pailou_telemetry::{Metrics, events};
use pailou_upstream::Services;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::admission::Admission;
use crate::clients::Clients;
use crate::documents::Documents;
use crate::feed::FeedContext;
use crate::feeds::{FeedTimes, Feeds};
use crate::metadata::Applied;
use crate::publish::{Defaults, PublishTimes, Published, Publisher, Work};
use crate::readiness;
use crate::registration::Registrar;
use crate::resolve::SystemLookup;
use crate::source::{FileSource, Inbox, NacosSource, Source};
use crate::supervise;
use crate::view::{DiscoveryView, DocumentView, Readiness, RegistrationView};

/// How long [`Discovery::deregister`] takes at most.
const DEREGISTER_LIMIT: Duration = Duration::from_secs(1);

/// Follows the sources of routes and the services that they name, and keeps the live table and the
/// services' endpoints up to date, until it is stopped or dropped.
///
/// It runs on the Tokio runtime that it was started on, which should not be the one that serves requests.
#[derive(Debug)]
pub struct Discovery {
    shared: Arc<Shared>,
    readiness: watch::Receiver<Readiness>,
    registration: Mutex<Registering>,
    tasks: Mutex<JoinSet<()>>,
}

/// What the tasks and the views share.
struct Shared {
    settings: Settings,
    clients: Arc<Clients>,
    client: Client,
    inbox: Arc<Inbox>,
    feeds: Arc<Mutex<Feeds>>,
    published: watch::Receiver<Published>,
    registration: Arc<Mutex<RegistrationView>>,
    metrics: Metrics,
    /// The port that others reach the gateway at.
    port: Option<u16>,
}

/// How far the gateway's own registration is.
#[derive(Debug, Default)]
enum Registering {
    #[default]
    NotYet,
    Running {
        leave: watch::Sender<bool>,
        task: JoinHandle<()>,
    },
    Over,
}

impl Discovery {
    /// Starts to follow what `settings` names. `listeners` are the gateway's sockets as they were bound:
    /// they are never endpoints, and the first one is advertised.
    ///
    /// It never fails: what is out of reach now is tried again, and [`Discovery::view`] tells how it goes.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(
        settings: &Settings,
        listeners: &[SocketAddr],
        client: Client,
        services: Arc<Services>,
        table: TableCell,
        metrics: Metrics,
    ) -> Discovery {
        let clients = Arc::new(Clients::new(client.clone(), metrics.clone()));
        let context = FeedContext {
            admission: Arc::new(admission(settings, listeners)),
            lookup: Arc::new(SystemLookup::new()),
            metrics: metrics.clone(),
        };
        let times = FeedTimes {
            hold: settings.discovery.hold,
            hold_services: settings.discovery.hold_services.clone(),
            unsubscribe_after: settings.discovery.unsubscribe_after,
        };
        let feeds = Feeds::new(context, times, Arc::clone(&clients));
        let feeds = Arc::new(Mutex::new(feeds));
        let mut tasks = JoinSet::new();
        let sources = sources(settings, &clients, &metrics);
        let inbox = Inbox::new(sources.len());
        let names = sources
            .iter()
            .map(|(name, source)| (Arc::clone(name), source.kind()));
        let documents = Documents::new(names);
        let (publish, published) = watch::channel(Published {
            documents: documents.views().into(),
            ..Published::default()
        });
        let publisher = Publisher {
            inbox: Arc::clone(&inbox),
            work: Arc::new(Mutex::new(Work::new(
                documents,
                Defaults {
                    services,
                    metrics: metrics.clone(),
                    route: settings.defaults.clone(),
                    namespace: settings.nacos.namespace.clone(),
                    group: settings.nacos.group.clone(),
                },
            ))),
            feeds: Arc::clone(&feeds),
            table,
            published: Arc::new(publish),
            times: PublishTimes {
                debounce: settings.discovery.debounce,
                first_state: settings.discovery.first_state_timeout,
            },
            metrics: metrics.clone(),
        };
        for (index, (name, source)) in sources.into_iter().enumerate() {
            let outlet = inbox.outlet(index);
            let metrics = metrics.clone();
            tasks.spawn(supervise::forever(
                move || Arc::clone(&source).run(outlet.clone()),
                move |error| {
                    events::SourceFailed {
                        source: &name,
                        error,
                    }
                    .record(&metrics);
                },
            ));
        }
        tasks.spawn(supervise::forever(move || publisher.clone().run(), {
            let metrics = metrics.clone();
            move |error| {
                events::TaskEnded {
                    task: "publisher",
                    error,
                }
                .record(&metrics);
            }
        }));
        let (ready, readiness) = watch::channel(Readiness {
            ready: false,
            reason: "starting".to_owned(),
        });
        let trouble = {
            let (client, inbox) = (client.clone(), Arc::clone(&inbox));
            move || {
                let source = || inbox.troubles().into_iter().flatten().next();
                connection_error(&client).or_else(source)
            }
        };
        tasks.spawn(readiness::follow(published.clone(), ready, trouble));
        let registration = RegistrationView {
            enabled: settings.registration.enabled,
            service: own_service(settings).to_string(),
            ..RegistrationView::default()
        };
        let shared = Shared {
            settings: settings.clone(),
            clients,
            client,
            inbox,
            feeds,
            published,
            registration: Arc::new(Mutex::new(registration)),
            metrics,
            port: advertised_port(settings, listeners),
        };
        Discovery {
            shared: Arc::new(shared),
            readiness,
            registration: Mutex::default(),
            tasks: Mutex::new(tasks),
        }
    }

    /// Everything that is known now. Its cost grows with the number of documents and services.
    pub fn view(&self) -> DiscoveryView {
        let shared = &self.shared;
        let published = shared.published.borrow().clone();
        DiscoveryView {
            readiness: self.readiness.borrow().clone(),
            documents: shared.documents(&published),
            table: published.table,
            services: lock(&shared.feeds).views(),
            sessions: shared.clients.views(),
            registration: lock(&shared.registration).clone(),
        }
    }

    /// Whether the gateway may take requests, to be read or waited on. Once ready it stays ready.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// Waits until the gateway is ready; see [`Readiness`].
    pub async fn ready(&self) {
        let mut readiness = self.readiness.clone();
        if readiness
            .wait_for(|readiness| readiness.ready)
            .await
            .is_err()
        {
            // Stopped before it was ready: it never will be.
            std::future::pending::<()>().await;
        }
    }

    /// Registers the gateway in Nacos and keeps it registered, in the background; call it once requests
    /// are accepted. Does nothing the second time, after [`Discovery::deregister`], or where the settings
    /// say so.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn register(&self) {
        let shared = &self.shared;
        let mut registration = lock(&self.registration);
        let Some(port) = shared.port else { return };
        if !shared.settings.registration.enabled || !matches!(*registration, Registering::NotYet) {
            return;
        }
        let registrar = Registrar {
            client: shared.client.clone(),
            settings: shared.settings.registration.clone(),
            servers: shared.settings.nacos.servers.clone(),
            service: own_service(&shared.settings),
            port,
            version: env!("CARGO_PKG_VERSION"),
            metrics: shared.metrics.clone(),
            view: Arc::clone(&shared.registration),
        };
        let applied = {
            let shared = Arc::clone(shared);
            move || shared.applied()
        };
        let (leave, left) = watch::channel(false);
        let task = tokio::spawn(registrar.run(applied, left));
        *registration = Registering::Running { leave, task };
    }

    /// Takes the gateway out of Nacos: the first act of a shutdown. Returns within a second, whatever
    /// Nacos does.
    pub async fn deregister(&self) {
        let running = std::mem::replace(&mut *lock(&self.registration), Registering::Over);
        if let Registering::Running { leave, mut task } = running {
            leave.send_replace(true);
            if tokio::time::timeout(DEREGISTER_LIMIT, &mut task)
                .await
                .is_err()
            {
                task.abort();
            }
        }
    }

    /// Deregisters if that was not done, and ends all tasks and subscriptions. The table and the endpoints
    /// stay as they are.
    pub async fn stop(self) {
        self.deregister().await;
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
        lock(&self.shared.feeds).clear();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// The documents, with what their sources say at this moment.
    fn documents(&self, published: &Published) -> Vec<DocumentView> {
        let mut documents = published.documents.to_vec();
        for (document, trouble) in documents.iter_mut().zip(self.inbox.troubles()) {
            document.trouble = trouble;
        }
        documents
    }

    fn applied(&self) -> Applied {
        let published = self.published.borrow();
        Applied {
            revision: published.table.revision,
            md5: published.table.md5.clone(),
            error: published.error.clone(),
            stale: lock(&self.feeds).is_any_stale(),
        }
    }
}

/// The sources, by the names of their documents, in the order of `gateway.yaml`.
fn sources(
    settings: &Settings,
    clients: &Clients,
    metrics: &Metrics,
) -> Vec<(Arc<str>, Arc<dyn Source>)> {
    let data_ids: Vec<_> = settings
        .routes
        .iter()
        .filter_map(|source| match source {
            RouteSource::Config { data_id, .. } => Some(data_id),
            RouteSource::File(_) => None,
        })
        .collect();
    let source = |source: &RouteSource| match source {
        RouteSource::File(path) => {
            let source: Arc<dyn Source> = Arc::new(FileSource::new(path));
            (path.display().to_string().into(), source)
        }
        RouteSource::Config {
            data_id,
            group,
            namespace,
        } => {
            let client = clients.pinned(namespace);
            let config = ConfigName::new(group, data_id);
            let source: Arc<dyn Source> =
                Arc::new(NacosSource::new(client, config, metrics.clone()));
            let is_ambiguous = data_ids.iter().filter(|other| **other == data_id).count() > 1;
            let name = match (is_ambiguous, namespace.as_str()) {
                (false, _) => data_id.clone(),
                (true, "") => format!("{group}/{data_id}"),
                (true, namespace) => format!("{namespace}/{group}/{data_id}"),
            };
            (name.into(), source)
        }
    };
    settings.routes.iter().map(source).collect()
}

fn admission(settings: &Settings, listeners: &[SocketAddr]) -> Admission {
    let is_local = |host: &str| {
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback())
    };
    Admission {
        allowed: settings.discovery.allow_addresses.clone(),
        allow_loopback: match settings.discovery.allow_loopback {
            Loopback::Allow => true,
            Loopback::Deny => false,
            Loopback::Auto => settings
                .nacos
                .servers
                .iter()
                .all(|server| is_local(&server.host)),
        },
        listeners: listeners.to_vec(),
    }
}

fn own_service(settings: &Settings) -> ServiceName {
    let own = &settings.registration;
    let group = if own.group.is_empty() {
        &settings.nacos.group
    } else {
        &own.group
    };
    ServiceName::new(group, &own.service)
}

fn advertised_port(settings: &Settings, listeners: &[SocketAddr]) -> Option<u16> {
    match settings.registration.port {
        0 => listeners.first().map(SocketAddr::port),
        port => Some(port),
    }
}

fn connection_error(client: &Client) -> Option<String> {
    let state = client.states().borrow().clone();
    if state.connected {
        return None;
    }
    let error = state.last_error.as_deref().unwrap_or("still trying");
    Some(format!("not connected to Nacos: {error}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
