//! The operator's view of the table.

use tokio::time::Instant;

use super::{ConfigEntry, Desired, RegistrationEntry, ServiceEntry};
use crate::{
    error::Error,
    model::{ConfigName, ConfigState, ServiceName},
    state::{ConfigSync, RegistrationSync, ServiceSync},
};

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

fn age_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
