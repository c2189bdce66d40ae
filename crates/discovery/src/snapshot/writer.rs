//! The task that writes the snapshot.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pailou_telemetry::{Metrics, events};
use tokio::sync::watch;
use tokio::time::Instant;

use super::contents::Contents;
use super::file::{self, Outcome, SnapshotError};
use super::{DocumentKey, Heard, Snapshot};
use crate::feeds::Feeds;
use crate::kept::KeptConfigs;
use crate::publish::{Published, unix_ms};
use crate::view::DocumentState;

/// How long changes are collected before they are written.
const COLLECT: Duration = Duration::from_secs(1);
/// Writing takes at most one part in this many of the time: a large snapshot is written less often.
const REST: u32 = 20;
/// How often a write that failed is tried again without a change, and told of.
const RETRY: Duration = Duration::from_secs(60);

/// Writes what is live, when it has changed.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) snapshot: Arc<Snapshot>,
    /// What names the documents, in the order of `gateway.yaml`.
    pub(crate) documents: Arc<[DocumentKey]>,
    pub(crate) feeds: Arc<Mutex<Feeds>>,
    pub(crate) published: watch::Receiver<Published>,
    /// What else of Nacos is kept.
    pub(crate) kept: KeptConfigs,
    pub(crate) metrics: Metrics,
}

/// What went wrong lately.
#[derive(Default)]
struct Trouble {
    failed: bool,
    /// Whether a line told of it, which the end is owed to.
    told: bool,
    logged: Option<Instant>,
}

impl Writer {
    /// Writes until the future is dropped.
    pub(crate) async fn run(mut self) -> String {
        let mut trouble = Trouble::default();
        let mut pause = COLLECT;
        loop {
            tokio::select! {
                changed = self.published.changed() => if changed.is_err() {
                    return "the publisher is gone".to_owned();
                },
                () = self.snapshot.changed.notified() => {}
                () = tokio::time::sleep(RETRY), if trouble.failed => {}
            }
            tokio::time::sleep(pause).await;
            // Without a table nothing is known yet, and what an earlier run knew is worth more.
            if self.published.borrow_and_update().table.revision > 0 {
                let started = Instant::now();
                self.write(&mut trouble).await;
                pause = COLLECT.max(started.elapsed() * REST);
            }
        }
    }

    async fn write(&self, trouble: &mut Trouble) {
        let writer = self.clone();
        let written = tokio::task::spawn_blocking(move || writer.write_now()).await;
        match written {
            Ok(Ok(outcome)) => self.written(outcome, trouble),
            Ok(Err(error)) => self.failed(&error, trouble),
            Err(error) => events::TaskEnded {
                task: "snapshot",
                error: &error.to_string(),
            }
            .record(&self.metrics),
        }
    }

    /// Writes what is live now. It blocks.
    fn write_now(&self) -> Result<Outcome, SnapshotError> {
        let texts = Arc::clone(&self.published.borrow().texts);
        let documents = self.documents.iter().zip(&*texts);
        let documents = documents.filter_map(|(key, text)| Some((key, text.as_ref()?)));
        let kept = self.kept.all();
        let mut heard = self.heard_of_documents();
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let services = feeds.last_good();
        feeds.heard(&mut heard);
        drop(feeds);
        let servers = &self.snapshot.servers;
        let mut contents = Contents::new(servers, documents.chain(&kept), &services);
        if servers.keys().any(|id| !heard.told.contains(&**id))
            && let Ok(Some(old)) = file::read(&self.snapshot.path)
        {
            contents = contents.keep_unheard(old.contents, &heard);
        }
        let present = self.snapshot.digest().clone();
        let mut lock = self.snapshot.lock();
        file::write(
            &self.snapshot.path,
            &contents,
            present.as_deref(),
            &mut lock,
        )
    }

    /// What the sources of documents said since the start.
    fn heard_of_documents(&self) -> Heard {
        let mut heard = Heard::default();
        let published = self.published.borrow();
        for (key, document) in self.documents.iter().zip(&*published.documents) {
            let DocumentKey::Config { nacos, .. } = key else {
                continue;
            };
            match document.state {
                DocumentState::Waiting | DocumentState::Unreadable => {}
                state => {
                    let is_good = matches!(state, DocumentState::Applied | DocumentState::Partial);
                    heard.note(&nacos.as_str().into(), is_good);
                }
            }
        }
        heard
    }

    fn written(&self, outcome: Outcome, trouble: &mut Trouble) {
        let mut view = self.snapshot.view();
        view.error = None;
        trouble.failed = false;
        let recovered = std::mem::take(&mut trouble.told);
        if let Outcome::Written { digest, bytes } = outcome {
            view.bytes = Some(bytes);
            view.written_unix_ms = unix_ms(SystemTime::now());
            *self.snapshot.digest() = Some(digest);
            events::SnapshotWritten {
                path: &self.snapshot.path.to_string_lossy(),
                bytes,
                recovered,
            }
            .record(&self.metrics);
        }
    }

    fn failed(&self, error: &SnapshotError, trouble: &mut Trouble) {
        let error = error.to_string();
        let log = trouble.logged.is_none_or(|at| at.elapsed() >= RETRY);
        trouble.failed = true;
        if log {
            trouble.told = true;
            trouble.logged = Some(Instant::now());
        }
        events::SnapshotWriteFailed {
            path: &self.snapshot.path.to_string_lossy(),
            error: &error,
            log,
        }
        .record(&self.metrics);
        self.snapshot.view().error = Some(error);
    }
}
