//! Idle connections to endpoints.
//!
//! Each worker thread has a shard of its own, so the lock of a shard is hardly ever
//! contended. A worker without a connection to an endpoint looks into the other
//! shards before it makes a new connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::line::Connection;
use crate::transport::Remote;
use crate::worker::worker;

/// The idle connections.
#[derive(Debug)]
pub(crate) struct Pool {
    shards: Box<[Mutex<Shard>]>,
    /// The most that a shard keeps.
    most: usize,
    idle_timeout: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    /// By remote; the one that was used last is at the end.
    idle: HashMap<Remote, Vec<Connection>, RandomState>,
    count: usize,
}

impl Pool {
    /// A pool for `workers`, with at most `most` connections each.
    pub(crate) fn new(workers: usize, most: usize, idle_timeout: Duration) -> Pool {
        Pool {
            shards: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            most,
            idle_timeout,
        }
    }

    /// An idle connection to the remote that the endpoint there has not closed.
    pub(crate) async fn take(&self, remote: &Remote) -> Option<Connection> {
        let own = self.own();
        for distance in 0..self.shards.len() {
            let shard = &self.shards[(own + distance) % self.shards.len()];
            while let Some(mut line) = self.pop(shard, remote, distance == 0) {
                let usable = std::future::poll_fn(|cx| Poll::Ready(line.poll_usable(cx))).await;
                if usable {
                    line.reused = true;
                    return Some(line);
                }
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&self, mut line: Connection) {
        line.idle_since = Instant::now();
        let mut shard = lock(&self.shards[self.own()]);
        if shard.count < self.most {
            shard.count += 1;
            let remote = line.remote().clone();
            shard.idle.entry(remote).or_default().push(line);
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self) {
        for shard in &self.shards {
            // The connections are closed after the lock is free.
            drop(self.expired(&mut lock(shard)));
        }
    }

    fn expired(&self, shard: &mut Shard) -> Vec<Connection> {
        let mut expired = Vec::new();
        shard.idle.retain(|_, lines| {
            let fresh = lines.partition_point(|line| line.idle_since.elapsed() > self.idle_timeout);
            expired.extend(lines.drain(..fresh));
            !lines.is_empty()
        });
        shard.count -= expired.len();
        expired
    }

    fn pop(&self, shard: &Mutex<Shard>, remote: &Remote, own: bool) -> Option<Connection> {
        let mut shard = match own {
            true => lock(shard),
            // Somebody else's is not waited for.
            false => shard.try_lock().ok()?,
        };
        let line = shard.idle.get_mut(remote)?.pop()?;
        shard.count -= 1;
        (line.idle_since.elapsed() <= self.idle_timeout).then_some(line)
    }

    /// The shard of this worker.
    fn own(&self) -> usize {
        worker() % self.shards.len()
    }
}

fn lock(shard: &Mutex<Shard>) -> std::sync::MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
