//! Where a document is played: a registry, the services behind it, five backends, and a gateway with the document.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::Value;

use crate::backend::{Backends, NAMES};
use crate::corpus::{Document, Line};
use crate::settings::{CLOSED, PORTS, setup};
use crate::support::gateway::Gateway;
use crate::support::ports::free_port;
use crate::support::world::{Registered, World};

/// `instances.yml`: the services behind `lb://` and the numbers of their backends; 0 is the port that is closed.
const SERVICES: [(&str, &[usize]); 8] = [
    ("svc-a", &[1]),
    ("svc-b", &[2]),
    ("svc-c", &[3]),
    ("multi", &[1, 2, 3]),
    ("dead", &[0]),
    ("half", &[1, 0]),
    ("SVC-UP", &[4]),
    ("svc_under", &[5]),
];

/// How long a gateway may take until it has applied its documents.
const PATIENCE: Duration = Duration::from_secs(20);

/// Registry, services and backends; they serve one document after the other.
pub(crate) struct Stage {
    world: World,
    pub(crate) backends: Backends,
    closed: SocketAddr,
    _registered: Vec<Registered>,
}

/// A gateway that has read a document.
pub(crate) struct Played {
    gateway: Gateway,
    /// One listener for each version of IP.
    listeners: Vec<SocketAddr>,
    read: usize,
}

impl Stage {
    pub(crate) async fn new() -> Stage {
        let world = World::new().await;
        let backends = Backends::start().await;
        let closed: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
        let mut registered = Vec::new();
        for (service, places) in SERVICES {
            for place in places {
                let address = match place {
                    0 => closed,
                    n => backends.addresses()[n - 1],
                };
                registered.push(world.register(service, address).await);
            }
        }
        Stage {
            world,
            backends,
            closed,
            _registered: registered,
        }
    }

    /// The ports of the recordings with those that take their place here.
    fn ports(&self) -> Vec<(u16, u16)> {
        let here = self.backends.addresses().iter().chain([&self.closed]);
        let recorded = PORTS.into_iter().chain([CLOSED]);
        recorded.zip(here.map(SocketAddr::port)).collect()
    }

    /// Starts a gateway with a document, or says why there is none.
    pub(crate) async fn play(&self, document: &Document, line: Line) -> Result<Played, String> {
        let mut setup = setup(document, line);
        for (recorded, here) in self.ports() {
            setup.document = setup
                .document
                .replace(&recorded.to_string(), &here.to_string());
        }
        let settings = format!(
            "nacos: {{ servers: ['{}'], grpc_port: {} }}\n{}",
            self.world.http(),
            self.world.grpc().port(),
            setup.settings
        );
        let files = [
            ("routes.yml", setup.document.as_str()),
            ("none.yaml", "routes: {}\n"),
        ];
        let variables: Vec<_> = setup
            .variables
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let start = Gateway::start_with(&settings, &files, &variables);
        // It fails the test where it does not start; here that is one difference among others.
        let gateway = AssertUnwindSafe(start).catch_unwind().await;
        let gateway = gateway.map_err(|_| "the gateway does not start".to_owned())?;
        let listeners = gateway.data_listeners().await;
        let played = Played {
            gateway,
            listeners,
            read: 0,
        };
        played.applied().await?;
        Ok(played)
    }

    /// A text with the ports of here in place of those of the recordings.
    pub(crate) fn as_recorded(&self, text: &str) -> String {
        let ports = self.ports().into_iter();
        ports.fold(text.to_owned(), |text, (recorded, here)| {
            text.replace(&here.to_string(), &recorded.to_string())
        })
    }
}

impl Played {
    /// Where a client of that address connects to.
    pub(crate) fn listener(&self, client: Option<IpAddr>) -> SocketAddr {
        let v6 = client.is_some_and(|client| client.is_ipv6());
        let suits = |address: &&SocketAddr| address.is_ipv6() == v6;
        let listener = self.listeners.iter().find(suits).expect("a listener");
        let loopback: IpAddr = match v6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        (loopback, listener.port()).into()
    }

    /// What of the document is refused, a line for each fault.
    pub(crate) async fn faults(&self) -> Vec<String> {
        let faults = self.document().await["faults"].clone();
        let faults = faults.as_array().cloned().unwrap_or_default();
        let errors = faults.iter().filter(|fault| fault["severity"] == "error");
        errors
            .map(|fault| format!("{}: {}", fault["path"], fault["problem"]))
            .collect()
    }

    /// The route of the next line of the access log, if one comes. Further lines are passed over.
    pub(crate) async fn route(&mut self, patience: Duration) -> Option<String> {
        let began = Instant::now();
        loop {
            let lines = self.access_lines();
            if let Some(line) = lines.get(self.read) {
                let line: Value = serde_json::from_str(line).expect("a JSON line");
                self.read = lines.len();
                return line["pailou.route"].as_str().map(str::to_owned);
            }
            if began.elapsed() > patience {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Passes over the lines that the access log has so far.
    pub(crate) fn pass_over(&mut self) {
        self.read = self.access_lines().len();
    }

    fn access_lines(&self) -> Vec<String> {
        let path: PathBuf = self.gateway.folder().join("access.log");
        let text = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Waits until the gateway has said what it makes of the document.
    async fn applied(&self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let document = self.document().await;
            match document["state"].as_str() {
                Some("applied" | "partial" | "refused") => return Ok(()),
                Some("waiting") | None if began.elapsed() < PATIENCE => {}
                _ => return Err(format!("the document is not applied: {document}")),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn document(&self) -> Value {
        let status = self.gateway.admin_json("/api/v1/status").await;
        let documents = status["documents"].as_array().cloned().unwrap_or_default();
        let named = |document: &Value| {
            document["name"]
                .as_str()
                .is_some_and(|n| n.contains("routes.yml"))
        };
        documents.into_iter().find(named).unwrap_or_default()
    }
}

/// The names of backends, each with another one in its place: for services with several, whose first choice is free.
pub(crate) fn renamed(text: &str, order: [usize; 3]) -> String {
    let mut renamed = text.to_owned();
    for (from, to) in order.into_iter().enumerate() {
        renamed = renamed.replace(NAMES[from], &format!("\u{1}{to}"));
        renamed = renamed.replace(&PORTS[from].to_string(), &format!("\u{2}{to}"));
    }
    for to in 0..3 {
        renamed = renamed.replace(&format!("\u{1}{to}"), NAMES[to]);
        renamed = renamed.replace(&format!("\u{2}{to}"), &PORTS[to].to_string());
    }
    renamed
}

#[test]
fn backends_are_renamed_all_at_once() {
    let text = "b1 127.0.0.1:19201 b2 b3 b4";
    assert_eq!(renamed(text, [1, 2, 0]), "b2 127.0.0.1:19202 b3 b1 b4");
}
