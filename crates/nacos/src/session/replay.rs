//! Tells the server what is wanted: everything on a new connection, then each change.
//!
//! The list of what is wanted is kept elsewhere; this notes what the connection was told. One job at a time works on a key.
//! If the key changes meanwhile, the job runs again, so that the server always gets the newest state last.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    convert::Infallible,
    future::Future,
    pin::Pin,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::{answers, retries::Retries};
use crate::{
    core::Core,
    desired::Key,
    error::Error,
    link::Link,
    model::{ConfigName, Instance, Origin, ServiceName},
    state::Transport,
    wire::{InstanceRequest, SubscribeServiceRequest, instance_type},
};

/// The most requests in flight at a time. A thousand services then take a few round trips, and the server is not
/// overloaded.
const IN_FLIGHT: usize = 64;

/// How often a config is asked for in a row while the server says that it differs from what it just sent.
const CONFIG_ROUNDS: usize = 3;

type Job<'a> = Pin<Box<dyn Future<Output = (Key, Result<(), Error>)> + Send + 'a>>;

pub(super) struct Replay<'a> {
    core: &'a Core,
    link: &'a Link,
    ready: BTreeSet<Key>,
    running: HashSet<Key>,
    /// The running jobs that withdraw something from the server.
    farewells: HashSet<Key>,
    jobs: FuturesUnordered<Job<'a>>,
    retries: Retries,
    /// What the server was told on this connection and must be withdrawn. Registrations are here only if the server may have
    /// taken them.
    told: HashSet<Key>,
    /// The instances that it was told of: an end of a registration must name what is to end.
    registered: HashMap<ServiceName, Instance>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(core: &'a Core, link: &'a Link) -> Self {
        Self {
            core,
            link,
            ready: BTreeSet::new(),
            running: HashSet::new(),
            farewells: HashSet::new(),
            jobs: FuturesUnordered::new(),
            retries: Retries::default(),
            told: HashSet::new(),
            registered: HashMap::new(),
        }
    }

    /// Runs for as long as the connection lives.
    pub(super) async fn run(mut self) -> Infallible {
        let core = self.core;
        let mut generation = 0;
        loop {
            for key in core.desired.take_dirty() {
                self.retries.forget(&key);
                self.ready.insert(key);
            }
            self.ready.extend(self.retries.take_due());
            self.start();
            let due = self.retries.next();
            tokio::select! {
                () = core.desired.changed() => {}
                Some((key, result)) = self.jobs.next() => self.finish(key, result),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                newer = core.login.newer_than(generation) => {
                    generation = newer;
                    // What failed may have failed for lack of this token.
                    self.ready.extend(self.retries.take_all());
                }
            }
        }
    }

    /// Starts jobs in the order of the keys, as many as may be in flight.
    fn start(&mut self) {
        let mut later = BTreeSet::new();
        while self.running.len() < IN_FLIGHT
            && let Some(key) = self.ready.pop_first()
        {
            if self.running.contains(&key) {
                later.insert(key);
                continue;
            }
            let job = self.job(&key);
            self.running.insert(key);
            self.jobs.push(job);
        }
        self.ready.append(&mut later);
    }

    fn finish(&mut self, key: Key, result: Result<(), Error>) {
        self.running.remove(&key);
        let is_farewell = self.farewells.remove(&key);
        if !is_farewell && matches!(key, Key::Registration(_)) && may_be_taken(&result) {
            self.told.insert(key.clone());
        }
        match result {
            Ok(()) => {
                self.retries.forget(&key);
                // What was told while it ceased to be wanted must still be withdrawn.
                if is_farewell {
                    self.told.remove(&key);
                    if let Key::Registration(name) = &key {
                        self.registered.remove(name);
                    }
                }
            }
            Err(error) => {
                tracing::debug!(?key, %error, "Nacos did not take a request; it is repeated");
                self.retries.failed(key);
            }
        }
    }

    /// What has to be done for a key, by what is wanted and what was told.
    fn job(&mut self, key: &Key) -> Job<'a> {
        let (core, link) = (self.core, self.link);
        let done = key.clone();
        match key.clone() {
            Key::Service(name) if core.desired.is_service_wanted(&name) => {
                self.told.insert(done.clone());
                Box::pin(async move {
                    let result = subscribe(core, link, &name).await;
                    if let Err(error) = &result {
                        core.desired.fail_service(&name, error.clone());
                    }
                    (done, result)
                })
            }
            Key::Service(name) if self.told.contains(key) => {
                self.farewells.insert(done.clone());
                Box::pin(async move { (done, unsubscribe(core, link, &name).await) })
            }
            Key::Config(name) if core.desired.is_config_wanted(&name) => {
                self.told.insert(done.clone());
                Box::pin(async move {
                    let result = listen(core, link, &name).await;
                    if let Err(error) = &result {
                        core.desired.fail_config(&name, error.clone());
                    }
                    (done, result)
                })
            }
            Key::Config(name) if self.told.contains(key) => {
                self.farewells.insert(done.clone());
                Box::pin(async move { (done, stop_listening(core, link, &name).await) })
            }
            Key::Registration(name) => self.registration_job(done, name),
            Key::Service(_) | Key::Config(_) => Box::pin(async move { (done, Ok(())) }),
        }
    }

    fn registration_job(&mut self, done: Key, name: ServiceName) -> Job<'a> {
        let (core, link) = (self.core, self.link);
        match core.desired.registration(&name) {
            Some((instance, version, false)) => {
                // This is noted before it is sent. If the answer gets lost, it must still be withdrawn.
                let former = self.registered.insert(name.clone(), instance.clone());
                Box::pin(async move {
                    let mut result =
                        instance_request(core, link, &name, &instance, instance_type::REGISTER)
                            .await;
                    // Only a connection's second instance replaces its first by itself.
                    if let Some(former) = former.filter(|former| !is_same_place(former, &instance))
                        && link.transport() != Transport::Grpc
                        && result.is_ok()
                    {
                        result = deregister(core, link, &name, &former).await;
                    }
                    match &result {
                        Ok(()) => core.desired.confirm_registration(&name, version),
                        // Whether these were taken is unknown, or they say nothing of the instance: no refusal.
                        Err(
                            Error::Timeout { .. }
                            | Error::Lost(_)
                            | Error::Starting
                            | Error::Overloaded,
                        ) => {}
                        Err(error) => {
                            core.desired
                                .refuse_registration(&name, version, error.clone())
                        }
                    }
                    (done, result)
                })
            }
            leaving => {
                self.farewells.insert(done.clone());
                let may_be_there = self.told.contains(&done);
                let instance = self
                    .registered
                    .get(&name)
                    .cloned()
                    .filter(|_| leaving.is_some());
                Box::pin(async move {
                    let mut result = match instance {
                        Some(instance) => deregister(core, link, &name, &instance).await,
                        None => Ok(()),
                    };
                    // The answer to what was refused as well when it was to be registered: there is nothing to
                    // withdraw.
                    if !may_be_there && matches!(result, Err(Error::Refused { .. })) {
                        result = Ok(());
                    }
                    if result.is_ok() {
                        core.desired.forget_registration(&name);
                    }
                    (done, result)
                })
            }
        }
    }
}

/// Whether the server did what it was asked for, as far as can be known.
fn may_be_taken(result: &Result<(), Error>) -> bool {
    matches!(
        result,
        Ok(()) | Err(Error::Timeout { .. } | Error::Lost(_) | Error::Malformed { .. })
    )
}

/// Subscribes, and takes the first state from the answer. All clusters: the server keeps one filter per service and
/// connection, so filtering is for the reader.
async fn subscribe(core: &Core, link: &Link, name: &ServiceName) -> Result<(), Error> {
    let pushes = core.desired.service_pushes(name);
    let answer = core.ask_over(link, subscription(core, name, true)).await?;
    let origin = match link.transport() {
        Transport::Grpc => Origin::Subscribe,
        Transport::HttpV1 | Transport::HttpV3 => Origin::Poll,
    };
    let state = answers::service_state(answer.service_info, origin, link.epoch)?;
    core.desired.answer_service(name, state, pushes);
    Ok(())
}

async fn unsubscribe(core: &Core, link: &Link, name: &ServiceName) -> Result<(), Error> {
    core.ask_over(link, subscription(core, name, false))
        .await
        .map(drop)
}

pub(super) fn subscription(
    core: &Core,
    name: &ServiceName,
    subscribe: bool,
) -> SubscribeServiceRequest {
    SubscribeServiceRequest {
        namespace: core.naming_namespace(),
        service_name: name.name.to_string(),
        group_name: name.group.to_string(),
        subscribe,
        ..Default::default()
    }
}

/// Asks for the config, then listens with its hash. In this order no change can be missed: one in between differs from
/// the hash, and the answer says so. One thing differs from every hash but says nothing: listening to an absent config
/// with no hash is "not changed", until it is created, and then there is a notice.
async fn listen(core: &Core, link: &Link, name: &ConfigName) -> Result<(), Error> {
    let mut before = None;
    for _ in 0..CONFIG_ROUNDS {
        let answer = core.ask_over(link, answers::config_query(core, name)).await;
        let state = answers::config_state(answer)?;
        let md5 = answers::known_md5(Some(&state));
        core.desired.put_config(name, state, link.epoch);
        // The server calls its own hash outdated: what it has is what it sent, twice.
        if before.as_ref() == Some(&md5) {
            return Ok(());
        }
        let contexts = HashMap::from([(name.clone(), md5.clone())]);
        let changed = core
            .ask_over(link, answers::config_listen(core, true, &contexts))
            .await?;
        if changed.changed_configs.is_empty() {
            return Ok(());
        }
        before = Some(md5);
    }
    Ok(())
}

async fn stop_listening(core: &Core, link: &Link, name: &ConfigName) -> Result<(), Error> {
    let contexts = HashMap::from([(name.clone(), String::new())]);
    core.ask_over(link, answers::config_listen(core, false, &contexts))
        .await
        .map(drop)
}

fn is_same_place(one: &Instance, other: &Instance) -> bool {
    (&one.ip, one.port, &one.cluster) == (&other.ip, other.port, &other.cluster)
}

pub(super) async fn deregister(
    core: &Core,
    link: &Link,
    name: &ServiceName,
    instance: &Instance,
) -> Result<(), Error> {
    instance_request(core, link, name, instance, instance_type::DEREGISTER).await
}

async fn instance_request(
    core: &Core,
    link: &Link,
    name: &ServiceName,
    instance: &Instance,
    kind: &str,
) -> Result<(), Error> {
    let request = InstanceRequest {
        namespace: core.naming_namespace(),
        service_name: name.name.to_string(),
        group_name: name.group.to_string(),
        r#type: kind.to_owned(),
        instance: instance.into(),
        ..Default::default()
    };
    core.ask_over(link, request).await.map(drop)
}
