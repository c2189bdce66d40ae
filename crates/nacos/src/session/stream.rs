//! The stream of messages that the server sends by itself. Each is acknowledged first, then handed over.

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use super::{answers, live::End};
use crate::{
    core::Core,
    error::Error,
    link,
    model::Origin,
    options::ServerAddress,
    wire::{
        ClientDetectionRequest, ConfigChangeNotifyRequest, ConnectResetRequest, Message,
        NotifySubscriberRequest, Payload, Push, SetupAckRequest, WireError, code,
    },
};

/// Reads the stream until it ends or the server sends us away.
pub(super) struct Reader<'a> {
    pub(super) core: &'a Core,
    pub(super) epoch: u64,
    pub(super) outgoing: mpsc::Sender<Payload>,
    /// Set when the server acknowledged the set-up.
    pub(super) is_set_up: watch::Sender<bool>,
}

impl Reader<'_> {
    pub(super) async fn read(
        self,
        incoming: impl Future<Output = Result<Streaming<Payload>, Status>>,
    ) -> End {
        let mut stream = match incoming.await {
            Ok(stream) => stream,
            Err(status) => return lost(link::describe(&status)),
        };
        loop {
            match stream.message().await {
                Ok(Some(payload)) => {
                    if let Some(end) = self.receive(&payload) {
                        return end;
                    }
                }
                // How a server drops a connection that it thinks silent, or does not want.
                Ok(None) => return lost("the server ended the stream".into()),
                Err(status) => return lost(link::describe(&status)),
            }
        }
    }

    fn receive(&self, payload: &Payload) -> Option<End> {
        let counters = &self.core.counters;
        let result = match payload.kind() {
            NotifySubscriberRequest::KIND => {
                counters.service_pushes.increment();
                self.take(payload, Self::receive_service)
            }
            ConfigChangeNotifyRequest::KIND => {
                counters.config_notices.increment();
                self.take(payload, Self::receive_config)
            }
            ClientDetectionRequest::KIND => {
                counters.detections.increment();
                self.take(payload, |_, _: ClientDetectionRequest| None)
            }
            ConnectResetRequest::KIND => {
                counters.resets.increment();
                self.take(payload, Self::receive_reset)
            }
            SetupAckRequest::KIND => {
                self.is_set_up.send_replace(true);
                Ok(None)
            }
            // A newer server's; an acknowledgement keeps it from sending it again and again.
            _ => Ok(self.acknowledge_unread(payload)),
        };
        result.unwrap_or_else(|error| {
            counters.malformed.increment();
            tracing::warn!(kind = payload.kind(), %error, "Nacos sent something unreadable");
            self.acknowledge_unread(payload)
        })
    }

    /// Acknowledges a push, then hands it over.
    fn take<P: Push>(
        &self,
        payload: &Payload,
        hand_over: impl FnOnce(&Self, P) -> Option<End>,
    ) -> Result<Option<End>, WireError> {
        let push: P = payload.decode()?;
        if let Some(end) = self.acknowledge(Payload::new(&push.ack())) {
            return Ok(Some(end));
        }
        Ok(hand_over(self, push))
    }

    fn receive_service(&self, push: NotifySubscriberRequest) -> Option<End> {
        let name = push.service_info.as_ref().map(answers::service_name);
        match (
            name,
            answers::service_state(push.service_info, Origin::Push, self.epoch),
        ) {
            (Some(name), Ok(state)) => {
                tracing::debug!(service = %name, instances = state.instances.len(), "Nacos pushed a service");
                self.core.desired.push_service(&name, state);
            }
            (name, result) => {
                self.core.counters.malformed.increment();
                let error = result.err().map(|error| error.to_string());
                let service = name.map(|name| name.to_string());
                tracing::warn!(
                    service,
                    error,
                    "Nacos pushed something that is not a service's state"
                );
            }
        }
        None
    }

    fn receive_config(&self, notice: ConfigChangeNotifyRequest) -> Option<End> {
        let ConfigChangeNotifyRequest {
            data_id,
            group,
            tenant,
            ..
        } = notice;
        if let Some(name) = self.core.config_of(tenant.as_deref(), &group, &data_id) {
            tracing::debug!(config = %name, "Nacos says that a config changed");
            self.core.desired.notice_config(&name);
        }
        None
    }

    fn receive_reset(&self, reset: ConnectResetRequest) -> Option<End> {
        let port = reset.server_port.and_then(|port| port.0.parse().ok());
        let hint = reset.server_ip.zip(port).map(|(host, port)| ServerAddress {
            host,
            port,
            is_https: false,
        });
        Some(End::Reset(hint))
    }

    /// Acknowledges a message of which only the number could be read.
    fn acknowledge_unread(&self, payload: &Payload) -> Option<End> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Numbered {
            request_id: String,
        }
        let request_id = serde_json::from_slice(payload.json())
            .map(|numbered: Numbered| numbered.request_id)
            .ok()?;
        let kind = format!("{}Response", payload.kind().strip_suffix("Request")?);
        let json = serde_json::json!({ "resultCode": code::SUCCESS, "requestId": request_id, "success": true });
        self.acknowledge(Payload::raw(kind, json.to_string(), Default::default()))
    }

    fn acknowledge(&self, acknowledgement: Payload) -> Option<End> {
        // The queue is long. A server that has not read it for so long is gone.
        let problem = "the server does not read our acknowledgements";
        self.outgoing
            .try_send(acknowledgement)
            .err()
            .map(|_| lost(problem.into()))
    }
}

fn lost(problem: String) -> End {
    End::Lost(Error::Lost(problem))
}
