//! The set of open client connections: the caps, and what a drain needs to know.
//!
//! A connection is added when it opens and removed when it closes. Requests never
//! touch the set.

mod place;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::connection::{Connection, FIRST_REQUEST, Shared};

pub(crate) use place::Place;

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
    stage: Stage,
    task: Option<AbortHandle>,
}

#[derive(Debug)]
enum Stage {
    /// The PROXY header and the TLS handshake are under way, since then.
    Opening(Instant),
    /// The connection may not go on.
    Doomed,
    /// Requests may come.
    Open(Weak<Connection>),
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

    /// Takes a new connection in, unless there are too many.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Place, Full> {
        let mut open = self.open();
        if open.connections.len() >= self.caps.total {
            return Err(Full::Total);
        }
        let id = open.next;
        open.next += 1;
        let entry = Entry {
            stage: Stage::Opening(Instant::now()),
            task: None,
        };
        open.connections.insert(id, entry);
        Ok(Place {
            id,
            client: None,
            register: Some(self.clone()),
        })
    }

    /// Counts a connection for a client, unless that one has too many.
    fn claim(&self, client: IpAddr) -> Result<(), Full> {
        if self.caps.per_ip > 0 {
            let mut open = self.open();
            let of_client = open.per_ip.entry(client.to_canonical()).or_default();
            if *of_client >= self.caps.per_ip {
                return Err(Full::Client);
            }
            *of_client += 1;
        }
        Ok(())
    }

    /// Notes the task that serves a connection, so that it can be ended.
    pub(crate) fn attach(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.open().connections.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    /// A connection is gone.
    pub(crate) fn release(&self, id: u64, client: Option<IpAddr>, panicked: bool) {
        let mut open = self.open();
        open.connections.remove(&id);
        if self.caps.per_ip > 0
            && let Some(client) = client.map(|client| client.to_canonical())
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
        self.held().iter().map(|connection| connection.owed()).sum()
    }

    /// How many connections would lose something if they were closed now.
    pub(crate) fn unfinished(&self) -> usize {
        let now = Instant::now();
        let held = self.held();
        let held = held
            .iter()
            .filter(|connection| connection.owed() > 0 || !connection.is_idle(now));
        held.count() + self.opening(now)
    }

    /// How many connections ended with a panic.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// Makes every connection check whether the gateway drains.
    pub(crate) fn wake_all(&self) {
        for connection in self.held() {
            connection.wake();
        }
    }

    /// Asks the connections between requests to close, and closes those that have
    /// been opening for long.
    pub(crate) fn close_idle(&self) {
        let now = Instant::now();
        for connection in self.held() {
            if connection.is_idle(now) {
                connection.ask_to_close();
            }
        }
        for task in self.doom_opening(now) {
            task.abort();
        }
    }

    /// Cuts every connection. Returns how many requests were under way.
    pub(crate) fn close_all(&self) -> usize {
        let cut = self.owed();
        let tasks: Vec<_> = (self.open().connections.values())
            .filter_map(|entry| entry.task.clone())
            .collect();
        for task in tasks {
            task.abort();
        }
        cut
    }

    /// How many connections have just begun to open.
    fn opening(&self, now: Instant) -> usize {
        let open = self.open();
        let entries = open.connections.values();
        entries.filter(|entry| entry.is_opening(now, true)).count()
    }

    /// Dooms the connections that have been opening for long, so that they serve no
    /// request. Returns their tasks.
    fn doom_opening(&self, now: Instant) -> Vec<AbortHandle> {
        let mut open = self.open();
        let entries = open.connections.values_mut();
        entries
            .filter(|entry| entry.is_opening(now, false))
            .filter_map(|entry| {
                entry.stage = Stage::Doomed;
                entry.task.clone()
            })
            .collect()
    }

    /// Waits until a connection closes.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The open connections. The lock is free when this returns, since dropping the
    /// last handle of a connection takes the lock again.
    fn held(&self) -> Vec<Shared> {
        let open = self.open();
        let entries = open.connections.values();
        entries
            .filter_map(|entry| match &entry.stage {
                Stage::Open(connection) => connection.upgrade(),
                Stage::Opening(_) | Stage::Doomed => None,
            })
            .collect()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether the connection is opening, and whether it has just begun, as `is_new`
    /// asks.
    fn is_opening(&self, now: Instant, is_new: bool) -> bool {
        match self.stage {
            Stage::Opening(since) => (now.duration_since(since) <= FIRST_REQUEST) == is_new,
            Stage::Doomed | Stage::Open(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::Ends;
    use crate::deadline::Timer;

    fn caps(total: usize, per_ip: usize) -> Caps {
        Caps { total, per_ip }
    }

    fn from(ip: &str) -> IpAddr {
        ip.parse().expect("address")
    }

    /// A connection that is open at once.
    fn admit(connections: &Arc<Connections>, client: IpAddr) -> Result<Shared, Full> {
        let mut place = connections.admit()?;
        place.claim(client)?;
        let opened = place.open(Arc::default(), Ends::of(client), None);
        Ok(opened.expect("nothing is closed"))
    }

    #[tokio::test]
    async fn the_total_cap_counts_what_is_open_now() {
        let connections = Connections::new(caps(2, 0));
        let here = from("127.0.0.1");
        let first = admit(&connections, here).expect("first");
        let _second = admit(&connections, here).expect("second");
        assert_eq!(admit(&connections, here).err(), Some(Full::Total));
        drop(first);
        assert!(admit(&connections, here).is_ok());
    }

    #[tokio::test]
    async fn one_client_cannot_take_the_place_of_another() {
        let connections = Connections::new(caps(10, 1));
        let here = from("127.0.0.1");
        let first = admit(&connections, here).expect("first");
        assert_eq!(admit(&connections, here).err(), Some(Full::Client));
        assert!(admit(&connections, from("127.0.0.2")).is_ok());
        drop(first);
        assert!(admit(&connections, here).is_ok());
        assert!(
            connections.open().per_ip.is_empty(),
            "the map does not grow with clients"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_a_moment_for_its_first_request() {
        let connections = Connections::new(caps(10, 0));
        let here = from("127.0.0.1");
        let connection = admit(&connections, here).expect("admitted");
        assert_eq!((connections.owed(), connections.unfinished()), (0, 1));
        tokio::time::advance(Duration::from_millis(1100)).await;
        assert_eq!(connections.unfinished(), 0);
        connection.begin_head();
        assert_eq!((connections.owed(), connections.unfinished()), (1, 1));
        connection.begin_exchange();
        let owed = connection.owe();
        assert_eq!(connections.owed(), 1);
        drop(owed);
        connection.end_exchange(Timer::default());
        assert_eq!(
            connections.unfinished(),
            0,
            "between requests it may be closed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_a_moment_for_a_handshake_and_then_ends_it() {
        let connections = Connections::new(caps(10, 1));
        let mut place = connections.admit().expect("admitted");
        place.claim(from("127.0.0.1")).expect("the first");
        let task = tokio::spawn(std::future::pending::<()>());
        connections.attach(place.id, task.abort_handle());
        connections.close_idle();
        assert_eq!(connections.unfinished(), 1);
        tokio::time::advance(Duration::from_millis(1100)).await;
        assert_eq!(connections.unfinished(), 0);
        connections.close_idle();
        assert!(task.await.expect_err("aborted").is_cancelled());
        assert!(
            place
                .open(Arc::default(), Ends::of(from("127.0.0.1")), None)
                .is_none(),
            "no request is served and then cut"
        );
        assert_eq!(connections.len(), 0);
        assert!(connections.open().per_ip.is_empty());
    }
}
