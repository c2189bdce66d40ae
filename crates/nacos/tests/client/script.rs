//! A scripted Nacos server over in-memory pipes: it keeps services and configs, answers like a real server unless told
//! otherwise, pushes when told to, and writes down what it was asked.

mod serve;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pailou_nacos::{
    ByteStream, Client, ClientOptions, Connecting, Connector, Credentials,
    wire::{
        ClientDetectionRequest, ConfigChangeNotifyRequest, ConnectResetRequest, HostInfo, Message,
        NotifySubscriberRequest, Payload, ServiceInfo, Text,
    },
};
use serde_json::Value;
use tokio::{sync::mpsc, task::AbortHandle, time::timeout};
use tonic::Status;

/// What a server does with the next request of a type, in place of its usual answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A failure of the operation's own type.
    Fail(i32),
    /// An `ErrorResponse`.
    Error(i32),
    /// Nothing, ever.
    Nothing,
    /// The usual answer, later.
    Late(Duration),
    /// These bytes, of this type.
    Raw(&'static str, &'static str),
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) kind: String,
    pub(crate) body: Value,
    pub(crate) token: Option<String>,
}

/// One server of a [`Net`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) is_down: bool,
    /// Takes bytes and says nothing: a machine behind a cut cable.
    pub(crate) is_silent: bool,
    /// Whether it says that it acknowledges set-ups, and does so.
    pub(crate) negotiates: bool,
    /// How often it does not know the connection yet.
    pub(crate) unknown_for: u32,
    pub(crate) services: BTreeMap<String, Vec<HostInfo>>,
    pub(crate) is_protected: bool,
    pub(crate) configs: BTreeMap<String, String>,
    pub(crate) answers: HashMap<String, VecDeque<Answer>>,
    /// The tokens that are let in; all are when empty.
    pub(crate) tokens: BTreeSet<String>,
    /// Answers to the next logins: status and body. Without, a login gives the next token.
    pub(crate) logins: VecDeque<(u16, String)>,
    pub(crate) token_ttl: u64,
    pub(crate) seen: Vec<Seen>,
    pub(crate) login_paths: Vec<String>,
    pub(crate) login_bodies: Vec<String>,
    pub(crate) acks: Vec<String>,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    issued: u64,
}

#[derive(Debug)]
struct Connection {
    pushes: Option<mpsc::Sender<Result<Payload, Status>>>,
    task: Option<AbortHandle>,
    is_set_up: bool,
    subscribed: BTreeSet<String>,
    listening: BTreeSet<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            is_down: false,
            is_silent: false,
            negotiates: true,
            unknown_for: 0,
            services: BTreeMap::new(),
            is_protected: false,
            configs: BTreeMap::new(),
            answers: HashMap::new(),
            tokens: BTreeSet::new(),
            logins: VecDeque::new(),
            token_ttl: 18000,
            seen: Vec::new(),
            login_paths: Vec::new(),
            login_bodies: Vec::new(),
            acks: Vec::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
            issued: 0,
        }
    }
}

impl Server {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The hosts of a service from now on; nobody is told.
    pub(crate) fn put(&self, service: &str, ips: &[&str]) {
        let hosts = ips.iter().map(|ip| HostInfo {
            ip: (*ip).to_owned(),
            port: 80,
            ..HostInfo::default()
        });
        self.state()
            .services
            .insert(service.to_owned(), hosts.collect());
    }

    /// Tells the subscribers what a service's hosts are now.
    pub(crate) fn push(&self, service: &str) {
        let state = self.state();
        let push = NotifySubscriberRequest {
            service_info: Some(state.service_info(service)),
            request_id: Some("1".into()),
            ..Default::default()
        };
        let connections = state.connections.values();
        connections
            .filter(|c| c.subscribed.contains(service))
            .for_each(|c| c.push(Payload::new(&push)));
    }

    /// Sends something to every connection.
    pub(crate) fn send(&self, payload: Payload) {
        self.state()
            .connections
            .values()
            .for_each(|connection| connection.push(payload.clone()));
    }

    /// The content of a config from now on; nobody is told.
    pub(crate) fn write(&self, data_id: &str, content: Option<&str>) {
        match content {
            Some(content) => self
                .state()
                .configs
                .insert(data_id.to_owned(), content.to_owned()),
            None => self.state().configs.remove(data_id),
        };
    }

    /// Tells the listeners that a config changed.
    pub(crate) fn notify(&self, data_id: &str) {
        let notice = ConfigChangeNotifyRequest {
            data_id: data_id.to_owned(),
            group: "DEFAULT_GROUP".into(),
            request_id: Some("2".into()),
            ..Default::default()
        };
        let state = self.state();
        let connections = state.connections.values();
        connections
            .filter(|c| c.listening.contains(data_id))
            .for_each(|c| c.push(Payload::new(&notice)));
    }

    pub(crate) fn detect(&self) {
        self.send(Payload::new(&ClientDetectionRequest {
            request_id: Some("3".into()),
            ..Default::default()
        }));
    }

    pub(crate) fn reset(&self, hint: Option<(&str, &str)>) {
        self.send(Payload::new(&ConnectResetRequest {
            server_ip: hint.map(|hint| hint.0.to_owned()),
            server_port: hint.map(|hint| Text(hint.1.to_owned())),
            request_id: Some("4".into()),
            ..Default::default()
        }));
    }

    /// Ends every stream cleanly, as real servers drop who is silent; the connections stay.
    pub(crate) fn end_streams(&self) {
        self.state()
            .connections
            .values_mut()
            .for_each(|connection| connection.pushes = None);
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        let connections = std::mem::take(&mut self.state().connections);
        connections
            .values()
            .filter_map(|connection| connection.task.as_ref())
            .for_each(AbortHandle::abort);
    }

    /// Stops, as a killed process: nothing is kept but configs.
    pub(crate) fn stop(&self) {
        self.state().is_down = true;
        self.state().services.clear();
        self.cut();
    }

    pub(crate) fn start(&self) {
        self.state().is_down = false;
    }

    /// What to do with the next request of a type.
    pub(crate) fn answer(&self, kind: &str, answer: Answer) {
        self.state()
            .answers
            .entry(kind.to_owned())
            .or_default()
            .push_back(answer);
    }

    /// The requests of a type, in order of arrival.
    pub(crate) fn seen(&self, kind: &str) -> Vec<Seen> {
        self.state()
            .seen
            .iter()
            .filter(|seen| seen.kind == kind)
            .cloned()
            .collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state()
            .connections
            .values()
            .filter(|connection| connection.is_set_up)
            .count()
    }
}

impl State {
    fn service_info(&self, service: &str) -> ServiceInfo {
        let (group, name) = service
            .split_once("@@")
            .unwrap_or(("DEFAULT_GROUP", service));
        ServiceInfo {
            name: name.to_owned(),
            group_name: group.to_owned(),
            hosts: Some(self.services.get(service).cloned().unwrap_or_default()),
            reach_protection_threshold: self.is_protected,
            ..Default::default()
        }
    }
}

impl Connection {
    fn push(&self, payload: Payload) {
        if let Some(pushes) = &self.pushes {
            pushes.try_send(Ok(payload)).expect("room for the push");
        }
    }
}

/// Servers by host name; every port of a host is its server's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Net {
    servers: Arc<BTreeMap<String, Server>>,
    /// The hosts and ports that were connected to.
    pub(crate) dialled: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Net {
    pub(crate) fn new(names: &[&str]) -> Self {
        let servers = names
            .iter()
            .map(|name| ((*name).to_owned(), Server::default()))
            .collect();
        Self {
            servers: Arc::new(servers),
            dialled: Arc::default(),
        }
    }

    pub(crate) fn server(&self, name: &str) -> &Server {
        &self.servers[name]
    }

    /// Options for all servers.
    pub(crate) fn options(&self) -> ClientOptions {
        let names: Vec<&str> = self.servers.keys().map(String::as_str).collect();
        ClientOptions::new(&names.join(",")).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect_over(self.options(), self.clone())
    }

    pub(crate) fn client_with_login(&self) -> Client {
        let credentials = Some(Credentials::new("nacos", "hunter2"));
        Client::connect_over(
            ClientOptions {
                credentials,
                ..self.options()
            },
            self.clone(),
        )
    }
}

impl Connector for Net {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            self.dialled.lock().unwrap().push((host.to_owned(), port));
            let server = &self.servers[host];
            if server.state().is_down {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            if port == 8848 {
                server.serve_http(theirs);
            } else {
                server.serve_grpc(theirs);
            }
            Ok(Box::new(ours) as Box<dyn ByteStream>)
        })
    }
}

/// One server and a client of it, connected.
pub(crate) async fn connected() -> (Server, Client) {
    let net = Net::new(&["one"]);
    let client = net.client();
    until_connected(&client, 1).await;
    (net.server("one").clone(), client)
}

/// Waits until the client's n-th connection is up.
pub(crate) async fn until_connected(client: &Client, epoch: u64) {
    let mut states = client.states();
    let up = states.wait_for(|state| state.connected && state.epoch >= epoch);
    timeout(Duration::from_secs(60), up)
        .await
        .expect("connected")
        .unwrap();
}

/// Waits until something is so, in the time of the paused clock.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(120), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// The kind of a message type.
pub(crate) fn kind<M: Message>() -> &'static str {
    M::KIND
}
