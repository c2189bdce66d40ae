//! Every open client connection: the caps, and what a drain needs to know.
//!
//! Touched when a connection opens and when it closes, never by a request.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::connection::Connection;

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The gateway has as many as it may have.
    Total,
    /// This client has as many as one client may have.
    Client,
}

/// The caps on open connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) total: usize,
    /// 0 means no cap.
    pub(crate) per_ip: usize,
}

#[derive(Debug)]
pub(crate) struct Connections {
    caps: Caps,
    open: Mutex<Open>,
    changed: Notify,
    panics: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Entry>,
    per_ip: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Entry {
    connection: Weak<Connection>,
    task: Option<AbortHandle>,
}

impl Connections {
    pub(crate) fn new(caps: Caps) -> Arc<Connections> {
        Arc::new(Connections {
            caps,
            open: Mutex::default(),
            changed: Notify::new(),
            panics: AtomicU64::new(0),
        })
    }

    /// Takes a new connection in, unless a cap is reached.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Arc<Connection>, Full> {
        let mut open = self.open();
        if open.connections.len() >= self.caps.total {
            return Err(Full::Total);
        }
        if self.caps.per_ip > 0 {
            let of_client = open.per_ip.entry(peer.ip().to_canonical()).or_default();
            if *of_client >= self.caps.per_ip {
                return Err(Full::Client);
            }
            *of_client += 1;
        }
        let id = open.next;
        open.next += 1;
        let connection = Arc::new(Connection::new(id, peer, Arc::downgrade(self)));
        open.connections.insert(
            id,
            Entry {
                connection: Arc::downgrade(&connection),
                task: None,
            },
        );
        Ok(connection)
    }

    /// Notes the task that serves a connection, so that it can be ended.
    pub(crate) fn attach(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.open().connections.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    /// A connection is gone.
    pub(crate) fn release(&self, id: u64, client: IpAddr, panicked: bool) {
        let mut open = self.open();
        open.connections.remove(&id);
        if self.caps.per_ip > 0
            && let Some(of_client) = open.per_ip.get_mut(&client)
        {
            *of_client -= 1;
            if *of_client == 0 {
                open.per_ip.remove(&client);
            }
        }
        drop(open);
        if panicked {
            self.panics.fetch_add(1, Relaxed);
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn len(&self) -> usize {
        self.open().connections.len()
    }

    /// What clients are owed: requests under way, tunnels included.
    pub(crate) fn owed(&self) -> usize {
        self.held()
            .iter()
            .map(|(connection, _)| connection.owed())
            .sum()
    }

    /// How many connections would lose something if they were closed now.
    pub(crate) fn unfinished(&self) -> usize {
        let now = Instant::now();
        self.held()
            .iter()
            .filter(|(connection, _)| connection.owed() > 0 || !connection.is_idle(now))
            .count()
    }

    /// How many connections ended with a panic.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// Has every connection look at whether the gateway drains.
    pub(crate) fn wake_all(&self) {
        for (connection, _) in self.held() {
            connection.wake();
        }
    }

    /// Asks the connections that are between requests to close.
    pub(crate) fn close_idle(&self) {
        let now = Instant::now();
        for (connection, _) in self.held() {
            if connection.is_idle(now) {
                connection.ask_to_close();
            }
        }
    }

    /// Cuts every connection; says how many requests were under way.
    pub(crate) fn close_all(&self) -> usize {
        let cut = self.owed();
        for (_, task) in self.held() {
            if let Some(task) = task {
                task.abort();
            }
        }
        cut
    }

    /// Waits until a connection closes.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The open connections, out of the lock: dropping the last handle of one
    /// takes the lock again.
    fn held(&self) -> Vec<(Arc<Connection>, Option<AbortHandle>)> {
        self.open()
            .connections
            .values()
            .filter_map(|entry| Some((entry.connection.upgrade()?, entry.task.clone())))
            .collect()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn caps(total: usize, per_ip: usize) -> Caps {
        Caps { total, per_ip }
    }

    fn from(ip: &str) -> SocketAddr {
        format!("{ip}:1").parse().expect("address")
    }

    #[tokio::test]
    async fn the_total_cap_counts_what_is_open_now() {
        let connections = Connections::new(caps(2, 0));
        let here = from("127.0.0.1");
        let first = connections.admit(here).expect("first");
        let _second = connections.admit(here).expect("second");
        assert_eq!(connections.admit(here).err(), Some(Full::Total));
        drop(first);
        assert!(connections.admit(here).is_ok());
    }

    #[tokio::test]
    async fn one_client_cannot_take_the_place_of_another() {
        let connections = Connections::new(caps(10, 1));
        let here = from("127.0.0.1");
        let first = connections.admit(here).expect("first");
        assert_eq!(connections.admit(here).err(), Some(Full::Client));
        assert!(connections.admit(from("127.0.0.2")).is_ok());
        drop(first);
        assert!(connections.admit(here).is_ok());
        assert!(
            connections.open().per_ip.is_empty(),
            "the map does not grow with clients"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_a_moment_for_its_first_request() {
        let connections = Connections::new(caps(10, 0));
        let here = from("127.0.0.1");
        let connection = connections.admit(here).expect("admitted");
        assert_eq!((connections.owed(), connections.unfinished()), (0, 1));
        tokio::time::advance(Duration::from_millis(1100)).await;
        assert_eq!(connections.unfinished(), 0);
        connection.begin_head();
        assert_eq!((connections.owed(), connections.unfinished()), (1, 1));
        connection.begin_exchange();
        let owed = connection.owe();
        assert_eq!(connections.owed(), 1);
        drop(owed);
        connection.end_exchange();
        assert_eq!(
            connections.unfinished(),
            0,
            "between requests it may be closed"
        );
    }
}
