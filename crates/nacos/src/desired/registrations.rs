//! Own registrations: what is to be registered, and how far that has come.

use tokio::sync::watch;

use super::{Desired, Key, RegistrationEntry, RegistrationSlot};
use crate::{
    error::Error,
    model::{Instance, ServiceName},
};

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

    /// What the present connection's server has confirmed, each with its version; not what is to go.
    pub(crate) fn registered(&self) -> Vec<(ServiceName, Instance, u64)> {
        let table = self.table();
        let entries = table.registrations.iter();
        entries
            .filter(|(_, entry)| {
                !entry.is_leaving && entry.cell.borrow().confirmed == Some(entry.version)
            })
            .map(|(name, entry)| (name.clone(), entry.instance.clone(), entry.version))
            .collect()
    }

    /// Everything that the present connection's server may have, including what is to go.
    pub(crate) fn own_instances(&self) -> Vec<(ServiceName, Instance)> {
        let table = self.table();
        let entries = table.registrations.iter();
        entries
            .map(|(name, entry)| (name.clone(), entry.instance.clone()))
            .collect()
    }

    /// Whether the present connection's server has the instance, or is not to have it.
    pub(crate) fn is_confirmed_or_gone(&self, name: &ServiceName) -> bool {
        let table = self.table();
        let entry = table.registrations.get(name);
        entry.is_none_or(|entry| entry.cell.borrow().confirmed.is_some())
    }

    /// The server has lost the instance.
    pub(crate) fn unconfirm_registration(&self, name: &ServiceName) {
        if let Some(entry) = self.table().registrations.get(name) {
            entry.cell.send_modify(|slot| slot.confirmed = None);
        }
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
