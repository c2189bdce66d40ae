//! The snapshot: what was last good, on disk, so that the gateway starts while Nacos is down.
//!
//! It holds the last good text of each route document, older texts that some of its routes still come from,
//! other texts of Nacos such as flow rules, and the last good endpoints of each service, and nothing of the settings. What is read at start waits beside the live state: a document takes it when
//! its source stays silent or gives no good text, a service when its Nacos stays silent. Whatever is
//! heard wins. An entry is used only for what it was taken from: the file names the servers of each Nacos, and
//! the namespace, group and data id of each document.
//!
//! It is written when what is live has changed, at most once a second, by a task of its own. What it says of a Nacos stays
//! until something was learned from that Nacos.

mod contents;
mod file;
mod lock;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use pailou_config::{ServerAddress, Settings};
use pailou_telemetry::{Metrics, events};
use pailou_upstream::{EndpointSpec, ServiceId};
use tokio::sync::Notify;

pub(crate) use self::contents::Heard;
use self::file::Found;
pub use self::file::look_at_snapshot;
use self::lock::Lock;
pub(crate) use self::writer::Writer;
use crate::view::{RestoredView, SnapshotView};

/// How long the live state is waited for before the snapshot is served, marked as stale: a Nacos server that is near answers
/// in less, and a gateway whose Nacos hangs is to answer its first request within 150 ms.
pub(crate) const SILENCE: Duration = Duration::from_millis(60);
/// How long after that a first answer of Nacos is still one that came at once: it is believed, unless it is empty, and
/// takes the snapshot's place. A later one is the first word over a connection that was lost, so that the hold covers it.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

/// The servers of each Nacos, by its id.
type ServersByNacos = BTreeMap<String, Vec<String>>;

/// What names a route document over restarts.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum DocumentKey {
    /// A Nacos config.
    Config {
        nacos: String,
        namespace: String,
        group: String,
        data_id: String,
    },
    /// A file, by its absolute path.
    File(String),
}

impl DocumentKey {
    /// The key of a watched file.
    pub(crate) fn of_file(path: &Path) -> DocumentKey {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        DocumentKey::File(path.to_string_lossy().into_owned())
    }
}

/// The last good text of a document, and the older ones that routes of it still come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SavedText {
    pub(crate) text: Arc<str>,
    /// The oldest first; at most [`MOST_OLDER_TEXTS`].
    pub(crate) older: Arc<[OlderText]>,
}

/// A text with the last good version of routes that newer texts broke.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OlderText {
    pub(crate) text: Arc<str>,
    /// The ids of these routes.
    pub(crate) routes: Arc<[Arc<str>]>,
}

/// The most older texts of a document that are kept. Routes that are broken one after the other over many publishes need
/// one for each; those of the oldest are not kept over a restart then.
pub(crate) const MOST_OLDER_TEXTS: usize = 4;

impl SavedText {
    /// A text that all routes come from.
    pub(crate) fn of(text: impl Into<Arc<str>>) -> SavedText {
        SavedText {
            text: text.into(),
            older: Arc::new([]),
        }
    }
}

/// The last good endpoints of a service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SavedService {
    pub(crate) endpoints: Arc<[EndpointSpec]>,
    pub(crate) health_is_known: bool,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(crate) documents: BTreeMap<DocumentKey, SavedText>,
    pub(crate) services: BTreeMap<ServiceId, SavedService>,
    /// How long it had not changed.
    pub(crate) age: Option<Duration>,
}

/// Where the snapshot is, what it is made from, and how it goes.
#[derive(Debug)]
pub(crate) struct Snapshot {
    path: PathBuf,
    /// Entries of a Nacos that is not here, or that has other servers here, are not used.
    servers: ServersByNacos,
    /// Notified when endpoints have changed.
    pub(crate) changed: Notify,
    view: Mutex<SnapshotView>,
    /// Digest of the contents that the file has.
    digest: Mutex<Option<String>>,
    /// Held by the one gateway that writes the file.
    lock: Mutex<Lock>,
}

impl Snapshot {
    /// Reads what an earlier run left, at the place that `settings` say; `None` when they say `off`. What
    /// cannot be read or used is reported and ignored.
    pub(crate) fn open(settings: &Settings, metrics: &Metrics) -> Option<(Snapshot, Saved)> {
        let path = settings.snapshot.path.clone()?;
        let snapshot = Snapshot {
            view: Mutex::new(SnapshotView {
                path: path.display().to_string(),
                ..SnapshotView::default()
            }),
            servers: servers_by_nacos(settings),
            changed: Notify::new(),
            digest: Mutex::default(),
            lock: Mutex::default(),
            path,
        };
        snapshot.take(metrics);
        let saved = match file::read(&snapshot.path) {
            Ok(Some(found)) => snapshot.found(found),
            Ok(None) => Saved::default(),
            Err(error) => {
                let error = error.to_string();
                let path = &*snapshot.path.to_string_lossy();
                events::SnapshotIgnored {
                    path,
                    error: &error,
                }
                .record(metrics);
                snapshot.view().error = Some(error);
                Saved::default()
            }
        };
        Some((snapshot, saved))
    }

    /// Makes the file this gateway's, or says that it is another one's: it is read all the same, and written once the other
    /// one is gone.
    fn take(&self, metrics: &Metrics) {
        match self.lock().take(&self.path) {
            Ok(()) => file::tidy(&self.path),
            Err(error) => {
                let error = error.to_string();
                events::SnapshotWriteFailed {
                    path: &self.path.to_string_lossy(),
                    error: &error,
                    log: true,
                }
                .record(metrics);
                self.view().error = Some(error);
            }
        }
    }

    /// The state as shown to people.
    pub(crate) fn status(&self) -> SnapshotView {
        self.view().clone()
    }

    fn found(&self, found: Found) -> Saved {
        let age = SystemTime::now().duration_since(found.written).ok();
        *self.digest() = Some(found.digest);
        let saved = found.contents.into_saved(&self.servers, age);
        let mut view = self.view();
        view.bytes = Some(found.bytes);
        view.restored = Some(RestoredView {
            documents: saved.documents.len(),
            services: saved.services.len(),
            age_seconds: age.map(|age| age.as_secs()),
        });
        drop(view);
        saved
    }

    fn view(&self) -> MutexGuard<'_, SnapshotView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Lock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self) -> MutexGuard<'_, Option<String>> {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The servers of each Nacos. Their order means nothing.
fn servers_by_nacos(settings: &Settings) -> ServersByNacos {
    let names = |servers: &[ServerAddress]| {
        let mut names: Vec<_> = servers.iter().map(ServerAddress::to_string).collect();
        names.sort_unstable();
        names
    };
    let all = settings.all_nacos();
    all.map(|(id, nacos)| (id.to_owned(), names(&nacos.servers)))
        .collect()
}
