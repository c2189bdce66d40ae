//! Services, their instances and their subscribers.

use std::{collections::BTreeMap, time::Duration};

use pailou_nacos::wire::{HostInfo, ServiceInfo};
use tokio::time::Instant;

use super::{ConnectionId, Refusal, State, catalog::Definition, limits, pushes::Target};
use crate::{Instance, ServiceKey, instance::preserved};

/// Who keeps an instance alive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A gRPC connection: its instances go when it goes.
    Connection(ConnectionId),
    /// Whoever sends beats for this address over HTTP.
    Beats { ip: String, port: u16 },
    /// The process that runs the registry: the instance stays until it is removed.
    Operator { ip: String, port: u16 },
    /// Nobody: a persistent instance stays until anybody removes it.
    Nobody(Place),
}

impl Owner {
    /// The owner of an instance that is registered over HTTP.
    pub(crate) fn over_http(instance: &Instance) -> Self {
        if instance.ephemeral {
            return Self::Beats {
                ip: instance.ip.clone(),
                port: instance.port,
            };
        }
        Self::nobody(instance)
    }

    /// The owner of a persistent instance.
    pub(crate) fn nobody(instance: &Instance) -> Self {
        Self::Nobody((instance.ip.clone(), instance.port, instance.cluster.clone()))
    }
}

#[derive(Default)]
pub(super) struct Service {
    pub(super) published: BTreeMap<Owner, Vec<Published>>,
    edits: BTreeMap<Place, Edit>,
    /// Each subscriber with its cluster filter.
    pub(super) subscribers: BTreeMap<ConnectionId, String>,
    /// Which instances it takes, since it had its first or an operator made it: only then it is listed.
    pub(super) kind: Option<Kind>,
    /// What an operator says of it.
    pub(super) definition: Option<Definition>,
    pub(super) unused_since: Option<Instant>,
}

pub(super) struct Published {
    pub(super) instance: Instance,
    /// Only those over HTTP have one.
    pub(super) last_beat: Option<Instant>,
}

/// A service takes ephemeral instances only, or persistent ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ephemeral,
    Persistent,
}

impl Kind {
    pub(crate) fn of(ephemeral: bool) -> Self {
        if ephemeral {
            Kind::Ephemeral
        } else {
            Kind::Persistent
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Ephemeral => "ephemeral",
            Kind::Persistent => "persistent",
        }
    }
}

/// Address and cluster: what an operator's edit belongs to.
pub(crate) type Place = (String, u16, String);

/// What an operator sets on an instance, over whatever its owner registers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Edit {
    pub(crate) enabled: Option<bool>,
    pub(crate) weight: Option<f64>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What became of a beat.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Taken { interval: Duration },
    Unknown,
}

impl State {
    /// Registers the instances of one owner in place of those that it had in this service.
    pub(crate) fn register(
        &mut self,
        owner: Owner,
        key: &ServiceKey,
        instances: Vec<Instance>,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.room_for(key, instances.len())?;
        let kind = Kind::of(instances.iter().all(|instance| instance.ephemeral));
        self.admits(key, kind)?;
        let last_beat = matches!(owner, Owner::Beats { .. }).then_some(now);
        let times = &self.times;
        let first_check = instances
            .iter()
            .map(|it| it.setting(preserved::BEAT_TIMEOUT, times.unhealthy_after))
            .min();
        if let Owner::Connection(id) = owner {
            let connection = self.connections.get_mut(&id);
            connection.map(|connection| connection.publishes.insert(key.clone()));
        }
        self.instances += instances.len();
        let service = self.service_mut(key);
        service.kind.get_or_insert(kind);
        service.unused_since = None;
        let published = instances
            .into_iter()
            .map(|instance| Published {
                instance,
                last_beat,
            })
            .collect();
        let replaced = service
            .published
            .insert(owner, published)
            .map_or(0, |before| before.len());
        self.instances -= replaced;
        self.unused.remove(key);
        if let (Some(_), Some(timeout)) = (last_beat, first_check) {
            self.sweep_by(now + timeout);
        }
        self.schedule(key, Target::All, now);
        Ok(())
    }

    /// Removes all instances that the owner has in this service; true if there was one.
    pub(crate) fn deregister(&mut self, owner: &Owner, key: &ServiceKey, now: Instant) -> bool {
        if let Owner::Connection(id) = owner {
            let connection = self.connections.get_mut(id);
            connection.map(|connection| connection.publishes.remove(key));
        }
        let Some(removed) = self
            .services
            .get_mut(key)
            .and_then(|service| service.published.remove(owner))
        else {
            return false;
        };
        self.instances -= removed.len();
        self.note_unused(key, now);
        self.schedule(key, Target::All, now);
        true
    }

    /// Takes a beat. A full one (with an instance) registers what is not there.
    pub(crate) fn beat(
        &mut self,
        key: &ServiceKey,
        ip: &str,
        port: u16,
        full: Option<Instance>,
        now: Instant,
    ) -> Result<Beat, Refusal> {
        let owner = Owner::Beats {
            ip: ip.to_owned(),
            port,
        };
        let published = self
            .services
            .get_mut(key)
            .and_then(|service| service.published.get_mut(&owner));
        let Some(published) = published.and_then(|published| published.first_mut()) else {
            let Some(instance) = full else {
                return Ok(Beat::Unknown);
            };
            let interval =
                instance.setting(preserved::BEAT_INTERVAL, crate::instance::BEAT_INTERVAL);
            self.register(owner, key, vec![instance], now)?;
            return Ok(Beat::Taken { interval });
        };
        published.last_beat = Some(now);
        let interval = published
            .instance
            .setting(preserved::BEAT_INTERVAL, crate::instance::BEAT_INTERVAL);
        let timeout = published
            .instance
            .setting(preserved::BEAT_TIMEOUT, self.times.unhealthy_after);
        let revived = !std::mem::replace(&mut published.instance.healthy, true);
        self.sweep_by(now + timeout);
        if revived {
            self.schedule(key, Target::All, now);
        }
        Ok(Beat::Taken { interval })
    }

    /// Sets an operator's edit, in place of the former one or merged into it. False when there is no such service.
    pub(crate) fn edit(
        &mut self,
        key: &ServiceKey,
        place: Place,
        edit: Edit,
        merge: bool,
        now: Instant,
    ) -> bool {
        let Some(service) = self
            .services
            .get_mut(key)
            .filter(|service| service.kind.is_some())
        else {
            return false;
        };
        let old = service
            .edits
            .remove(&place)
            .filter(|_| merge)
            .unwrap_or_default();
        let mut metadata = old.metadata;
        metadata.extend(edit.metadata);
        let edit = Edit {
            enabled: edit.enabled.or(old.enabled),
            weight: edit.weight.or(old.weight),
            metadata,
        };
        service.edits.insert(place, edit);
        self.schedule(key, Target::All, now);
        true
    }

    /// All instances as they count now: with the operator's edits, the disabled ones among them.
    pub(crate) fn instances(&self, key: &ServiceKey) -> Vec<Instance> {
        self.services
            .get(key)
            .map(|service| service.effective().collect())
            .unwrap_or_default()
    }

    /// The answer to a query: disabled instances are left out, unhealthy ones and those of weight 0 stay.
    pub(crate) fn service_info(
        &self,
        key: &ServiceKey,
        clusters: &str,
        healthy_only: bool,
    ) -> ServiceInfo {
        let mut named = clusters.split(',').map(str::trim);
        let is_filter = named.any(|cluster| !cluster.is_empty());
        let wanted = |instance: &Instance| {
            instance.enabled
                && (instance.healthy || !healthy_only)
                && (!is_filter
                    || clusters
                        .split(',')
                        .any(|cluster| cluster.trim() == instance.cluster))
        };
        let service = self.services.get(key);
        let found = service
            .into_iter()
            .flat_map(Service::effective)
            .filter(wanted);
        let mut found: Vec<Instance> = found.collect();
        let is_protected = service.is_some_and(|service| service.protects(&found));
        if is_protected {
            found
                .iter_mut()
                .for_each(|instance| instance.healthy = true);
        }
        let hosts = found
            .into_iter()
            .map(|instance| self.host(key, instance))
            .collect();
        ServiceInfo {
            name: key.name.clone(),
            group_name: key.group.clone(),
            clusters: clusters.to_owned(),
            cache_millis: u64::try_from(self.times.poll_interval.as_millis()).unwrap_or(u64::MAX),
            hosts: Some(hosts),
            last_ref_time: self.clock_millis(),
            reach_protection_threshold: is_protected,
            valid: true,
            ..ServiceInfo::default()
        }
    }

    /// One instance as answers show it.
    pub(crate) fn host(&self, key: &ServiceKey, instance: Instance) -> HostInfo {
        instance.into_host(key, self.times.unhealthy_after, self.times.remove_after)
    }

    /// One page (from 1) of the names of a group's services, and how many there are in all.
    pub(crate) fn service_names(
        &self,
        namespace: &str,
        group: &str,
        page: usize,
        size: usize,
    ) -> (usize, Vec<String>) {
        let listed = |(key, service): &(&ServiceKey, &Service)| {
            service.kind.is_some() && key.namespace == namespace && key.group == group
        };
        let names: Vec<&str> = self
            .services
            .iter()
            .filter(listed)
            .map(|(key, _)| key.name.as_str())
            .collect();
        let skipped = page.saturating_sub(1).saturating_mul(size);
        (
            names.len(),
            names
                .into_iter()
                .skip(skipped)
                .take(size)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// The services of a namespace whose name holds this text, in any group, with all their instances.
    pub(crate) fn services_like(
        &self,
        namespace: &str,
        text: &str,
    ) -> impl Iterator<Item = (&ServiceKey, Vec<Instance>)> {
        let listed = move |(key, service): &(&ServiceKey, &Service)| {
            service.kind.is_some() && key.namespace == namespace && key.name.contains(text)
        };
        self.services
            .iter()
            .filter(listed)
            .map(|(key, service)| (key, service.effective().collect()))
    }

    /// Subscribes a connection, with its one cluster filter for this service, and plans the push that follows.
    pub(crate) fn subscribe(
        &mut self,
        id: ConnectionId,
        key: &ServiceKey,
        clusters: &str,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.room_for(key, 0)?;
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        if connection.subscriptions.len() >= limits::INTERESTS {
            return Err(Refusal::Full("too many subscriptions on this connection"));
        }
        connection.subscriptions.insert(key.clone());
        let service = self.service_mut(key);
        service.subscribers.insert(id, clusters.to_owned());
        service.unused_since = None;
        self.unused.remove(key);
        self.schedule(key, Target::One(id), now);
        Ok(())
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnectionId, key: &ServiceKey, now: Instant) {
        let connection = self.connections.get_mut(&id);
        connection.map(|connection| connection.subscriptions.remove(key));
        if let Some(service) = self.services.get_mut(key) {
            service.subscribers.remove(&id);
            self.note_unused(key, now);
        }
    }

    pub(crate) fn subscribers(&self, key: &ServiceKey) -> usize {
        self.services
            .get(key)
            .map_or(0, |service| service.subscribers.len())
    }

    /// Whether the service takes instances of this kind. One that is not there yet takes either.
    fn admits(&self, key: &ServiceKey, kind: Kind) -> Result<(), Refusal> {
        let other = self.services.get(key).and_then(|service| service.kind);
        match other.filter(|other| *other != kind) {
            Some(other) => Err(Refusal::OtherKind(format!(
                "errCode: 400, errMsg: Current service {} is {} service, can't register {} instance. ",
                key.grouped_name(),
                other.name(),
                kind.name()
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn room_for(&self, key: &ServiceKey, instances: usize) -> Result<(), Refusal> {
        if self.instances + instances > limits::INSTANCES {
            return Err(Refusal::Full("too many instances"));
        }
        if self.services.len() >= limits::SERVICES && !self.services.contains_key(key) {
            return Err(Refusal::Full("too many services"));
        }
        Ok(())
    }

    pub(super) fn service_mut(&mut self, key: &ServiceKey) -> &mut Service {
        // The name is copied only when the service is new: 50,000 instances of one service are common in tests.
        if !self.services.contains_key(key) {
            self.services.insert(key.clone(), Service::default());
        }
        self.services
            .get_mut(key)
            .expect("the service was just put there")
    }
}

impl Service {
    /// Whether so few of these are healthy that all are reported so. Only a service that an operator has said
    /// something of has a threshold, if one of 0.
    fn protects(&self, found: &[Instance]) -> bool {
        let Some(definition) = &self.definition else {
            return false;
        };
        let healthy = found.iter().filter(|instance| instance.healthy).count();
        // As on real servers in single precision, where 1 of 3 is more than 0.33 and less than 0.34.
        !found.is_empty() && healthy as f32 / found.len() as f32 <= definition.protect_threshold
    }

    fn effective(&self) -> impl Iterator<Item = Instance> {
        self.published.values().flatten().map(|published| {
            let mut instance = published.instance.clone();
            if self.edits.is_empty() {
                return instance;
            }
            let place = (instance.ip.clone(), instance.port, instance.cluster.clone());
            if let Some(edit) = self.edits.get(&place) {
                instance.enabled = edit.enabled.unwrap_or(instance.enabled);
                instance.weight = edit.weight.unwrap_or(instance.weight);
                instance.metadata.extend(edit.metadata.clone());
            }
            instance
        })
    }
}
