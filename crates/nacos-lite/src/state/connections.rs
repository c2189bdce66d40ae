//! Connections that have set themselves up, and the silence that ends them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use pailou_nacos::wire::{
    ClientDetectionRequest, ConfigChangeNotifyRequest, ConnectResetRequest, Message,
    NotifySubscriberRequest, Payload, Text,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Owner, Refusal, State,
    configs::Listened,
    limits,
    pushes::{Outbound, Unacked},
};
use crate::{ConfigKey, ServiceKey};

/// One TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// The server's end of a connection's stream.
pub(crate) struct Peer {
    /// The name by which the client knows the connection.
    pub(crate) name: String,
    /// What is sent here goes to the client; closing it ends the stream cleanly.
    pub(crate) outbound: mpsc::Sender<Outbound>,
    /// Sending here resets the stream.
    pub(crate) reset: oneshot::Sender<()>,
}

pub(super) struct Connection {
    peer: Peer,
    last_active: Instant,
    /// Until when the client may answer the question whether it is there.
    detection: Option<Instant>,
    pub(super) publishes: BTreeSet<ServiceKey>,
    pub(super) subscriptions: BTreeSet<ServiceKey>,
    pub(super) listens: BTreeMap<ConfigKey, Listened>,
    pub(super) unacked: BTreeMap<u64, Unacked>,
    /// A push that waits to be overtaken.
    pub(super) held: Option<Outbound>,
}

impl Connection {
    /// Queues a message; it is lost when the queue is full or the stream is gone.
    pub(super) fn send(&self, message: Outbound) {
        if let Err(error) = self.peer.outbound.try_send(message) {
            tracing::debug!(connection = %self.peer.name, %error, "a message to a client is lost");
        }
    }
}

impl State {
    /// Makes a connection known. A second stream of a known connection changes nothing: pushes stay on the first.
    pub(crate) fn connect(
        &mut self,
        id: ConnectionId,
        peer: Peer,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.connections.contains_key(&id) {
            return Ok(());
        }
        if self.connections.len() >= limits::CONNECTIONS {
            return Err(Refusal::Full("too many connections"));
        }
        let connection = Connection {
            peer,
            last_active: now,
            detection: None,
            publishes: BTreeSet::new(),
            subscriptions: BTreeSet::new(),
            listens: BTreeMap::new(),
            unacked: BTreeMap::new(),
            held: None,
        };
        self.connections.insert(id, connection);
        self.sweep_by(now + self.times.detect_after);
        Ok(())
    }

    /// Notes that the client is alive; false when the connection is not known (any more).
    pub(crate) fn touch(&mut self, id: ConnectionId, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        connection.last_active = now;
        connection.detection = None;
        true
    }

    /// Takes an acknowledgement.
    pub(crate) fn acknowledge(&mut self, id: ConnectionId, request_id: &str, now: Instant) {
        self.touch(id, now);
        if let (Some(connection), Ok(push_id)) = (self.connections.get_mut(&id), request_id.parse())
        {
            connection.unacked.remove(&push_id);
        }
    }

    /// Forgets a connection with all its instances, subscriptions and listens. Its stream ends cleanly.
    pub(crate) fn disconnect(&mut self, id: ConnectionId, now: Instant) {
        self.drop_connection(id, now);
    }

    /// Forgets all connections and resets their streams; the TCP connections stay.
    pub(crate) fn reset_streams(&mut self, now: Instant) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            if let Some(connection) = self.drop_connection(id, now) {
                // The other side is gone when the client has closed the stream already.
                let _ = connection.peer.reset.send(());
            }
        }
    }

    /// Forgets all connections; their streams end cleanly.
    pub(super) fn drop_connections(&mut self, now: Instant) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.drop_connection(id, now);
        }
    }

    /// Sends the pushes that wait to be overtaken.
    pub(super) fn send_held(&mut self) {
        for connection in self.connections.values_mut() {
            if let Some(held) = connection.held.take() {
                connection.send(held);
            }
        }
    }

    /// Sends every client what no server should.
    pub(crate) fn send_garbage(&mut self) {
        let raw = |kind: &str, json: &'static str| Payload::raw(kind, json, Default::default());
        let nameless = Payload {
            metadata: None,
            body: None,
        };
        for connection in self.connections.values() {
            for payload in [
                raw(NotifySubscriberRequest::KIND, "\u{0}{not json"),
                raw(NotifySubscriberRequest::KIND, "[]"),
                raw(NotifySubscriberRequest::KIND, "{}"),
                raw(
                    NotifySubscriberRequest::KIND,
                    r#"{"requestId":"-1","serviceInfo":{"name":null,"hosts":7}}"#,
                ),
                raw(
                    ConfigChangeNotifyRequest::KIND,
                    r#"{"requestId":{},"dataId":[],"group":null}"#,
                ),
                raw("NoSuchRequest", "{}"),
                raw("", ""),
                nameless.clone(),
            ] {
                connection.send(Outbound::Message(payload));
            }
        }
    }

    /// Asks all clients to connect anew, elsewhere if told where.
    pub(crate) fn request_moves(&mut self, to: Option<SocketAddr>) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            let request_id = self.take_push_id().to_string();
            let Some(connection) = self.connections.get(&id) else {
                continue;
            };
            connection.send(Outbound::Message(Payload::new(&ConnectResetRequest {
                server_ip: to.map(|to| to.ip().to_string()),
                server_port: to.map(|to| Text(to.port().to_string())),
                connection_id: Some(connection.peer.name.clone()),
                request_id: Some(request_id),
                module: Some("internal".into()),
                ..ConnectResetRequest::default()
            })));
        }
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Repeats pushes, asks silent clients whether they are there, and drops those that did not answer.
    pub(super) fn check_connections(&mut self, now: Instant) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            if !self.repeat_unacked(id, now) || !self.is_alive(id, now) {
                self.drop_connection(id, now);
            }
        }
    }

    fn is_alive(&mut self, id: ConnectionId, now: Instant) -> bool {
        let Some(connection) = self.connections.get(&id) else {
            return true;
        };
        let silent_at = connection.last_active + self.times.detect_after;
        let deadline = match connection.detection {
            Some(deadline) if deadline <= now => return false,
            Some(deadline) => deadline,
            None if silent_at > now => silent_at,
            None if self.push_fault.hang => now + self.times.detect_timeout,
            None => {
                let deadline = now + self.times.detect_timeout;
                self.detect(id, deadline);
                deadline
            }
        };
        self.sweep_by(deadline);
        true
    }

    fn detect(&mut self, id: ConnectionId, deadline: Instant) {
        let request_id = self.take_push_id().to_string();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.detection = Some(deadline);
        connection.send(Outbound::Message(Payload::new(&ClientDetectionRequest {
            request_id: Some(request_id),
            module: Some("internal".into()),
            ..ClientDetectionRequest::default()
        })));
    }

    fn drop_connection(&mut self, id: ConnectionId, now: Instant) -> Option<Connection> {
        let mut connection = self.connections.remove(&id)?;
        for key in std::mem::take(&mut connection.subscriptions) {
            self.unsubscribe(id, &key, now);
        }
        for key in std::mem::take(&mut connection.publishes) {
            self.deregister(&Owner::Connection(id), &key, now);
        }
        Some(connection)
    }
}
