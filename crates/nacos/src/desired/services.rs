//! Services: watching, and what the server says of them.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use super::{Desired, Key, ServiceEntry, ServiceSlot, set_quietly};
use crate::{
    error::Error,
    model::{ServiceName, ServiceState},
};

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
