//! What the two halves share: the state behind its lock, the clock that drives it, the tokens and the faults.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    Options,
    auth::Tokens,
    faults::Settings,
    state::{ConnectionId, State, Times},
};

/// One running server.
pub(crate) struct Core {
    state: Mutex<State>,
    /// Wakes the keeper when something became due earlier than it knew.
    rearmed: Notify,
    /// Wakes long polls.
    config_revision: watch::Sender<u64>,
    pub(crate) faults: watch::Sender<Settings>,
    pub(crate) tokens: Tokens,
    next_connection: AtomicU64,
}

impl Core {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::new(State::new(Times::from(options))),
            rearmed: Notify::new(),
            config_revision: watch::Sender::new(0),
            faults: watch::Sender::new(Settings::of(options)),
            tokens: Tokens::new(options.auth.clone(), options.token_ttl),
            next_connection: AtomicU64::new(1),
        }
    }

    /// Does something with the state. The lock is held for that long and never across an await.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        // A panic under the lock is a bug of one request. Other requests go on.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, revision) = (state.next_due(), state.config_revision());
        let result = act(&mut state, Instant::now());
        let (due_after, revision_after) = (state.next_due(), state.config_revision());
        drop(state);
        if due_after.is_some_and(|after| due.is_none_or(|before| after < before)) {
            self.rearmed.notify_one();
        }
        if revision_after != revision {
            self.config_revision.send_replace(revision_after);
        }
        result
    }

    /// A receiver that sees every change of any config from now on.
    pub(crate) fn config_changes(&self) -> watch::Receiver<u64> {
        self.config_revision.subscribe()
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets due things happen in time; runs until it is dropped.
    pub(crate) async fn keep(&self) {
        loop {
            let due = self.with(|state, now| {
                state.run_due(now);
                state.next_due()
            });
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.rearmed.notified() => {}
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
