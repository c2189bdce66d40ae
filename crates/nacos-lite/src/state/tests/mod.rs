//! The machine under a clock that the test moves.

mod configs;
mod connections;
mod naming;
mod pushes;

use std::time::Duration;

use pailou_nacos::wire::Payload;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::Instance;

struct World {
    state: State,
    start: Instant,
    now: Instant,
}

struct Client {
    id: ConnectionId,
    stream: mpsc::Receiver<Outbound>,
    reset: oneshot::Receiver<()>,
}

/// A message, and the milliseconds since the world began.
type Sent = (u128, Value);

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            state: State::new(Times::from(&Options::default())),
            start: now,
            now,
        }
    }

    fn connect(&mut self, id: u64) -> Client {
        let id = ConnectionId(id);
        let (outbound, stream) = mpsc::channel(limits::QUEUE);
        let (reset_sender, reset) = oneshot::channel();
        let peer = Peer {
            name: id.0.to_string(),
            outbound,
            reset: reset_sender,
        };
        self.state
            .connect(id, peer, self.now)
            .expect("there is room");
        Client { id, stream, reset }
    }

    /// Lets time pass, with everything that happens meanwhile, and returns what the client was sent.
    fn pass(&mut self, time: Duration, client: &mut Client) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some(due) = self.state.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.state.run_due(self.now);
            let at = self.now.duration_since(self.start).as_millis();
            sent.extend(client.unread().into_iter().map(|message| (at, message)));
        }
        self.now = end;
        sent
    }

    /// The same for a client that acknowledges everything at once.
    fn pass_acknowledged(&mut self, time: Duration, client: &mut Client) -> Vec<Sent> {
        let (end, mut sent) = (self.now + time, Vec::new());
        while self.now < end {
            let step = Duration::from_millis(10).min(end.duration_since(self.now));
            for (at, message) in self.pass(step, client) {
                let id = message["requestId"].as_str().unwrap_or_default().to_owned();
                self.state.acknowledge(client.id, &id, self.now);
                sent.push((at, message));
            }
        }
        sent
    }

    fn register(&mut self, owner: &Owner, service: &str, instance: Instance) {
        let key = ServiceKey::from(service);
        self.state
            .register(owner.clone(), &key, vec![instance], self.now)
            .expect("there is room");
    }

    fn subscribe(&mut self, client: &Client, service: &str) {
        let key = ServiceKey::from(service);
        self.state
            .subscribe(client.id, &key, "", self.now)
            .expect("there is room");
    }

    fn publish(&mut self, data_id: &str, content: &str) -> Result<(), Refusal> {
        let publish = Publish {
            content,
            ..Publish::default()
        };
        self.state
            .publish(&ConfigKey::from(data_id), &publish, self.now)
    }

    fn ports(&self, service: &str) -> Vec<u16> {
        self.state
            .instances(&ServiceKey::from(service))
            .iter()
            .map(|instance| instance.port)
            .collect()
    }

    fn only(&self, service: &str) -> Instance {
        let instances = self.state.instances(&ServiceKey::from(service));
        let [instance] = &instances[..] else {
            panic!("not one instance: {instances:?}")
        };
        instance.clone()
    }
}

impl Client {
    fn unread(&mut self) -> Vec<Value> {
        let body = |message: Outbound| {
            let payload: Payload = message.into_payload();
            let mut body: Value =
                serde_json::from_slice(payload.json()).expect("messages are JSON");
            body["kind"] = json!(payload.kind());
            body
        };
        std::iter::from_fn(|| self.stream.try_recv().ok())
            .map(body)
            .collect()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn beats(port: u16) -> Owner {
    Owner::Beats {
        ip: "10.0.0.1".into(),
        port,
    }
}

fn instance(port: u16) -> Instance {
    Instance::new("10.0.0.1", port)
}

fn hosts(message: &Value) -> Vec<u64> {
    let hosts = message["serviceInfo"]["hosts"]
        .as_array()
        .expect("a push has hosts");
    hosts
        .iter()
        .map(|host| host["port"].as_u64().expect("a host has a port"))
        .collect()
}

fn times(sent: &[Sent]) -> Vec<u128> {
    sent.iter().map(|(at, _)| *at).collect()
}
