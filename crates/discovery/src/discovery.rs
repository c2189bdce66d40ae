//! The handle: it starts all tasks, tells what is known, and ends the tasks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_config::Settings;
use pailou_filters::Sources;
use pailou_nacos::Client;
use pailou_routing::TableCell;
use pailou_telemetry::tasks::{self, Tasks};
use pailou_telemetry::{Metrics, events};
use pailou_upstream::Services;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clients::Clients;
use crate::credentials;
use crate::documents::Documents;
use crate::feeds::Feeds;
use crate::kept::KeptConfigs;
use crate::metadata::Applied;
use crate::publish::{Published, Publisher};
use crate::readiness;
use crate::registration::Registrar;
use crate::snapshot::{self, Snapshot, Writer};
use crate::source::Inbox;
use crate::view::{DiscoveryView, DocumentView, Readiness, RegistrationView};
use crate::wiring::{self, Named};

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
    credentials: Sources,
    tasks: Tasks,
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
    /// `None` if the settings have it off.
    snapshot: Option<Arc<Snapshot>>,
    kept: KeptConfigs,
}

/// How far the gateway's own registration is.
#[derive(Debug, Default)]
enum Registering {
    #[default]
    Off,
    Running {
        leave: watch::Sender<bool>,
        task: JoinHandle<()>,
    },
}

impl Discovery {
    /// Starts to follow what `settings` names. `listeners` are the gateway's sockets as they were bound,
    /// those for data first: they are never endpoints, and the first one is advertised. `client` is that of
    /// `settings.nacos`; `connect` makes one of `settings.other_nacos`, by its id, for a namespace, when it is
    /// needed. `filters` is what filters of all routes share.
    ///
    /// It never fails. A server that is out of reach is tried again, and [`Discovery::view`] shows the state.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(
        settings: &Settings,
        listeners: &[SocketAddr],
        client: Client,
        connect: impl Fn(&str, &str) -> Client + Send + Sync + 'static,
        services: Arc<Services>,
        table: TableCell,
        filters: pailou_filters::Shared,
    ) -> Discovery {
        let metrics = filters.metrics().clone();
        let clients = Arc::new(Clients::new(
            client.clone(),
            Box::new(connect),
            metrics.clone(),
        ));
        let restore_at = Instant::now() + snapshot::SILENCE;
        let (snapshot, mut saved) = Snapshot::open(settings, &metrics).unzip();
        let snapshot = snapshot.map(Arc::new);
        let saved = saved.get_or_insert_default();
        let kept = KeptConfigs::new(settings, snapshot.as_ref(), saved);
        let feeds = wiring::feeds(
            settings,
            listeners,
            &clients,
            snapshot.as_ref(),
            saved,
            restore_at,
            &metrics,
        );
        let feeds = Arc::new(Mutex::new(feeds));
        let sources = wiring::sources(settings, &clients, &metrics);
        let inbox = Inbox::new(sources.len());
        let documents = Documents::new(sources.iter().map(|source| source.document(saved)));
        let (publish, published) = watch::channel(Published {
            documents: documents.views().into(),
            ..Published::default()
        });
        let credentials = Sources::new(
            &settings.credentials,
            &settings.nacos.group,
            metrics.clone(),
        );
        let filters = Arc::new(filters.following(credentials.clone()));
        let publisher = Publisher {
            inbox: Arc::clone(&inbox),
            work: wiring::work(settings, documents, services, Arc::clone(&filters)),
            feeds: Arc::clone(&feeds),
            table,
            published: Arc::new(publish),
            times: wiring::publish_times(settings, restore_at),
            filters,
            metrics: metrics.clone(),
        };
        let (ready, readiness) = watch::channel(Readiness {
            ready: false,
            reason: "starting".to_owned(),
        });
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            clients,
            client,
            inbox,
            feeds,
            published,
            registration: Mutex::new(wiring::registration_view(settings)).into(),
            metrics,
            port: wiring::advertised_port(settings, listeners),
            snapshot,
            kept,
        });
        let mut tasks = Tasks::new(&shared.metrics);
        shared.keep_snapshot(&sources, &mut tasks);
        shared.keep_sources(sources, &mut tasks);
        shared.keep_credentials(&credentials, &mut tasks);
        tasks.keep("publisher", move || publisher.clone().run());
        shared.keep_readiness(ready, &mut tasks);
        Discovery {
            shared,
            readiness,
            registration: Mutex::default(),
            credentials,
            tasks,
        }
    }

    /// The keys and credentials that filters follow. Those in files and configs are brought by this; those that a service
    /// publishes are not.
    pub fn credentials(&self) -> &Sources {
        &self.credentials
    }

    /// Everything that is known now. Its cost grows with the number of documents and services.
    pub fn view(&self) -> DiscoveryView {
        let shared = &self.shared;
        let published = shared.published.borrow().clone();
        // Each takes its lock here. Inside the value below the locks would be held until that is complete.
        let stale = shared.is_stale(&published);
        let services = lock(&shared.feeds).views();
        DiscoveryView {
            readiness: self.readiness.borrow().clone(),
            documents: shared.documents(&published),
            table: published.table,
            services,
            sessions: shared.clients.views(),
            registration: lock(&shared.registration).clone(),
            stale,
            snapshot: shared.snapshot.as_ref().map(|snapshot| snapshot.status()),
        }
    }

    /// The configs beside route documents whose last texts outlive the process.
    pub fn kept_configs(&self) -> KeptConfigs {
        self.shared.kept.clone()
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

    /// Registers the gateway in Nacos and keeps it registered, in the background. Call it once requests are
    /// accepted. Does nothing if the gateway is registered already, or if the settings turn registration off. Do not
    /// call it after [`Discovery::deregister`] in a shutdown: it would register again.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn register(&self) {
        let shared = &self.shared;
        let mut registration = lock(&self.registration);
        let Some(port) = shared.port else { return };
        if !shared.settings.registration.enabled || !matches!(*registration, Registering::Off) {
            return;
        }
        let registrar = Registrar {
            client: shared.client.clone(),
            settings: wiring::advertised(&shared.settings),
            servers: shared.settings.nacos.servers.clone(),
            service: wiring::own_service(&shared.settings),
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
        let run = move || registrar.clone().run(applied.clone(), left.clone());
        let metrics = shared.metrics.clone();
        let panicked = move |error: &str| {
            let task = "registration";
            events::TaskEnded { task, error }.record(&metrics);
        };
        let task = tokio::spawn(tasks::until_done(run, panicked));
        *registration = Registering::Running { leave, task };
    }

    /// Takes the gateway out of Nacos, as the first act of a shutdown does. Returns within a second, whatever
    /// Nacos does.
    pub async fn deregister(&self) {
        let running = std::mem::replace(&mut *lock(&self.registration), Registering::Off);
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

    /// Deregisters if that is still to be done, and ends all tasks and subscriptions. The table and the endpoints
    /// stay as they are.
    pub async fn stop(self) {
        self.deregister().await;
        self.tasks.shutdown().await;
        lock(&self.shared.feeds).clear();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn keep_sources(&self, sources: Vec<Named>, tasks: &mut Tasks) {
        for (index, Named { name, source, .. }) in sources.into_iter().enumerate() {
            let outlet = self.inbox.outlet(index);
            let metrics = self.metrics.clone();
            let failed = move |error: &str| {
                let source = &*name;
                events::SourceFailed { source, error }.record(&metrics);
            };
            let run = move || Arc::clone(&source).run(outlet.clone());
            tasks.keep_telling(run, failed);
        }
    }

    fn keep_credentials(&self, credentials: &Sources, tasks: &mut Tasks) {
        let (credentials, client) = (credentials.clone(), self.client.clone());
        let metrics = self.metrics.clone();
        tasks.keep("credentials", move || {
            credentials::run(credentials.clone(), client.clone(), metrics.clone())
        });
    }

    fn keep_snapshot(&self, sources: &[Named], tasks: &mut Tasks) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let writer = Writer {
            snapshot: Arc::clone(snapshot),
            documents: sources.iter().map(|source| source.key.clone()).collect(),
            feeds: Arc::clone(&self.feeds),
            published: self.published.clone(),
            kept: self.kept.clone(),
            metrics: self.metrics.clone(),
        };
        tasks.keep("snapshot", move || writer.clone().run());
    }

    fn keep_readiness(&self, ready: watch::Sender<Readiness>, tasks: &mut Tasks) {
        let (clients, inbox) = (Arc::clone(&self.clients), Arc::clone(&self.inbox));
        let trouble = move || {
            let source = || inbox.troubles().into_iter().flatten().next();
            clients.trouble().or_else(source)
        };
        let (published, started) = (self.published.clone(), Instant::now());
        let follow =
            move || readiness::follow(published.clone(), ready.clone(), started, trouble.clone());
        tasks.keep("readiness", follow);
    }

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
            stale: self.is_stale(&published),
        }
    }

    /// Whether something is served that Nacos does not confirm at the moment.
    fn is_stale(&self, published: &Published) -> bool {
        let is_restored = |document: &DocumentView| document.from_snapshot;
        published.documents.iter().any(is_restored) || lock(&self.feeds).is_any_stale()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
