//! The stream of a connection: set-up and acknowledgements come in, pushes go out.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use pailou_nacos::wire::{ConnectionSetupRequest, Message, Payload, SetupAckRequest};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::connection::Connection;
use crate::state::{Outbound, Peer, limits};

/// What a real 3.1.0 server says of itself; only what this one can do is true.
const ABILITIES: [(&str, bool); 5] = [
    ("supportPersistentInstanceByGrpc", true),
    ("agent", false),
    ("fuzzyWatch", false),
    ("lock", false),
    ("mcp", false),
];

/// Reads the client's half while its own half is read; no task of its own.
pub(super) struct ServerStream {
    connection: Arc<Connection>,
    inbound: Streaming<Payload>,
    outbound: mpsc::Receiver<Outbound>,
    /// Handed to the state by the set-up.
    peer: Option<Peer>,
}

impl ServerStream {
    pub(super) fn new(
        connection: Arc<Connection>,
        inbound: Streaming<Payload>,
        reset: Option<oneshot::Sender<()>>,
    ) -> Self {
        let (sender, outbound) = mpsc::channel(limits::QUEUE);
        let name = connection.name().to_owned();
        let peer = reset.map(|reset| Peer {
            name,
            outbound: sender,
            reset,
        });
        Self {
            connection,
            inbound,
            outbound,
            peer,
        }
    }

    /// False ends the stream.
    fn receive(&mut self, payload: &Payload) -> bool {
        if payload.kind() == ConnectionSetupRequest::KIND {
            return self.set_up(payload);
        }
        // Everything else that clients send here acknowledges something.
        let acknowledged =
            serde_json::from_slice::<Acknowledgement>(payload.json()).unwrap_or_default();
        let id = self.connection.id;
        self.connection
            .core
            .with(|state, now| state.acknowledge(id, &acknowledged.request_id, now));
        true
    }

    fn set_up(&mut self, payload: &Payload) -> bool {
        let Ok(setup) = payload.decode::<ConnectionSetupRequest>() else {
            return false;
        };
        let Some(peer) = self.peer.take() else {
            return true;
        };
        let (id, sender) = (self.connection.id, peer.outbound.clone());
        if self
            .connection
            .core
            .with(|state, now| state.connect(id, peer, now))
            .is_err()
        {
            // A server that is over its limit closes the stream and says nothing.
            return false;
        }
        if setup.ability_table.is_some() {
            let ability_table: BTreeMap<_, _> =
                ABILITIES.map(|(name, able)| (name.to_owned(), able)).into();
            let ack = SetupAckRequest {
                ability_table,
                module: Some("internal".into()),
                ..Default::default()
            };
            // The queue is empty: this is the stream's first message.
            let _ = sender.try_send(Outbound::Message(Payload::new(&ack)));
        }
        true
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Acknowledgement {
    request_id: String,
}

impl Stream for ServerStream {
    type Item = Result<Payload, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match Pin::new(&mut self.inbound).poll_next(context) {
                Poll::Ready(Some(Ok(payload))) => {
                    if !self.receive(&payload) {
                        return Poll::Ready(None);
                    }
                }
                // The client has closed its half; the server answers in kind.
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        self.outbound
            .poll_recv(context)
            .map(|message| message.map(|message| Ok(message.into_payload())))
    }
}
