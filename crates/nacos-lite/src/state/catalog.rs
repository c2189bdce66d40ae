//! What operators say of services: they make them, set their protection threshold and remove them.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::{Kind, Refusal, State};
use crate::ServiceKey;

/// What an operator says of a service.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Definition {
    /// The share of healthy instances at which, and below which, all are reported as healthy.
    pub(crate) protect_threshold: f32,
    /// Free key-value pairs.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A service as an operator sees it.
pub(crate) struct Described {
    pub(crate) definition: Definition,
    pub(crate) kind: Kind,
    /// Those that its instances are in.
    pub(crate) clusters: BTreeSet<String>,
}

/// Why an operator's request about a service is not done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    AlreadyThere,
    NotThere,
    NotEmpty,
    Refused(Refusal),
}

impl State {
    /// Makes a service without instances. It is forgotten like any other that nobody uses.
    pub(crate) fn create_service(
        &mut self,
        key: &ServiceKey,
        kind: Kind,
        definition: Definition,
        now: Instant,
    ) -> Result<(), Denial> {
        if self.is_listed(key) {
            return Err(Denial::AlreadyThere);
        }
        self.room_for(key, 0).map_err(Denial::Refused)?;
        let service = self.service_mut(key);
        service.kind = Some(kind);
        service.definition = Some(definition);
        self.note_unused(key, now);
        Ok(())
    }

    /// Sets what an operator says of a service. It shows in the next answer and push; none is sent for it.
    pub(crate) fn define_service(
        &mut self,
        key: &ServiceKey,
        definition: Definition,
    ) -> Result<(), Denial> {
        if !self.is_listed(key) {
            return Err(Denial::NotThere);
        }
        self.service_mut(key).definition = Some(definition);
        Ok(())
    }

    /// Removes a service that has no instances. Those who subscribe to it stay subscribed.
    pub(crate) fn remove_service(&mut self, key: &ServiceKey, now: Instant) -> Result<(), Denial> {
        if !self.is_listed(key) {
            return Err(Denial::NotThere);
        }
        let service = self.service_mut(key);
        if !service.published.is_empty() {
            return Err(Denial::NotEmpty);
        }
        (service.kind, service.definition) = (None, None);
        self.note_unused(key, now);
        Ok(())
    }

    pub(crate) fn describe_service(&self, key: &ServiceKey) -> Result<Described, Denial> {
        let service = self.services.get(key).ok_or(Denial::NotThere)?;
        let kind = service.kind.ok_or(Denial::NotThere)?;
        let published = service.published.values().flatten();
        Ok(Described {
            definition: service.definition.clone().unwrap_or_default(),
            kind,
            clusters: published
                .map(|published| published.instance.cluster.clone())
                .collect(),
        })
    }

    fn is_listed(&self, key: &ServiceKey) -> bool {
        self.services
            .get(key)
            .is_some_and(|service| service.kind.is_some())
    }
}
