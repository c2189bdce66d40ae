//! From documents to the live table: debounce, compile, subscribe, wait, swap.
//!
//! All of this is one task. Parsing, compiling, indexing and dropping run on blocking threads, so that neither requests
//! nor the sessions with Nacos wait for them. The services of a new table are subscribed and known **before** the swap,
//! so that no request finds a route whose service is still unknown.

mod tell;
mod work;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pailou_filters::Shared;
use pailou_routing::TableCell;
use pailou_telemetry::{Metrics, events};
use pailou_upstream::Service;
use tokio::sync::watch;
use tokio::time::Instant;

use self::work::{Outcome, Prepared};
pub(crate) use self::work::{Work, compile_route};
use crate::feeds::Feeds;
use crate::snapshot::SavedText;
use crate::source::{Inbox, SourceState};
use crate::view::{DocumentView, TableView};

/// How often replaced tables are checked. A table that no request uses any more is freed.
const RETIRE_POLL: Duration = Duration::from_secs(1);
/// The pause after a failed round, at first and at most.
const FIRST_AGAIN: Duration = Duration::from_secs(1);
const LAST_AGAIN: Duration = Duration::from_secs(30);

/// What is published now, for tasks that wait for it and for the views.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    pub(crate) table: TableView,
    pub(crate) documents: Arc<[DocumentView]>,
    /// The services that the table names.
    pub(crate) services: Arc<[Arc<Service>]>,
    /// The first fault or alarm of a document.
    pub(crate) error: Option<String>,
    /// The last good text of each document.
    pub(crate) texts: Arc<[Option<SavedText>]>,
}

/// The times of the publisher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishTimes {
    /// The shortest time between two tables. The first change of a burst is not delayed.
    pub(crate) debounce: Duration,
    /// The longest wait for the first states of sources at start, and of services that are new.
    pub(crate) first_state: Duration,
    /// When the snapshot takes the place of sources, and of a Nacos, that are still silent.
    pub(crate) restore_at: Instant,
}

/// Makes documents into tables.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) work: Arc<Mutex<Work>>,
    pub(crate) feeds: Arc<Mutex<Feeds>>,
    pub(crate) table: TableCell,
    pub(crate) published: Arc<watch::Sender<Published>>,
    pub(crate) times: PublishTimes,
    /// What the filters of all tables share.
    pub(crate) filters: Arc<Shared>,
    pub(crate) metrics: Metrics,
}

impl Publisher {
    /// Publishes until the future is dropped.
    pub(crate) async fn run(self) -> String {
        // After a panic the states are taken again, and a compiled table is still to be published.
        self.inbox.renew();
        self.work_state().owe_table();
        self.await_sources().await;
        // The first round is due without any new state.
        let mut again = Again::now();
        let mut last = Instant::now();
        let mut next_sweep = None;
        let mut retire = tokio::time::interval(RETIRE_POLL);
        loop {
            tokio::select! {
                biased;
                () = at(again.due), if again.due.is_some() => {}
                () = at(next_sweep), if next_sweep.is_some() => {
                    next_sweep = self.sweep();
                    continue;
                }
                _ = retire.tick() => {
                    let filters = Arc::clone(&self.filters);
                    self.on_table(move |cell| {
                        cell.sweep();
                        filters.sweep();
                    })
                    .await;
                    continue;
                }
                () = self.inbox.changed() => {
                    tokio::time::sleep_until(last + self.times.debounce).await;
                }
            }
            last = Instant::now();
            let done = self.round(last, again.due.is_some()).await;
            again.note(done);
            if done {
                self.feeds().forget_saved();
            }
            next_sweep = self.sweep();
        }
    }

    /// Waits until every source has spoken once, so that the first table is complete. The wait is short, since
    /// a source may be out of reach.
    async fn await_sources(&self) {
        let complete = async {
            while !self.inbox.is_complete() {
                self.inbox.changed().await;
            }
        };
        let mut limit = Instant::now() + self.times.first_state;
        if self.work_state().can_restore() {
            limit = limit.min(self.times.restore_at);
        }
        // Going on without the rest is the point of the time limit.
        let _ = tokio::time::timeout_at(limit, complete).await;
    }

    /// Takes new states and publishes the table that follows from them. Returns false when the gateway fails over
    /// them: the states are put back, and the next round takes them `anew`.
    async fn round(&self, started: Instant, anew: bool) -> bool {
        let updates = self.inbox.take();
        if updates.is_empty() && !anew {
            return true;
        }
        let taken: Vec<_> = updates.iter().map(|(index, _)| *index).collect();
        match self.work(updates, anew).await {
            Ok(outcome) => {
                self.inbox.put_back(&outcome.again);
                let failed = outcome.failed;
                self.publish(started, outcome).await;
                !failed
            }
            Err(error) => {
                self.inbox.put_back(&taken);
                self.failed(&error);
                false
            }
        }
    }

    async fn work(
        &self,
        updates: Vec<(usize, SourceState)>,
        anew: bool,
    ) -> Result<Outcome, String> {
        let work = Arc::clone(&self.work);
        tokio::task::spawn_blocking(move || {
            let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
            work.apply(updates, anew)
        })
        .await
        .map_err(|error| error.to_string())
    }

    async fn publish(&self, started: Instant, outcome: Outcome) {
        for verdict in &outcome.verdicts {
            tell::verdict(verdict, &self.metrics);
        }
        tell::notes(&outcome.new_notes);
        if let Some(error) = &outcome.unprepared {
            self.failed(error);
        }
        let swapped = match outcome.prepared {
            None => None,
            Some(prepared) => Some(self.swap(started, prepared).await),
        };
        self.published.send_modify(|published| {
            published.documents = outcome.documents.into();
            published.error = outcome.error;
            published.texts = outcome.texts;
            if let Some((table, services)) = swapped {
                published.table = table;
                published.services = services.into();
            }
        });
    }

    /// Makes a table live, once its services are known.
    async fn swap(&self, started: Instant, prepared: Prepared) -> (TableView, Vec<Arc<Service>>) {
        let Prepared {
            table,
            revision,
            md5,
            routes,
            duplicates,
            shadowed,
            services,
        } = prepared;
        let new = self.feeds().subscribe(&services);
        self.await_services(&new).await;
        self.report_restored();
        let (metrics, filters) = (self.metrics.clone(), Arc::clone(&self.filters));
        self.on_table(move |cell| {
            cell.publish(table);
            filters.sweep();
            metrics.forget_unused();
        })
        .await;
        self.feeds().named(&services);
        let elapsed = started.elapsed();
        events::TablePublished {
            revision,
            routes,
            duplicates,
            shadowed,
            md5: &md5,
            elapsed,
        }
        .record(&self.metrics);
        let view = TableView {
            revision,
            md5,
            routes,
            published_unix_ms: unix_ms(SystemTime::now()),
            took_ms: Some(millis(elapsed)),
        };
        (view, services)
    }

    async fn await_services(&self, new: &[Arc<Service>]) {
        let started = Instant::now();
        let deadline = started + self.times.first_state;
        for service in new {
            if tokio::time::timeout_at(deadline, service.known())
                .await
                .is_err()
            {
                events::ServiceFirstStateLate {
                    service: service.metrics(),
                    waited: started.elapsed(),
                }
                .record();
            }
        }
    }

    /// Reports how many services begin with the endpoints of the snapshot.
    fn report_restored(&self) {
        let (services, age) = self.feeds().newly_restored();
        if services > 0 {
            events::EndpointsRestored { services, age }.record(&self.metrics);
        }
    }

    fn failed(&self, error: &str) {
        let task = "compile";
        events::TaskEnded { task, error }.record(&self.metrics);
    }

    fn sweep(&self) -> Option<Instant> {
        self.feeds().sweep()
    }

    /// Runs `action` on the live cell, on a thread where freeing a large table delays nobody.
    async fn on_table(&self, action: impl FnOnce(&TableCell) + Send + 'static) {
        let cell = self.table.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || action(&cell)).await {
            events::TaskEnded {
                task: "publish",
                error: &error.to_string(),
            }
            .record(&self.metrics);
        }
    }

    fn work_state(&self) -> std::sync::MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feeds(&self) -> std::sync::MutexGuard<'_, Feeds> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a round is due without a new state: at the start, and after a failed round.
struct Again {
    due: Option<Instant>,
    pause: Duration,
}

impl Again {
    fn now() -> Again {
        Again {
            due: Some(Instant::now()),
            pause: FIRST_AGAIN,
        }
    }

    /// Notes whether a round succeeded. The pause grows with each failed round.
    fn note(&mut self, done: bool) {
        if done {
            self.due = None;
            self.pause = FIRST_AGAIN;
        } else {
            self.due = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(LAST_AGAIN);
        }
    }
}

async fn at(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time as it is shown.
pub(crate) fn unix_ms(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(millis(since))
}

#[cfg(test)]
mod tests;
