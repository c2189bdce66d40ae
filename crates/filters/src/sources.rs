//! Keys and credentials that stand outside the route documents, and are followed while the gateway runs.
//!
//! A filter names a [`Place`] and holds a source. Whoever can reach places of that kind takes part by [`Sources::keep`]: it
//! brings the source its text, and brings it again when that changes. What cannot be had or read changes nothing: the last
//! good state stays in use, and without one nobody gets in.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use http::uri::PathAndQuery;
use pailou_config::{CredentialSettings, Field};
use pailou_telemetry::Metrics;
use pailou_telemetry::events::{
    CredentialState, CredentialsFailed, CredentialsRefused, CredentialsTaken,
};
use pailou_upstream::Destination;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api_key::Consumers;
use crate::basic_auth::Users;
use crate::jwt::KeySet;
use crate::sealed::Keyring;

/// The longest text of keys or credentials that is looked at.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;

/// How long after a look at a place another one may be wished for. Whoever sends tokens with made-up key ids brings about
/// one look in this time, whatever their number.
const BETWEEN_WISHES: Duration = Duration::from_secs(10);

/// Where a text stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file, watched.
    File(PathBuf),
    /// A Nacos config, listened to.
    Config {
        /// Its group.
        group: String,
        /// Its data id.
        data_id: String,
    },
    /// What a service answers on a path, asked for again and again.
    Endpoint {
        /// Whom to ask. In a box, since it is large.
        destination: Box<Destination>,
        /// What is said of the host.
        host: HeaderValue,
        /// What for.
        path: PathAndQuery,
        /// How often.
        refresh: Duration,
    },
}

impl Place {
    /// The file or config that a filter names by `file` or `config`; a fault if it may not be named.
    pub(crate) fn named(sources: &Sources, key: &str, field: &Field<'_>) -> Option<Place> {
        let name = field.string()?;
        if key == "config" {
            return sources.config(&name, field);
        }
        sources.file(&name, field)
    }

    /// Whether it is the same place, spoken to in the same way.
    fn is_same(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::File(one), Place::File(other)) => one == other,
            (
                Place::Config { group, data_id },
                Place::Config {
                    group: other_group,
                    data_id: other_id,
                },
            ) => group == other_group && data_id == other_id,
            (
                Place::Endpoint {
                    destination,
                    host,
                    path,
                    refresh,
                },
                Place::Endpoint {
                    destination: other,
                    host: other_host,
                    path: other_path,
                    refresh: other_refresh,
                },
            ) => {
                Arc::ptr_eq(&destination.selection, &other.selection)
                    && destination.transport == other.transport
                    && destination.upstream_tls == other.upstream_tls
                    && destination.proxy_protocol == other.proxy_protocol
                    && host == other_host
                    && path == other_path
                    && refresh == other_refresh
            }
            _ => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "file {}", path.display()),
            Place::Config { group, data_id } => write!(f, "config {group}/{data_id}"),
            Place::Endpoint {
                destination, path, ..
            } => write!(f, "{} of {}", path, destination.selection.service().id()),
        }
    }
}

/// What a text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Public keys: a JWK set, or PEM.
    Keys,
    /// The bytes of one secret.
    Secret,
    /// Consumers and the digests of their keys.
    ApiKeys,
    /// Users and the hashes of their passwords.
    Users,
    /// Secrets that cookies are sealed with, one a line.
    Sealing,
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Contents {
    Keys(Arc<KeySet>),
    Consumers(Arc<Consumers>),
    Users(Arc<Users>),
    Sealing(Arc<Keyring>),
}

/// A reading, and what was passed over in it.
pub(crate) struct Read {
    pub(crate) contents: Contents,
    pub(crate) entries: usize,
    pub(crate) notes: Vec<String>,
}

impl Kind {
    fn read(self, text: &[u8]) -> Result<Read, String> {
        match self {
            Kind::Keys => KeySet::read(text),
            Kind::Secret => KeySet::read_secret(text),
            Kind::ApiKeys => Consumers::read(text),
            Kind::Users => Users::read(text),
            Kind::Sealing => Keyring::read(text),
        }
    }
}

/// A text that is followed.
pub(crate) struct Source {
    id: u64,
    kind: Kind,
    place: Place,
    label: Box<str>,
    contents: ArcSwapOption<Contents>,
    progress: watch::Sender<Progress>,
    wish: watch::Sender<u64>,
    taking: Mutex<Taking>,
    metrics: Metrics,
}

/// How often the place was looked at, and what came of it last.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    looks: u64,
    last: Option<Instant>,
    failed: bool,
}

/// What whoever brings texts must know.
#[derive(Debug, Default)]
struct Taking {
    text: Option<Arc<[u8]>>,
    error: Option<String>,
    state: Option<CredentialState>,
}

/// What a wish for another look comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// One is on its way, or has come.
    Granted,
    /// The last one was a moment ago, and went well.
    TooSoon,
    /// The last one was a moment ago, and failed.
    Failing,
}

impl Source {
    fn new(id: u64, kind: Kind, place: Place, metrics: &Metrics) -> Source {
        metrics.credential_source(None, Some(CredentialState::Missing));
        Source {
            id,
            kind,
            label: place.to_string().into(),
            place,
            contents: ArcSwapOption::empty(),
            progress: watch::Sender::default(),
            wish: watch::Sender::default(),
            taking: Mutex::new(Taking {
                state: Some(CredentialState::Missing),
                ..Taking::default()
            }),
            metrics: metrics.clone(),
        }
    }

    /// The endpoints that it is asked of, if it is.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        match &self.place {
            Place::Endpoint { destination, .. } => Some(destination),
            Place::File(_) | Place::Config { .. } => None,
        }
    }

    /// What is in use. Costs no lock.
    pub(crate) fn contents(&self) -> Option<Arc<Contents>> {
        self.contents.load_full()
    }

    /// The keys in use.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        match &*self.contents()? {
            Contents::Keys(keys) => Some(Arc::clone(keys)),
            _ => None,
        }
    }

    /// The consumers that are known now.
    pub(crate) fn consumers(&self) -> Option<Arc<Consumers>> {
        match &*self.contents()? {
            Contents::Consumers(consumers) => Some(Arc::clone(consumers)),
            _ => None,
        }
    }

    /// The users that are known now.
    pub(crate) fn users(&self) -> Option<Arc<Users>> {
        match &*self.contents()? {
            Contents::Users(users) => Some(Arc::clone(users)),
            _ => None,
        }
    }

    /// What cookies are sealed with now.
    pub(crate) fn keyring(&self) -> Option<Arc<Keyring>> {
        match &*self.contents()? {
            Contents::Sealing(keyring) => Some(Arc::clone(keyring)),
            _ => None,
        }
    }

    /// Whether another look may be had of it, at `now`. Without any look yet, the first is on its way.
    pub(crate) fn wish(&self, now: Instant) -> Wish {
        let progress = *self.progress.borrow();
        match progress.last {
            // Files and configs are brought as soon as they change.
            Some(_) if self.destination().is_none() => match progress.failed {
                true => Wish::Failing,
                false => Wish::TooSoon,
            },
            Some(last) if now.duration_since(last) < BETWEEN_WISHES => match progress.failed {
                true => Wish::Failing,
                false => Wish::TooSoon,
            },
            _ => Wish::Granted,
        }
    }

    /// Wishes for another look, and waits for what comes of it, for so long at most.
    pub(crate) async fn look_again(&self, at_most: Duration) {
        let mut progress = self.progress.subscribe();
        let looks = progress.borrow_and_update().looks;
        self.wish.send_modify(|wishes| *wishes += 1);
        let more = progress.wait_for(|progress| progress.looks > looks);
        // Late or not, whoever waited looks at what is there now.
        let _ = tokio::time::timeout(at_most, more).await;
    }

    /// Takes a text that was brought; whether it could be read.
    pub(crate) fn take(&self, text: &[u8]) -> bool {
        let mut taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = taking.text.as_deref() == Some(text);
        if is_known && taking.state == Some(CredentialState::Good) {
            drop(taking);
            self.looked(false);
            return true;
        }
        let read = match text.len() > MAX_SOURCE_BYTES {
            true => Err(format!("{} bytes are too many", text.len())),
            false => self.kind.read(text),
        };
        taking.text = Some(text.into());
        let failed = read.is_err();
        match read {
            Ok(read) => {
                self.contents.store(Some(Arc::new(read.contents)));
                taking.error = None;
                self.enter(&mut taking, CredentialState::Good);
                CredentialsTaken {
                    place: &self.label,
                    entries: read.entries,
                    notes: &read.notes,
                }
                .record(&self.metrics);
            }
            Err(error) => {
                self.fall_back(&mut taking);
                if taking.error.as_ref() != Some(&error) {
                    let (place, error) = (&*self.label, &*error);
                    CredentialsRefused { place, error }.record(&self.metrics);
                }
                taking.error = Some(error);
            }
        }
        drop(taking);
        self.looked(failed);
        !failed
    }

    /// Notes that no text could be had.
    pub(crate) fn fail(&self, error: &str) {
        let mut taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = taking.error.as_deref() != Some(error);
        self.fall_back(&mut taking);
        CredentialsFailed {
            place: &self.label,
            error,
            is_missing: taking.state == Some(CredentialState::Missing),
            is_news,
        }
        .record(&self.metrics);
        taking.error = Some(error.to_owned());
        drop(taking);
        self.looked(true);
    }

    fn fall_back(&self, taking: &mut Taking) {
        if taking.state == Some(CredentialState::Good) {
            self.enter(taking, CredentialState::Stale);
        }
    }

    fn enter(&self, taking: &mut Taking, state: CredentialState) {
        let before = taking.state.replace(state);
        self.metrics.credential_source(before, Some(state));
    }

    fn looked(&self, failed: bool) {
        self.progress.send_modify(|progress| {
            *progress = Progress {
                looks: progress.looks + 1,
                last: Some(Instant::now()),
                failed,
            };
        });
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let taking = self.taking.get_mut();
        let state = taking.unwrap_or_else(PoisonError::into_inner).state;
        self.metrics.credential_source(state, None);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.label).finish()
    }
}

/// Every source that filters hold, for whoever brings their texts. Clones are one.
#[derive(Clone, Debug)]
pub struct Sources(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    folder: Option<PathBuf>,
    group: String,
    metrics: Metrics,
    known: Mutex<Known>,
    added: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    last_id: u64,
    sources: Vec<Weak<Source>>,
}

impl Sources {
    /// None yet. Files are below the folder of the settings; configs that name no group are in `group`, if the settings name
    /// none either.
    pub fn new(settings: &CredentialSettings, group: &str, metrics: Metrics) -> Sources {
        Sources(Arc::new(Hub {
            folder: settings.folder.clone(),
            group: settings.group.as_deref().unwrap_or(group).to_owned(),
            metrics,
            known: Mutex::default(),
            added: watch::Sender::default(),
        }))
    }

    fn file(&self, name: &str, field: &Field<'_>) -> Option<Place> {
        let Some(folder) = &self.0.folder else {
            field.fault("gateway.yaml has no `credentials.folder`, so that no file can be named");
            return None;
        };
        let is_below = !name.is_empty()
            && Path::new(name)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
        if !is_below {
            field.fault_expected(
                field.quoted(),
                "a path below `credentials.folder`, without `..`",
            );
            return None;
        }
        Some(Place::File(folder.join(name)))
    }

    fn config(&self, data_id: &str, field: &Field<'_>) -> Option<Place> {
        if data_id.is_empty() || data_id.contains(char::is_whitespace) {
            field.fault_expected(field.quoted(), "the data id of a Nacos config");
            return None;
        }
        Some(Place::Config {
            group: self.0.group.clone(),
            data_id: data_id.to_owned(),
        })
    }

    /// The source of that kind at a place: the same one for as long as a filter holds it.
    pub(crate) fn source(&self, kind: Kind, place: Place) -> Arc<Source> {
        let hub = &self.0;
        let mut known = hub.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.sources.retain(|source| source.strong_count() > 0);
        let mut live = known.sources.iter().filter_map(Weak::upgrade);
        if let Some(found) = live.find(|one| one.kind == kind && one.place.is_same(&place)) {
            return found;
        }
        known.last_id += 1;
        let source = Arc::new(Source::new(known.last_id, kind, place, &hub.metrics));
        known.sources.push(Arc::downgrade(&source));
        drop(known);
        hub.added.send_modify(|added| *added += 1);
        source
    }

    /// Runs `follow` for every source at a place that `takes` says yes to, those that come later among them, for as long as
    /// a filter holds it. Never returns; dropping it ends them all.
    pub async fn keep<F>(
        &self,
        takes: impl Fn(&Place) -> bool,
        follow: impl Fn(Follower) -> F,
    ) -> String
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut added = self.0.added.subscribe();
        let mut followed = HashMap::new();
        let mut running = JoinSet::new();
        loop {
            added.mark_unchanged();
            for source in self.live() {
                if takes(&source.place) && !followed.contains_key(&source.id) {
                    let task = running.spawn(follow(Follower::new(&source)));
                    followed.insert(source.id, task.id());
                }
            }
            tokio::select! {
                changed = added.changed() => if changed.is_err() {
                    return "nobody makes sources any more".to_owned();
                },
                Some(ended) = running.join_next_with_id() => {
                    // One that has panicked is followed again, a little later.
                    let (task, panicked) = match ended {
                        Ok((task, ())) => (task, false),
                        Err(error) => (error.id(), error.is_panic()),
                    };
                    followed.retain(|_, known| *known != task);
                    if panicked {
                        tracing::error!(target: "pailou", "a task that follows credentials has failed");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }
    }

    pub(crate) fn live(&self) -> Vec<Arc<Source>> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.sources.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Brings the texts of one source.
#[derive(Debug)]
pub struct Follower {
    source: Weak<Source>,
    place: Place,
    wishes: watch::Receiver<u64>,
}

impl Follower {
    fn new(source: &Arc<Source>) -> Follower {
        Follower {
            place: source.place.clone(),
            wishes: source.wish.subscribe(),
            source: Arc::downgrade(source),
        }
    }

    /// Where the text stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Brings a text, and says whether it could be read; one that it has already changes nothing.
    pub fn take(&self, text: &[u8]) -> bool {
        let source = self.source.upgrade();
        source.is_some_and(|source| source.take(text))
    }

    /// Says that there is no text to be had, and why.
    pub fn fail(&self, error: &str) {
        if let Some(source) = self.source.upgrade() {
            source.fail(error);
        }
    }

    /// Waits until somebody wishes for another look; false when nobody needs the source any more. Wishes that come within ten
    /// seconds of the last look are none. Cancel safe.
    pub async fn wished(&mut self) -> bool {
        loop {
            if self.wishes.changed().await.is_err() {
                return false;
            }
            let Some(source) = self.source.upgrade() else {
                return false;
            };
            if source.wish(Instant::now()) == Wish::Granted {
                return true;
            }
        }
    }

    /// Waits until nobody needs the source any more. Cancel safe.
    pub async fn ended(&mut self) {
        while self.wishes.changed().await.is_ok() {}
    }
}
