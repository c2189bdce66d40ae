//! Connections to endpoints that requests share, over HTTP/2.
//!
//! Each worker thread has its own, so that requests of two workers do not wait
//! for each other. A worker opens one connection at a time to a remote. Requests
//! that come meanwhile wait for it, so that a burst does not open a hundred.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::buffers::Buffers;
use crate::line::{Stream, Trunk};
use crate::transport::{ConnectFailure, Remote, Transport};
use crate::worker::worker;

/// The shared connections.
#[derive(Debug)]
pub(crate) struct Trunks {
    shards: Box<[Mutex<Shard>]>,
    buffers: Buffers,
    idle_timeout: Duration,
}

type Shard = HashMap<Remote, Arc<Route>>;

/// The connections of one worker to one remote.
#[derive(Debug, Default)]
struct Route {
    opening: tokio::sync::Mutex<()>,
    trunks: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    trunk: Arc<Trunk>,
    /// Since when the sweep has found no request on it.
    idle_since: Option<Instant>,
}

impl Trunks {
    /// For so many workers.
    pub(crate) fn new(workers: usize, buffers: Buffers, idle_timeout: Duration) -> Trunks {
        Trunks {
            buffers,
            shards: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            idle_timeout,
        }
    }

    /// A stream to the remote, on a new connection if there is no room on one.
    pub(crate) async fn stream(
        &self,
        remote: Remote,
        transport: &Transport,
        timeout: Duration,
    ) -> Result<Stream, ConnectFailure> {
        let route = self.route(&remote);
        if let Some(stream) = route.stream() {
            return Ok(stream);
        }
        let due = Instant::now() + timeout;
        let opening = tokio::time::timeout_at(due, route.opening.lock()).await;
        let _opening = opening.map_err(|_| ConnectFailure::TimedOut)?;
        if let Some(stream) = route.stream() {
            return Ok(stream);
        }
        let left = due.saturating_duration_since(Instant::now());
        let wire = transport.connect(&remote, left).await?;
        let trunk = Trunk::open(wire, self.buffers).await;
        let trunk = trunk.map_err(|_| ConnectFailure::Refused)?;
        let stream = trunk.stream(false).ok_or(ConnectFailure::Refused)?;
        route.trunks().push(Kept {
            trunk,
            idle_since: None,
        });
        Ok(stream)
    }

    /// Closes what has been idle for too long, and forgets what is closed.
    pub(crate) fn sweep(&self) {
        for shard in &self.shards {
            let mut gone = Vec::new();
            lock(shard).retain(|_, route| {
                let mut trunks = route.trunks();
                gone.extend(trunks.extract_if(.., |kept| kept.is_over(self.idle_timeout)));
                !trunks.is_empty() || Arc::strong_count(route) > 1
            });
            // The connections are closed after the lock is free.
            drop(gone);
        }
    }

    fn route(&self, remote: &Remote) -> Arc<Route> {
        let mut shard = lock(&self.shards[worker() % self.shards.len()]);
        if let Some(route) = shard.get(remote) {
            return Arc::clone(route);
        }
        Arc::clone(shard.entry(remote.clone()).or_default())
    }
}

impl Route {
    fn stream(&self) -> Option<Stream> {
        let trunks = self.trunks();
        trunks.iter().find_map(|kept| kept.trunk.stream(true))
    }

    fn trunks(&self) -> MutexGuard<'_, Vec<Kept>> {
        lock(&self.trunks)
    }
}

impl Kept {
    fn is_over(&mut self, idle_timeout: Duration) -> bool {
        if self.trunk.is_closed() {
            return true;
        }
        if !self.trunk.is_idle() {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        since.elapsed() > idle_timeout
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
