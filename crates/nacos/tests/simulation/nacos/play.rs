//! What the operator does, and what goes wrong.

use std::time::Duration;

use pailou_nacos::wire::{
    ClientDetectionRequest, ConnectResetRequest, HostInfo, NotifySubscriberRequest, ServiceInfo,
    Text,
};
use tokio::time::{Instant, sleep_until};

use super::{Connection, Nacos, Service, State};
use crate::{pipe::Pipe, schedule::Step};

impl Nacos {
    /// What the operator does, and what goes wrong.
    pub(crate) fn play(&self, step: &Step) {
        match *step {
            Step::Close(server) => self.drop_all(server),
            Step::Cut(server) => {
                self.pipes(server).iter().for_each(Pipe::reset);
                self.drop_all(server);
            }
            Step::Freeze(server) => self.pipes(server).iter().for_each(Pipe::freeze),
            Step::EndStreams(server) => self.forget(server, true),
            Step::Forget(server) => self.forget(server, false),
            Step::Restart {
                server,
                down,
                starting,
                trickle,
            } => self.restart(server, down, starting, trickle),
            Step::SendAway(server, hint) => self.send(server, |id| ConnectResetRequest {
                server_ip: hint.map(|hint| format!("s{hint}")),
                server_port: hint.map(|_| Text("8848".into())),
                request_id: Some(id),
                ..Default::default()
            }),
            Step::Detect(server) => self.send(server, |id| ClientDetectionRequest {
                request_id: Some(id),
                ..Default::default()
            }),
            Step::Garbage(server) => self.send(server, |id| NotifySubscriberRequest {
                service_info: Some(ServiceInfo {
                    name: "orders".into(),
                    group_name: "DEFAULT_GROUP".into(),
                    ..Default::default()
                }),
                request_id: Some(id),
                ..Default::default()
            }),
            ref window_or_edit => {
                let changed = self.state().apply(window_or_edit);
                if let Some(name) = changed {
                    self.changed(&name);
                }
            }
        }
    }

    fn pipes(&self, server: usize) -> Vec<Pipe> {
        let state = self.state();
        let of_server = |c: &&Connection| c.server == server;
        (state.connections.values().filter(of_server))
            .map(|connection| connection.pipe.clone())
            .collect()
    }

    fn ids(&self, server: usize) -> Vec<u64> {
        let state = self.state();
        let connections = state.connections.iter();
        connections
            .filter(|(_, c)| c.server == server)
            .map(|(id, _)| *id)
            .collect()
    }

    fn drop_all(&self, server: usize) {
        self.ids(server)
            .into_iter()
            .for_each(|id| self.drop_connection(id));
    }

    /// A connection is over, and with it what it registered.
    pub(crate) fn drop_connection(&self, id: u64) {
        let dropped = self.state().connections.remove(&id);
        if let Some(connection) = dropped {
            self.state().note(|| format!("connection {id} is over"));
            connection.own.keys().for_each(|name| self.changed(name));
            if let Some(task) = connection.task {
                task.abort();
            }
        }
    }

    fn forget(&self, server: usize, ends_stream: bool) {
        for id in self.ids(server) {
            let mut state = self.state();
            let Some(connection) = state.connections.get_mut(&id) else {
                continue;
            };
            connection.is_forgotten = true;
            connection.subscribed.clear();
            connection.listening.clear();
            if ends_stream {
                connection.stream = None;
            }
            let own = std::mem::take(&mut connection.own);
            drop(state);
            own.keys().for_each(|name| self.changed(name));
        }
    }

    fn restart(&self, server: usize, down: Duration, starting: Duration, trickle: Duration) {
        self.pipes(server).iter().for_each(Pipe::reset);
        self.drop_all(server);
        let mut state = self.state();
        let state = &mut *state;
        let now = Instant::now();
        state.servers[server].down_until = now + down;
        state.servers[server].starting_until = now + down + starting;
        for (name, service) in &state.services {
            for port in service.hosts.keys().copied() {
                state.servers[server].missing.insert((name.clone(), port));
                let back = now + down + starting + trickle.mul_f64(state.operator.f64());
                let (nacos, name) = (self.clone(), name.clone());
                tokio::spawn(async move {
                    sleep_until(back).await;
                    let host = (name.clone(), port);
                    let is_back = nacos.state().servers[server].missing.remove(&host);
                    if is_back {
                        nacos.changed(&name);
                    }
                });
            }
        }
    }
}

impl State {
    /// Makes an edit and says what it changed, or opens a window of trouble.
    fn apply(&mut self, step: &Step) -> Option<String> {
        let now = Instant::now();
        match *step {
            Step::Add(name) => {
                let port = self.next_port;
                self.next_port += 1;
                let host = HostInfo {
                    ip: format!("10.0.0.{}", self.operator.u8(1..5)),
                    port,
                    ..HostInfo::default()
                };
                self.service(name).hosts.insert(port, host);
            }
            Step::Remove(name) => {
                let port = self.any(name)?;
                self.service(name).hosts.remove(&port);
            }
            Step::RemoveAll(name) => self.service(name).hosts.clear(),
            Step::Weight(name) => {
                let (port, weight) = (self.any(name)?, f64::from(self.operator.u32(..1000)) / 10.0);
                self.edit(name, port, |host| host.weight = weight);
            }
            Step::Enable(name) => {
                let port = self.any(name)?;
                self.edit(name, port, |host| host.enabled = !host.enabled);
            }
            Step::Health(name) => {
                let port = self.any(name)?;
                self.edit(name, port, |host| host.healthy = !host.healthy);
            }
            Step::Protect(name) => {
                let service = self.service(name);
                service.is_protected = !service.is_protected;
            }
            Step::Publish(name) => {
                self.next_text += 1;
                let content = format!("content: {}", self.next_text);
                self.configs.insert(name.to_owned(), content);
            }
            Step::Withdraw(name) => {
                self.configs.remove(name)?;
            }
            Step::Hang { server, lasts } => self.servers[server].hangs_until = now + lasts,
            Step::Codes {
                server,
                code,
                percent,
                lasts,
            } => self.servers[server].codes = (code, percent, now + lasts),
            Step::Slow {
                server,
                most,
                lasts,
            } => self.servers[server].slow = (most, now + lasts),
            Step::Pushes {
                server,
                lost,
                twice,
                late,
                lasts,
            } => self.servers[server].pushes = (lost, twice, late, now + lasts),
            Step::ExpireTokens => self.tokens.clear(),
            Step::RefuseLogins { lasts } => self.logins_refused_until = now + lasts,
            _ => {}
        }
        step.subject().map(str::to_owned)
    }

    fn service(&mut self, name: &str) -> &mut Service {
        self.services.entry(name.to_owned()).or_default()
    }

    /// Any host of a service.
    fn any(&mut self, name: &str) -> Option<u16> {
        let ports: Vec<u16> = self.services.get(name)?.hosts.keys().copied().collect();
        (!ports.is_empty()).then(|| ports[self.operator.usize(..ports.len())])
    }

    fn edit(&mut self, name: &str, port: u16, edit: impl FnOnce(&mut HostInfo)) {
        if let Some(host) = self.service(name).hosts.get_mut(&port) {
            edit(host);
        }
    }
}

impl Step {
    /// The service or config that an edit changes.
    fn subject(&self) -> Option<&'static str> {
        match *self {
            Self::Add(name)
            | Self::Remove(name)
            | Self::RemoveAll(name)
            | Self::Weight(name)
            | Self::Enable(name)
            | Self::Health(name)
            | Self::Protect(name)
            | Self::Publish(name)
            | Self::Withdraw(name) => Some(name),
            _ => None,
        }
    }
}
