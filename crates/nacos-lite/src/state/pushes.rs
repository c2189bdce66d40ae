//! When subscribers are told: changes are gathered, and pushes without an acknowledgement are repeated.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use pailou_nacos::wire::{
    ConfigChangeNotifyRequest, Message, NotifySubscriberRequest, Payload, ServiceInfo,
};
use serde::Serialize;
use tokio::time::Instant;

use super::{ConnectionId, PushFault, State, connections::Connection, limits};
use crate::{ConfigKey, ServiceKey};

/// How much longer each further acknowledgement of the same config push is awaited.
const CONFIG_RETRY_STEP: Duration = Duration::from_secs(2);

/// After so many unacknowledged pushes of one config the connection is given up.
const CONFIG_TRIES: u32 = 50;

/// What the server sends on a stream of its own accord.
#[derive(Debug, Clone)]
pub(crate) enum Outbound {
    /// A small message.
    Message(Payload),
    /// The state of a service; written when it is sent, since it may be large and goes to many.
    Service {
        request_id: String,
        info: Arc<ServiceInfo>,
    },
}

impl Outbound {
    /// The message as it goes over the wire.
    pub(crate) fn into_payload(self) -> Payload {
        match self {
            Outbound::Message(payload) => payload,
            Outbound::Service { request_id, info } => {
                let push = ServicePush {
                    headers: BTreeMap::new(),
                    request_id: &request_id,
                    service_info: &info,
                    module: "naming",
                };
                let json =
                    serde_json::to_vec(&push).expect("a struct with string keys is always JSON");
                Payload::raw(NotifySubscriberRequest::KIND, json, Default::default())
            }
        }
    }
}

/// A [`NotifySubscriberRequest`] that borrows the state, with the fields that real servers send and no others.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServicePush<'a> {
    headers: BTreeMap<&'a str, &'a str>,
    request_id: &'a str,
    service_info: &'a ServiceInfo,
    module: &'a str,
}

/// A push that is planned.
pub(super) struct Pending {
    pub(super) due: Instant,
    to: Recipients,
}

enum Recipients {
    All,
    Only(BTreeSet<ConnectionId>),
}

/// Whom a change concerns.
#[derive(Clone, Copy)]
pub(super) enum Target {
    All,
    One(ConnectionId),
}

/// A push whose acknowledgement is awaited.
pub(super) struct Unacked {
    what: Pushed,
    deadline: Instant,
}

enum Pushed {
    Service(ServiceKey),
    Config { key: ConfigKey, tries: u32 },
}

impl Connection {
    /// Sends a push as the faults of the moment want it.
    fn send_push(&mut self, message: Outbound, fault: PushFault) {
        if fault.duplicate {
            self.send(message.clone());
        }
        if !fault.reorder {
            return self.send(message);
        }
        match self.held.take() {
            None => self.held = Some(message),
            Some(overtaken) => {
                self.send(message);
                self.send(overtaken);
            }
        }
    }
}

impl State {
    /// Plans a push. Changes that come while one is planned go with it: it is sent a delay after the first of them.
    pub(super) fn schedule(&mut self, key: &ServiceKey, target: Target, now: Instant) {
        self.schedule_at(
            key,
            target,
            now + self.times.push_delay + self.push_fault.delay,
        );
    }

    fn schedule_at(&mut self, key: &ServiceKey, target: Target, due: Instant) {
        if self
            .services
            .get(key)
            .is_none_or(|service| service.subscribers.is_empty())
        {
            return;
        }
        self.next_push = Some(self.next_push.map_or(due, |next| next.min(due)));
        match (self.pending.get_mut(key), target) {
            (None, target) => {
                let to = match target {
                    Target::All => Recipients::All,
                    Target::One(id) => Recipients::Only([id].into()),
                };
                self.pending.insert(key.clone(), Pending { due, to });
            }
            (Some(pending), target) => {
                pending.due = pending.due.min(due);
                match (&mut pending.to, target) {
                    (Recipients::Only(ids), Target::One(id)) => {
                        ids.insert(id);
                    }
                    (to, Target::All) => *to = Recipients::All,
                    (Recipients::All, Target::One(_)) => {}
                }
            }
        }
    }

    /// Sends what is due, as the services are now.
    pub(super) fn send_due_pushes(&mut self, now: Instant) {
        let due = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.due <= now);
        for key in due.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.push_now(&key, now);
        }
        self.next_push = self.pending.values().map(|pending| pending.due).min();
    }

    /// Sends the push that is planned for a service, if there is one.
    pub(crate) fn push_now(&mut self, key: &ServiceKey, now: Instant) {
        let Some(pending) = self.pending.remove(key) else {
            return;
        };
        let Some(service) = self.services.get(key) else {
            return;
        };
        let wanted = |id: &ConnectionId| match &pending.to {
            Recipients::All => true,
            Recipients::Only(ids) => ids.contains(id),
        };
        let recipients = service.subscribers.iter().filter(|(id, _)| wanted(id));
        let recipients: Vec<_> = recipients
            .map(|(id, clusters)| (*id, clusters.clone()))
            .collect();
        let mut written: BTreeMap<String, Arc<ServiceInfo>> = BTreeMap::new();
        for (id, clusters) in recipients {
            let info = match written.get(&clusters) {
                Some(info) => info.clone(),
                None => {
                    let info = Arc::new(self.service_info(key, &clusters, false));
                    written.insert(clusters, info.clone());
                    info
                }
            };
            let what = Pushed::Service(key.clone());
            self.push(id, what, self.times.push_timeout, now, |request_id| {
                Outbound::Service { request_id, info }
            });
        }
    }

    /// Tells a connection that a config changed.
    pub(super) fn notify_config(
        &mut self,
        id: ConnectionId,
        key: ConfigKey,
        tries: u32,
        now: Instant,
    ) {
        let Some(listen) = self
            .connections
            .get(&id)
            .and_then(|connection| connection.listens.get(&key))
        else {
            return;
        };
        let tenant = Some(listen.tenant_as_sent.clone()).filter(|tenant| !tenant.is_empty());
        let wait = self.times.push_timeout + CONFIG_RETRY_STEP * tries;
        let (data_id, group) = (key.data_id.clone(), key.group.clone());
        self.push(id, Pushed::Config { key, tries }, wait, now, |request_id| {
            Outbound::Message(Payload::new(&ConfigChangeNotifyRequest {
                data_id,
                group,
                tenant,
                request_id: Some(request_id),
                module: Some("config".into()),
                ..ConfigChangeNotifyRequest::default()
            }))
        });
    }

    /// A number for the next message to a client.
    pub(super) fn take_push_id(&mut self) -> u64 {
        let id = self.next_push_id;
        self.next_push_id += 1;
        id
    }

    fn push(
        &mut self,
        id: ConnectionId,
        what: Pushed,
        wait: Duration,
        now: Instant,
        message: impl FnOnce(String) -> Outbound,
    ) {
        let push_id = self.take_push_id();
        let fault = self.push_fault;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !fault.drop && !fault.hang {
            // A full queue loses the message as a network would: it is repeated when no acknowledgement comes.
            connection.send_push(message(push_id.to_string()), fault);
        }
        if connection.unacked.len() < limits::UNACKED {
            connection.unacked.insert(
                push_id,
                Unacked {
                    what,
                    deadline: now + wait,
                },
            );
        }
        self.sweep_by(now + wait);
    }

    /// Repeats what this connection has not acknowledged in time. False when it is to be given up.
    pub(super) fn repeat_unacked(&mut self, id: ConnectionId, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return true;
        };
        let late: Vec<u64> = connection
            .unacked
            .iter()
            .filter(|(_, it)| it.deadline <= now)
            .map(|(push_id, _)| *push_id)
            .collect();
        let late: Vec<Unacked> = late
            .iter()
            .filter_map(|push_id| connection.unacked.remove(push_id))
            .collect();
        if let Some(next) = connection
            .unacked
            .values()
            .map(|unacked| unacked.deadline)
            .min()
        {
            self.sweep_by(next);
        }
        for unacked in late {
            match unacked.what {
                Pushed::Service(key) => {
                    self.schedule_at(&key, Target::One(id), now + self.times.push_retry)
                }
                Pushed::Config { tries, .. } if tries >= CONFIG_TRIES => return false,
                Pushed::Config { key, tries } => self.notify_config(id, key, tries + 1, now),
            }
        }
        true
    }
}
