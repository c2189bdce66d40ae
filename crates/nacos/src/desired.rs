//! What the client wants of the server, and the cells that hold what the server said.
//!
//! The table outlives every connection: a new connection is told all of it. Each entry owns a latest-wins cell, so no
//! reader, however slow, can make the newest state be dropped.

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
    state::{ConfigSync, RegistrationSync, ServiceSync},
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

/// Services: watching, and what the server says of them.
impl Desired {
    pub(crate) fn watch_service(&self, name: &ServiceName) -> watch::Receiver<ServiceSlot> {
        let mut table = self.table();
        let known = table.services.contains_key(name);
        let entry = table
            .services
            .entry(name.clone())
            .or_insert_with(|| ServiceEntry {
                watchers: 0,
                pushes: 0,
                cell: watch::Sender::default(),
            });
        entry.watchers += 1;
        let receiver = entry.cell.subscribe();
        if !known {
            self.mark_in(&mut table, Key::Service(name.clone()));
        }
        receiver
    }

    pub(crate) fn unwatch_service(&self, name: &ServiceName) {
        let mut table = self.table();
        let Some(entry) = table.services.get_mut(name) else {
            return;
        };
        entry.watchers -= 1;
        if entry.watchers == 0 {
            table.services.remove(name);
            self.mark_in(&mut table, Key::Service(name.clone()));
        }
    }

    pub(crate) fn is_service_wanted(&self, name: &ServiceName) -> bool {
        self.table().services.contains_key(name)
    }

    /// How many pushes came so far: to be handed to [`Desired::answer_service`] with the answer to a question that is
    /// asked now.
    pub(crate) fn service_pushes(&self, name: &ServiceName) -> u64 {
        self.table()
            .services
            .get(name)
            .map_or(0, |entry| entry.pushes)
    }

    /// Takes a pushed state; false when no one watches the service.
    pub(crate) fn push_service(&self, name: &ServiceName, state: ServiceState) -> bool {
        let mut table = self.table();
        let Some(entry) = table.services.get_mut(name) else {
            return false;
        };
        entry.pushes += 1;
        put_service(&entry.cell, state);
        true
    }

    /// Takes the answer to a question, unless a push overtook it: the answer may be the older of the two, and a change
    /// that the push does not have yet brings a push of its own.
    pub(crate) fn answer_service(
        &self,
        name: &ServiceName,
        state: ServiceState,
        pushes_when_asked: u64,
    ) {
        let table = self.table();
        let Some(entry) = table.services.get(name) else {
            return;
        };
        if entry.pushes == pushes_when_asked {
            put_service(&entry.cell, state);
        } else {
            set_quietly(&entry.cell, |slot| slot.error = None);
        }
    }

    /// Takes note that the server still says the same.
    pub(crate) fn confirm_service(&self, name: &ServiceName, epoch: u64) {
        if let Some(entry) = self.table().services.get(name) {
            set_quietly(&entry.cell, |slot| {
                slot.error = None;
                if let Some(state) = slot.state.as_mut().filter(|state| state.epoch == epoch) {
                    Arc::make_mut(state).received = Instant::now();
                }
            });
        }
    }

    pub(crate) fn fail_service(&self, name: &ServiceName, error: Error) {
        if let Some(entry) = self.table().services.get(name) {
            set_quietly(&entry.cell, |slot| slot.error = Some(error));
        }
    }

    pub(crate) fn service_state(&self, name: &ServiceName) -> Option<Arc<ServiceState>> {
        self.table().services.get(name)?.cell.borrow().state.clone()
    }

    pub(crate) fn service_names(&self) -> Vec<ServiceName> {
        self.table().services.keys().cloned().collect()
    }
}

/// Configs: watching, and what the server says of them.
impl Desired {
    pub(crate) fn watch_config(&self, name: &ConfigName) -> watch::Receiver<ConfigSlot> {
        let mut table = self.table();
        let known = table.configs.contains_key(name);
        let entry = table
            .configs
            .entry(name.clone())
            .or_insert_with(|| ConfigEntry {
                watchers: 0,
                notices: 0,
                cell: watch::Sender::default(),
            });
        entry.watchers += 1;
        let receiver = entry.cell.subscribe();
        if !known {
            self.mark_in(&mut table, Key::Config(name.clone()));
        }
        receiver
    }

    pub(crate) fn unwatch_config(&self, name: &ConfigName) {
        let mut table = self.table();
        let Some(entry) = table.configs.get_mut(name) else {
            return;
        };
        entry.watchers -= 1;
        if entry.watchers == 0 {
            table.configs.remove(name);
            self.mark_in(&mut table, Key::Config(name.clone()));
        }
    }

    pub(crate) fn is_config_wanted(&self, name: &ConfigName) -> bool {
        self.table().configs.contains_key(name)
    }

    /// Takes a notice that a config changed; its content is asked for next.
    pub(crate) fn notice_config(&self, name: &ConfigName) {
        let mut table = self.table();
        if let Some(entry) = table.configs.get_mut(name) {
            entry.notices += 1;
            self.mark_in(&mut table, Key::Config(name.clone()));
        }
    }

    pub(crate) fn config_notices(&self, name: &ConfigName) -> u64 {
        self.table()
            .configs
            .get(name)
            .map_or(0, |entry| entry.notices)
    }

    /// Takes what the server says of a config; readers wake only when that is news.
    pub(crate) fn put_config(&self, name: &ConfigName, state: ConfigState, epoch: u64) {
        if let Some(entry) = self.table().configs.get(name) {
            entry.cell.send_if_modified(|slot| {
                let is_news = slot.state.as_ref() != Some(&state);
                slot.epoch = epoch;
                slot.received = Some(Instant::now());
                slot.error = None;
                if is_news {
                    slot.state = Some(state);
                }
                is_news
            });
        }
    }

    /// Takes note that the server still says the same.
    pub(crate) fn confirm_config(&self, name: &ConfigName, epoch: u64) {
        if let Some(entry) = self.table().configs.get(name) {
            set_quietly(&entry.cell, |slot| {
                slot.error = None;
                if slot.epoch == epoch {
                    slot.received = Some(Instant::now());
                }
            });
        }
    }

    pub(crate) fn fail_config(&self, name: &ConfigName, error: Error) {
        if let Some(entry) = self.table().configs.get(name) {
            set_quietly(&entry.cell, |slot| slot.error = Some(error));
        }
    }

    pub(crate) fn config_state(&self, name: &ConfigName) -> Option<ConfigState> {
        self.table().configs.get(name)?.cell.borrow().state.clone()
    }

    pub(crate) fn config_names(&self) -> Vec<ConfigName> {
        self.table().configs.keys().cloned().collect()
    }
}

/// Own registrations.
impl Desired {
    /// Adds a registration and says which version of it to wait for.
    pub(crate) fn register(
        &self,
        name: &ServiceName,
        instance: Instance,
    ) -> Result<(u64, watch::Receiver<RegistrationSlot>), Error> {
        let mut table = self.table();
        if table
            .registrations
            .get(name)
            .is_some_and(|entry| !entry.is_leaving)
        {
            return Err(Error::AlreadyRegistered(name.to_string()));
        }
        table.next_version += 1;
        let version = table.next_version;
        let cell = watch::Sender::default();
        let receiver = cell.subscribe();
        let entry = RegistrationEntry {
            instance,
            version,
            is_leaving: false,
            cell,
        };
        if let Some(leaving) = table.registrations.insert(name.clone(), entry) {
            // The new instance takes the old one's place on the server as well.
            leaving.cell.send_modify(|slot| slot.is_gone = true);
        }
        self.mark_in(&mut table, Key::Registration(name.clone()));
        Ok((version, receiver))
    }

    /// Replaces the instance and says which version to wait for; `None` when it is gone.
    pub(crate) fn update(
        &self,
        name: &ServiceName,
        owner: &watch::Receiver<RegistrationSlot>,
        instance: Instance,
    ) -> Option<u64> {
        let mut table = self.table();
        table.next_version += 1;
        let version = table.next_version;
        let entry = table.registrations.get_mut(name)?;
        if entry.is_leaving || !entry.cell.subscribe().same_channel(owner) {
            return None;
        }
        entry.instance = instance;
        entry.version = version;
        self.mark_in(&mut table, Key::Registration(name.clone()));
        Some(version)
    }

    /// Begins to withdraw a registration; `owner` guards against withdrawing a successor of the same name.
    pub(crate) fn leave(&self, name: &ServiceName, owner: &watch::Receiver<RegistrationSlot>) {
        let mut table = self.table();
        let is_connected = table.is_connected;
        let Some(entry) = table.registrations.get_mut(name) else {
            return;
        };
        if entry.is_leaving || !entry.cell.subscribe().same_channel(owner) {
            return;
        }
        entry.is_leaving = true;
        if !is_connected {
            // The server drops what a connection registered when the connection ends.
            entry.cell.send_modify(|slot| slot.is_gone = true);
            table.registrations.remove(name);
            return;
        }
        self.mark_in(&mut table, Key::Registration(name.clone()));
    }

    /// Begins to withdraw everything, and gives the cells that tell when it is done.
    pub(crate) fn leave_all(&self) -> Vec<watch::Receiver<RegistrationSlot>> {
        let owners: Vec<_> = {
            let table = self.table();
            table
                .registrations
                .iter()
                .map(|(name, entry)| (name.clone(), entry.cell.subscribe()))
                .collect()
        };
        for (name, owner) in &owners {
            self.leave(name, owner);
        }
        owners.into_iter().map(|(_, owner)| owner).collect()
    }

    /// The instance to register, its version, or that it is to go; `None` when there is no such registration.
    pub(crate) fn registration(&self, name: &ServiceName) -> Option<(Instance, u64, bool)> {
        let table = self.table();
        let entry = table.registrations.get(name)?;
        Some((entry.instance.clone(), entry.version, entry.is_leaving))
    }

    pub(crate) fn confirm_registration(&self, name: &ServiceName, version: u64) {
        if let Some(entry) = self.table().registrations.get(name) {
            entry.cell.send_modify(|slot| {
                slot.confirmed = Some(version);
                slot.refused = None;
            });
        }
    }

    pub(crate) fn refuse_registration(&self, name: &ServiceName, version: u64, error: Error) {
        if let Some(entry) = self.table().registrations.get(name) {
            entry
                .cell
                .send_modify(|slot| slot.refused = Some((version, error)));
        }
    }

    /// The server has withdrawn it, or never had it.
    pub(crate) fn forget_registration(&self, name: &ServiceName) {
        let mut table = self.table();
        if table
            .registrations
            .get(name)
            .is_some_and(|entry| entry.is_leaving)
            && let Some(entry) = table.registrations.remove(name)
        {
            entry.cell.send_modify(|slot| slot.is_gone = true);
        }
    }
}

/// The connection's side.
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

/// The operator's view.
impl Desired {
    pub(crate) fn services(&self, epoch: Option<u64>) -> Vec<ServiceSync> {
        let view = |(name, entry): (&ServiceName, &ServiceEntry)| {
            let slot = entry.cell.borrow();
            let state = slot.state.as_deref();
            ServiceSync {
                service: name.clone(),
                instances: state.map(|state| state.instances.len()),
                origin: state.map(|state| state.origin),
                epoch: state.map(|state| state.epoch),
                age_ms: state.map(|state| age_ms(state.received)),
                is_current: epoch.is_some() && state.map(|state| state.epoch) == epoch,
                error: slot.error.as_ref().map(Error::to_string),
            }
        };
        self.table().services.iter().map(view).collect()
    }

    pub(crate) fn configs(&self, epoch: Option<u64>) -> Vec<ConfigSync> {
        let view = |(name, entry): (&ConfigName, &ConfigEntry)| {
            let slot = entry.cell.borrow();
            let config = slot.state.as_ref().and_then(ConfigState::config);
            ConfigSync {
                config: name.clone(),
                is_present: slot.state.as_ref().map(|_| config.is_some()),
                md5: config.map(|config| config.md5.clone()),
                epoch: slot.received.map(|_| slot.epoch),
                age_ms: slot.received.map(age_ms),
                is_current: slot.received.is_some() && Some(slot.epoch) == epoch,
                error: slot.error.as_ref().map(Error::to_string),
            }
        };
        self.table().configs.iter().map(view).collect()
    }

    pub(crate) fn registrations(&self) -> Vec<RegistrationSync> {
        let view = |(name, entry): (&ServiceName, &RegistrationEntry)| {
            let slot = entry.cell.borrow();
            RegistrationSync {
                service: name.clone(),
                instance: format!("{}:{}", entry.instance.ip, entry.instance.port),
                is_registered: slot.confirmed == Some(entry.version),
                error: slot.refused.as_ref().map(|(_, error)| error.to_string()),
            }
        };
        self.table().registrations.iter().map(view).collect()
    }
}

/// Readers wake for news: another content, or the same one from another connection. A repetition only renews the age.
fn put_service(cell: &watch::Sender<ServiceSlot>, state: ServiceState) {
    cell.send_if_modified(|slot| {
        slot.error = None;
        let known = slot
            .state
            .as_ref()
            .filter(|known| known.epoch == state.epoch && known.same_content(&state));
        match known {
            Some(known) => {
                let received = state.received;
                slot.state = Some(Arc::new(ServiceState {
                    received,
                    ..ServiceState::clone(known)
                }));
                false
            }
            None => {
                slot.state = Some(Arc::new(state));
                true
            }
        }
    });
}

/// Changes a cell without waking its readers: they wait for states, not for errors.
fn set_quietly<T>(cell: &watch::Sender<T>, change: impl FnOnce(&mut T)) {
    cell.send_if_modified(|slot| {
        change(slot);
        false
    });
}

fn age_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
