//! What the client wants of the server, and the cells that hold what the server said.
//!
//! The table outlives every connection: a new connection is told all of it. Each entry owns a latest-wins cell, so no
//! reader, however slow, can make the newest state be dropped.

mod configs;
mod registrations;
mod services;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    error::Error,
    model::{ConfigName, ConfigState, Instance, ServiceName, ServiceState},
};

/// One thing to keep in step with the server. The order is that of a replay: configs first, since routes decide which
/// services matter, then what others wait for, then what we watch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Config(ConfigName),
    Registration(ServiceName),
    Service(ServiceName),
}

/// What is known of a service.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceSlot {
    pub(crate) state: Option<Arc<ServiceState>>,
    pub(crate) error: Option<Error>,
}

/// What is known of a config.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigSlot {
    pub(crate) state: Option<ConfigState>,
    pub(crate) error: Option<Error>,
    pub(crate) epoch: u64,
    pub(crate) received: Option<Instant>,
}

/// How far a registration has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegistrationSlot {
    /// The newest version of the instance that the present connection's server has confirmed.
    pub(crate) confirmed: Option<u64>,
    /// The newest version that was refused, and why.
    pub(crate) refused: Option<(u64, Error)>,
    /// It is withdrawn, or its connection is over.
    pub(crate) is_gone: bool,
}

#[derive(Debug)]
struct ServiceEntry {
    watchers: usize,
    /// Counts pushes, so that the answer to an older question can be told from them.
    pushes: u64,
    cell: watch::Sender<ServiceSlot>,
}

#[derive(Debug)]
struct ConfigEntry {
    watchers: usize,
    /// Counts notices, so that an audit can tell a lost one from one under way.
    notices: u64,
    cell: watch::Sender<ConfigSlot>,
}

#[derive(Debug)]
struct RegistrationEntry {
    instance: Instance,
    version: u64,
    is_leaving: bool,
    cell: watch::Sender<RegistrationSlot>,
}

#[derive(Debug, Default)]
struct Table {
    services: BTreeMap<ServiceName, ServiceEntry>,
    configs: BTreeMap<ConfigName, ConfigEntry>,
    registrations: BTreeMap<ServiceName, RegistrationEntry>,
    dirty: BTreeSet<Key>,
    is_connected: bool,
    next_version: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Desired {
    table: Mutex<Table>,
    changed: Notify,
}

impl Desired {
    /// A new connection knows nothing: everything is to be told.
    pub(crate) fn connected(&self) {
        let mut table = self.table();
        table.is_connected = true;
        let keys: Vec<Key> = (table.configs.keys().cloned().map(Key::Config))
            .chain(table.registrations.keys().cloned().map(Key::Registration))
            .chain(table.services.keys().cloned().map(Key::Service))
            .collect();
        table.dirty = keys.into_iter().collect();
        self.changed.notify_one();
    }

    /// The connection is over, and with it what it registered.
    pub(crate) fn disconnected(&self) {
        let mut table = self.table();
        table.is_connected = false;
        table.registrations.retain(|_, entry| {
            entry.cell.send_modify(|slot| {
                slot.confirmed = None;
                slot.refused = None;
                slot.is_gone |= entry.is_leaving;
            });
            !entry.is_leaving
        });
    }

    pub(crate) fn mark(&self, key: Key) {
        let mut table = self.table();
        self.mark_in(&mut table, key);
    }

    /// Takes what has to be told to the server since the last call.
    pub(crate) fn take_dirty(&self) -> BTreeSet<Key> {
        std::mem::take(&mut self.table().dirty)
    }

    /// Returns when something has to be told to the server.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn mark_in(&self, table: &mut Table, key: Key) {
        // While there is no connection, nothing is owed to it: the next one is told everything.
        if table.is_connected {
            table.dirty.insert(key);
            self.changed.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves a sound table.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes a cell without waking its readers: they wait for states, not for errors.
fn set_quietly<T>(cell: &watch::Sender<T>, change: impl FnOnce(&mut T)) {
    cell.send_if_modified(|slot| {
        change(slot);
        false
    });
}
