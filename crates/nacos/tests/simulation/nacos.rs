//! A model of a Nacos: what is so, what each server knows of it, and what it told whom.

mod play;
mod tell;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pailou_nacos::{
    Instance as Host,
    wire::{HostInfo, Payload, ServiceInfo},
};
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};
use tonic::Status;

use crate::{pipe::Pipe, schedule::Schedule};

#[derive(Clone)]
pub(crate) struct Nacos(Arc<Mutex<State>>);

pub(crate) struct State {
    pub(crate) schedule: Schedule,
    pub(crate) dice: fastrand::Rng,
    operator: fastrand::Rng,
    begun: Instant,
    services: BTreeMap<String, Service>,
    pub(crate) configs: BTreeMap<String, String>,
    servers: Vec<Server>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    /// What each connection was ever told, also of those that are over.
    pub(crate) dials: Vec<Dial>,
    /// What was ever said of configs.
    pub(crate) said_configs: Vec<SaidConfig>,
    pub(crate) requests: usize,
    /// Grows with each state that is told.
    stamp: u64,
    tokens: BTreeMap<String, Instant>,
    issued_tokens: u64,
    logins_refused_until: Instant,
    next_port: u16,
    next_text: u64,
    next_push: u64,
    pub(crate) problems: Vec<String>,
    pub(crate) trace: Option<Vec<String>>,
}

#[derive(Default)]
struct Service {
    hosts: BTreeMap<u16, HostInfo>,
    is_protected: bool,
}

struct Server {
    down_until: Instant,
    starting_until: Instant,
    hangs_until: Instant,
    codes: (i32, u32, Instant),
    slow: (Duration, Instant),
    pushes: (u32, u32, u32, Instant),
    /// What it does not know again yet.
    missing: BTreeSet<(String, u16)>,
}

pub(crate) struct Connection {
    pub(crate) server: usize,
    pub(crate) pipe: Pipe,
    pub(crate) task: Option<AbortHandle>,
    pub(crate) stream: Option<mpsc::Sender<Result<Payload, Status>>>,
    pub(crate) is_known: bool,
    pub(crate) is_forgotten: bool,
    pub(crate) subscribed: BTreeSet<String>,
    pub(crate) listening: BTreeSet<String>,
    pub(crate) own: BTreeMap<String, HostInfo>,
    pub(crate) latest_request: Instant,
    unacknowledged: BTreeMap<String, Instant>,
    sent_away: Option<Instant>,
    /// Services and configs that a push is being prepared for.
    pending: BTreeSet<String>,
}

/// One connection as the client counts them.
#[derive(Default)]
pub(crate) struct Dial {
    /// The number that the client gives it if it comes to be.
    pub(crate) epoch: u64,
    pub(crate) said: Vec<Said>,
}

/// A state that was sent.
pub(crate) struct Said {
    pub(crate) service: String,
    pub(crate) how: How,
    /// When it was true.
    pub(crate) stamp: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) is_protected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Subscription,
    Query,
    Push,
}

pub(crate) struct SaidConfig {
    pub(crate) name: String,
    pub(crate) content: Option<String>,
    pub(crate) stamp: u64,
}

/// How a request is to be answered.
pub(crate) enum Fate {
    Usual { pause: Duration },
    Code(i32),
    Later { until: Instant },
}

impl Nacos {
    pub(crate) fn new(schedule: Schedule, with_trace: bool) -> Self {
        let now = Instant::now();
        let server = || Server {
            down_until: now,
            starting_until: now,
            hangs_until: now,
            codes: (0, 0, now),
            slow: (Duration::ZERO, now),
            pushes: (0, 0, 0, now),
            missing: BTreeSet::new(),
        };
        Self(Arc::new(Mutex::new(State {
            dice: fastrand::Rng::with_seed(schedule.seed.wrapping_add(1 << 40)),
            operator: fastrand::Rng::with_seed(schedule.seed.wrapping_add(1 << 41)),
            begun: now,
            services: BTreeMap::new(),
            configs: BTreeMap::new(),
            servers: (0..schedule.servers).map(|_| server()).collect(),
            connections: BTreeMap::new(),
            dials: Vec::new(),
            said_configs: Vec::new(),
            requests: 0,
            stamp: 0,
            tokens: BTreeMap::new(),
            issued_tokens: 0,
            logins_refused_until: now,
            next_port: 1000,
            next_text: 0,
            next_push: 0,
            problems: Vec::new(),
            trace: with_trace.then(Vec::new),
            schedule,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Connection {
    pub(crate) fn new(server: usize, pipe: Pipe) -> Self {
        Self {
            server,
            pipe,
            task: None,
            stream: None,
            is_known: false,
            is_forgotten: false,
            subscribed: BTreeSet::new(),
            listening: BTreeSet::new(),
            own: BTreeMap::new(),
            latest_request: Instant::now(),
            unacknowledged: BTreeMap::new(),
            sent_away: None,
            pending: BTreeSet::new(),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.subscribed.contains(name) || self.listening.contains(name)
    }

    pub(crate) fn acknowledged(&mut self, push: &str) {
        self.unacknowledged.remove(push);
    }
}

impl State {
    /// Notes a line for the one who replays.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let now = self.begun.elapsed().as_secs_f64();
            trace.push(format!("{now:8.3} s {}", line()));
        }
    }

    pub(crate) fn problem(&mut self, problem: String) {
        self.note(|| format!("WRONG: {problem}"));
        let at = self.begun.elapsed().as_secs_f64();
        self.problems.push(format!("at {at:.3} s: {problem}"));
    }

    pub(crate) fn is_down(&self, server: usize) -> bool {
        Instant::now() < self.servers[server].down_until
    }

    /// What becomes of a request that arrives now.
    pub(crate) fn fate(&mut self, server: usize) -> Fate {
        let now = Instant::now();
        let Self { servers, dice, .. } = self;
        let server = &servers[server];
        if now < server.hangs_until {
            let until = server.hangs_until;
            return Fate::Later { until };
        }
        if now < server.starting_until {
            return Fate::Code(300);
        }
        let (code, percent, until) = server.codes;
        if now < until && dice.u32(..100) < percent {
            return Fate::Code(code);
        }
        let (most, until) = server.slow;
        let most = if now < until { most } else { Duration::ZERO };
        let pause = Duration::from_millis(dice.u64(1..=3)) + most.mul_f64(dice.f64());
        Fate::Usual { pause }
    }

    /// A service as a server knows it now.
    pub(crate) fn view(&self, server: usize, name: &str, with_disabled: bool) -> ServiceInfo {
        let missing = &self.servers[server].missing;
        let mut hosts: BTreeMap<(String, u16), HostInfo> = BTreeMap::new();
        let service = self.services.get(name);
        let foreign = service
            .into_iter()
            .flat_map(|service| service.hosts.values());
        let foreign = foreign.filter(|host| !missing.contains(&(name.to_owned(), host.port)));
        let own = (self.connections.values()).filter_map(|connection| connection.own.get(name));
        for host in foreign
            .chain(own)
            .filter(|host| with_disabled || host.enabled)
        {
            hosts.insert((host.ip.clone(), host.port), host.clone());
        }
        ServiceInfo {
            name: name.to_owned(),
            group_name: "DEFAULT_GROUP".into(),
            hosts: Some(hosts.into_values().collect()),
            reach_protection_threshold: service.is_some_and(|service| service.is_protected),
            ..Default::default()
        }
    }

    pub(crate) fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// Notes that a state is being told.
    pub(crate) fn say(&mut self, id: u64, how: How, info: &ServiceInfo, stamp: u64) {
        let hosts = info.hosts.iter().flatten().cloned().map(Host::from);
        let said = Said {
            service: info.name.clone(),
            how,
            stamp,
            hosts: in_order(hosts.collect()),
            is_protected: info.reach_protection_threshold,
        };
        let (name, count) = (&info.name, said.hosts.len());
        self.note(|| format!("to {id}: {how:?} {name}, {count} hosts, stamp {stamp}"));
        self.dials[usize::try_from(id).unwrap()].said.push(said);
    }

    /// A login's status and answer.
    pub(crate) fn log_in(&mut self) -> (u16, String) {
        let now = Instant::now();
        let is_refused = now < self.logins_refused_until;
        self.note(|| format!("login, refused: {is_refused}"));
        if is_refused {
            return (403, "unknown user!".into());
        }
        self.issued_tokens += 1;
        let (token, life) = (
            format!("token-{}", self.issued_tokens),
            self.schedule.token_life,
        );
        self.tokens.insert(token.clone(), now + life);
        let seconds = life.as_secs();
        (
            200,
            format!(r#"{{"accessToken":"{token}","tokenTtl":{seconds}}}"#),
        )
    }

    /// Whether the client's token is good, if it needs one.
    pub(crate) fn is_logged_in(&self) -> bool {
        let token = format!("token-{}", self.issued_tokens);
        self.may(Some(&token))
    }

    pub(crate) fn may(&self, token: Option<&str>) -> bool {
        let is_good = |token| {
            self.tokens
                .get(token)
                .is_some_and(|end| Instant::now() < *end)
        };
        !self.schedule.has_login || token.is_some_and(is_good)
    }
}

/// Hosts in the one order in which they can be compared.
pub(crate) fn in_order(mut hosts: Vec<Host>) -> Vec<Host> {
    hosts.sort_by(|one, other| (&one.ip, one.port).cmp(&(&other.ip, other.port)));
    hosts
}
