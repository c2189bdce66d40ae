//! The process that the client works for: what it wants over time, and whether it gets it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use pailou_nacos::{
    Client, ClientOptions, ConfigWatch, Credentials, Instance as Host, Registration, ServiceWatch,
};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    judge,
    nacos::{Nacos, in_order},
    pipe::Network,
    schedule::{CONFIGS, LATEST_PUSH, SERVICES, Schedule, Step, edits},
    serve::hash,
};

/// Within this time of quiet everything must be right but for lost pushes. The slowest: a refused login is repeated after
/// at most 36 s, a failed request after 30 s. A frozen connection is noticed in 11 s (a health check every 5 s, two
/// timeouts of 3 s) and replaced after a pause of at most 10 s.
const RETRIED: Duration = Duration::from_secs(40);

/// What an audit adds to its interval until a lost push is made good: 2 s between its two looks, and a request that was
/// under way when the quiet began, which the timeout ends after 3 s.
const AUDITED: Duration = Duration::from_secs(6);

/// Within this time all is right once the pushes of a change were sent.
const TOLD: Duration = Duration::from_secs(1);

/// For so long nothing happens in the end, so that whatever does is too much.
const STILL: Duration = Duration::from_secs(12);

/// Requests in the time of stillness: 3 health checks and 3 audits of 4 services and the configs, with some room.
const MOST_STILL_REQUESTS: usize = 24;

/// Attempts to connect in all: a round of back-off is 9 at most for each server, and starts over with each connection
/// that lived for 10 s.
const MOST_DIALS: usize = 120;

/// Tasks while nothing happens: the session, its login, its connection, the servers' side of it, and our watchers.
const MOST_TASKS: usize = 24;

/// How a schedule went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) problems: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) settled_after: Duration,
}

/// Plays a schedule from the beginning to the end of its last task.
pub(crate) async fn play(schedule: Schedule, with_trace: bool) -> Outcome {
    let nacos = Nacos::new(schedule.clone(), with_trace);
    let mut settled_after = Duration::ZERO;
    let result = play_with(&nacos, &schedule, &mut settled_after).await;
    let mut state = nacos.state();
    if let Err(problem) = result {
        state.problem(problem);
    }
    Outcome {
        problems: std::mem::take(&mut state.problems),
        trace: state.trace.take().unwrap_or_default(),
        settled_after,
    }
}

async fn play_with(
    nacos: &Nacos,
    schedule: &Schedule,
    settled_after: &mut Duration,
) -> Result<(), String> {
    let begun = Instant::now();
    let janitor = Task(tokio::spawn(nacos.clone().watch_over()));
    for step in edits(fastrand::Rng::with_seed(!schedule.seed), 12) {
        nacos.play(&step);
    }
    let mut app = App::new(nacos, schedule);
    for (at, step) in &schedule.steps {
        sleep_until(begun + *at).await;
        nacos.state().note(|| format!("{step:?}"));
        nacos.play(step);
        app.play(step);
    }
    sleep_until(begun + schedule.end() + LATEST_PUSH).await;
    nacos.state().note(|| "quiet".into());

    let limit = RETRIED.max(schedule.audit_interval + AUDITED);
    let quiet = Instant::now();
    while let Some(difference) = app.difference() {
        *settled_after = quiet.elapsed();
        if *settled_after > limit {
            return Err(format!("after {limit:?} of quiet {difference}"));
        }
        sleep(Duration::from_millis(200)).await;
    }
    nacos.state().note(|| "settled".into());

    for step in edits(fastrand::Rng::with_seed(schedule.seed ^ 0xed17), 4) {
        nacos.state().note(|| format!("{step:?}"));
        nacos.play(&step);
    }
    while !nacos.state().is_told() {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(TOLD).await;
    if let Some(difference) = app.difference() {
        return Err(format!("{TOLD:?} after the last push {difference}"));
    }

    app.stay_still().await?;
    drop(janitor);
    app.leave(schedule.is_closed).await
}

struct App {
    nacos: Nacos,
    client: Client,
    services: BTreeMap<&'static str, (ServiceWatch, Task)>,
    configs: BTreeMap<&'static str, (ConfigWatch, Task)>,
    registrations: BTreeMap<&'static str, (Registration, Host)>,
    version: u32,
    epochs: Task,
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl App {
    fn new(nacos: &Nacos, schedule: &Schedule) -> Self {
        let names: Vec<String> = (0..schedule.servers).map(|at| format!("s{at}")).collect();
        let options = ClientOptions {
            audit_interval: schedule.audit_interval,
            credentials: schedule
                .has_login
                .then(|| Credentials::new("nacos", "nacos")),
            ..ClientOptions::new(&names.join(",")).expect("addresses")
        };
        let states = Arc::new(OnceLock::new());
        let network = Network {
            nacos: nacos.clone(),
            states: states.clone(),
        };
        let client = Client::connect_over(options, network);
        let _ = states.set(client.states());
        let epochs = judge::watch_epochs(nacos.clone(), client.states());
        let mut app = Self {
            nacos: nacos.clone(),
            client,
            services: BTreeMap::new(),
            configs: BTreeMap::new(),
            registrations: BTreeMap::new(),
            version: 0,
            epochs: Task(tokio::spawn(epochs)),
        };
        for name in &SERVICES[..3] {
            app.play(&Step::Watch(name));
        }
        for name in &CONFIGS[..2] {
            app.play(&Step::Listen(name));
        }
        app.play(&Step::Register(SERVICES[0]));
        app
    }

    fn play(&mut self, step: &Step) {
        let nacos = self.nacos.clone();
        match *step {
            Step::Watch(name) => {
                let watch = self.client.watch_service(name);
                let watcher = tokio::spawn(judge::watch_service(nacos, watch.clone()));
                self.services.insert(name, (watch, Task(watcher)));
            }
            Step::Unwatch(name) => drop(self.services.remove(name)),
            Step::Listen(name) => {
                let watch = self.client.watch_config(name);
                let watcher = tokio::spawn(judge::watch_config(nacos, watch.clone()));
                self.configs.insert(name, (watch, Task(watcher)));
            }
            Step::StopListening(name) => drop(self.configs.remove(name)),
            Step::Register(name) if !self.registrations.contains_key(name) => {
                let host = self.next_host();
                match self.client.keep_registered(name, host.clone()) {
                    Ok(registration) => {
                        self.registrations.insert(name, (registration, host));
                    }
                    Err(error) => nacos.state().problem(format!("{name}: {error}")),
                }
            }
            Step::Update(name) if self.registrations.contains_key(name) => {
                let new = self.next_host();
                if let Some((registration, host)) = self.registrations.get_mut(name) {
                    *host = new;
                    if let Err(error) = registration.update_later(host.clone()) {
                        nacos.state().problem(format!("{name}: {error}"));
                    }
                }
            }
            Step::Deregister(name) => drop(self.registrations.remove(name)),
            _ => {}
        }
    }

    /// Another weight each time, and now and then another address.
    fn next_host(&mut self) -> Host {
        self.version += 1;
        Host {
            weight: f64::from(self.version),
            ..Host::new("10.9.9.9", if self.version % 4 == 3 { 81 } else { 80 })
        }
    }

    /// What is not yet as it should be.
    fn difference(&self) -> Option<String> {
        let client = self.client.state();
        let nacos = self.nacos.state();
        if !client.connection.connected {
            return Some("there is no connection".into());
        }
        if nacos.connections.len() != 1 {
            let count = nacos.connections.len();
            return Some(format!("the servers know {count} connections"));
        }
        let connection = nacos.connections.values().next()?;
        if connection.pipe.is_frozen() {
            return Some("the connection is dead".into());
        }
        if !nacos.is_logged_in() {
            return Some(format!("the login is {:?}", client.login));
        }
        let epoch = client.connection.epoch;
        for (name, (watch, _)) in &self.services {
            let info = nacos.view(connection.server, name, false);
            let told = info.hosts.into_iter().flatten().map(Host::from).collect();
            let Some(state) = watch.current() else {
                return Some(format!("nothing is known of {name}"));
            };
            if let Some(error) = watch.last_error() {
                return Some(format!("{name} has an error: {error}"));
            }
            let enabled = state.instances.iter().filter(|host| host.enabled).cloned();
            let (known, told) = (in_order(enabled.collect()), in_order(told));
            if known != told
                || state.protected != info.reach_protection_threshold
                || state.epoch != epoch
            {
                return Some(format!(
                    "{name} is {told:?} and the client thinks {state:?}"
                ));
            }
        }
        for (name, (watch, _)) in &self.configs {
            let content = nacos.configs.get(*name);
            let Some(state) = watch.current() else {
                return Some(format!("nothing is known of {name}"));
            };
            if let Some(error) = watch.last_error() {
                return Some(format!("{name} has an error: {error}"));
            }
            let known = (state.config()).map(|config| (config.content.clone(), config.md5.clone()));
            if known != content.map(|content| (content.clone(), hash(content))) {
                return Some(format!(
                    "{name} is {content:?} and the client thinks {state:?}"
                ));
            }
        }
        let own: BTreeMap<&str, Host> = (connection.own.iter())
            .map(|(name, host)| (name.as_str(), host.clone().into()))
            .collect();
        let wanted = self.registrations.iter();
        let wanted: BTreeMap<&str, Host> = wanted
            .map(|(name, (_, host))| (*name, host.clone()))
            .collect();
        if own != wanted {
            return Some(format!("registered is {own:?} in place of {wanted:?}"));
        }
        for (name, (registration, _)) in &self.registrations {
            if !registration.is_registered() || registration.last_error().is_some() {
                let error = registration.last_error();
                return Some(format!(
                    "{name} is registered, but we do not know: {error:?}"
                ));
            }
        }
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
        let told = (names(&connection.subscribed), names(&connection.listening));
        let services = self.services.keys().map(|name| (*name).to_owned());
        let configs = self.configs.keys().map(|name| (*name).to_owned());
        let wanted: (Vec<_>, Vec<_>) = (services.collect(), configs.collect());
        if told != wanted {
            return Some(format!("subscribed is {told:?} in place of {wanted:?}"));
        }
        let counts = (
            client.services.len(),
            client.configs.len(),
            client.registrations.len(),
        );
        let expected = (
            self.services.len(),
            self.configs.len(),
            self.registrations.len(),
        );
        (counts != expected).then(|| format!("the client keeps {counts:?} for {expected:?}"))
    }

    /// Nothing happens, so that the client must do no more than to stay connected.
    async fn stay_still(&self) -> Result<(), String> {
        let before = self.client.state();
        let (requests, dials) = self.counts();
        sleep(STILL).await;
        let (requests, dials) = (self.counts().0 - requests, self.counts().1 - dials);
        if dials > 0 || requests > MOST_STILL_REQUESTS {
            return Err(format!(
                "{requests} requests, {dials} connections for nothing"
            ));
        }
        let after = self.client.state();
        if before.connection.epoch != after.connection.epoch {
            return Err("the connection did not hold".into());
        }
        if let Some(difference) = self.difference() {
            return Err(format!("after {STILL:?} of stillness {difference}"));
        }
        let dials = self.counts().1;
        if dials > MOST_DIALS {
            return Err(format!("{dials} attempts to connect"));
        }
        let tasks = tasks();
        if tasks > MOST_TASKS {
            return Err(format!("{tasks} tasks"));
        }
        Ok(())
    }

    /// Requests and attempts to connect so far.
    fn counts(&self) -> (usize, usize) {
        let nacos = self.nacos.state();
        (nacos.requests, nacos.dials.len())
    }

    /// The client ends: at once, without a trace on the server, and with all of its tasks.
    async fn leave(self, is_closed: bool) -> Result<(), String> {
        let Self {
            nacos,
            client,
            services,
            configs,
            registrations,
            epochs,
            ..
        } = self;
        if is_closed {
            client.close().await;
            let own = nacos
                .state()
                .connections
                .values()
                .map(|c| c.own.len())
                .sum::<usize>();
            if own > 0 {
                return Err(format!(
                    "{own} registrations are left when the client is closed"
                ));
            }
        } else {
            drop(client);
        }
        drop((services, configs, registrations, epochs));
        sleep(Duration::from_secs(2)).await;
        let connections = nacos.state().connections.len();
        if connections > 0 || tasks() > 0 {
            return Err(format!(
                "{connections} connections and {} tasks outlive the client",
                tasks()
            ));
        }
        Ok(())
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
