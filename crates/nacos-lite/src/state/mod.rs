//! What the server knows, as a machine without I/O. Every operation gets the time, and pushes go into bounded queues.

mod catalog;
mod configs;
mod connections;
mod expiry;
mod history;
mod namespaces;
mod naming;
mod pushes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

pub(crate) use self::{
    catalog::{Definition, Denial, Described},
    configs::Publish,
    connections::{ConnectionId, Peer},
    history::Change,
    naming::{Beat, Edit, Kind, Owner},
    pushes::Outbound,
};
use self::{
    configs::StoredConfig, connections::Connection, history::History, naming::Service,
    pushes::Pending,
};
use crate::{ClockMove, ConfigKey, Options, ServiceKey, clock::epoch_millis};

/// The server's bounds; beyond them a request is refused with code 503.
pub(crate) mod limits {
    pub(crate) const CONNECTIONS: usize = 10_000;
    pub(crate) const SERVICES: usize = 100_000;
    pub(crate) const INSTANCES: usize = 500_000;
    pub(crate) const CONFIGS: usize = 50_000;
    pub(crate) const CONFIG_BYTES: usize = 512 << 20;
    pub(crate) const NAMESPACES: usize = 1_000;
    /// Subscriptions, and listens, of one connection.
    pub(crate) const INTERESTS: usize = 50_000;
    /// Messages that wait for one client to read them; what does not fit is lost and repeated as unacknowledged.
    pub(crate) const QUEUE: usize = 1_024;
    /// Pushes of one connection whose acknowledgement is awaited.
    pub(crate) const UNACKED: usize = 10_000;
}

/// Least time between two sweeps, which look at every instance and every connection.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A parameter is wrong.
    Invalid(String),
    /// The service takes the other kind of instances, ephemeral or persistent; in the words of real servers.
    OtherKind(String),
    /// One of the [`limits`] is reached.
    Full(&'static str),
    /// A compare-and-swap found another content.
    CasMismatch,
}

/// The delays, see [`Options`].
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) poll_interval: Duration,
    pub(crate) push_delay: Duration,
    pub(crate) push_timeout: Duration,
    pub(crate) push_retry: Duration,
    pub(crate) unhealthy_after: Duration,
    pub(crate) remove_after: Duration,
    pub(crate) detect_after: Duration,
    pub(crate) detect_timeout: Duration,
}

impl From<&Options> for Times {
    fn from(options: &Options) -> Self {
        Self {
            poll_interval: options.poll_interval,
            push_delay: options.push_delay,
            push_timeout: options.push_timeout,
            push_retry: options.push_retry,
            unhealthy_after: options.unhealthy_after,
            remove_after: options.remove_after,
            detect_after: options.detect_after,
            detect_timeout: options.detect_timeout,
        }
    }
}

/// How pushes are spoiled on command.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PushFault {
    pub(crate) drop: bool,
    /// The server is dumb altogether: nothing is sent, and nobody is asked whether it is there.
    pub(crate) hang: bool,
    /// How much later than usual pushes of services are sent.
    pub(crate) delay: Duration,
    pub(crate) duplicate: bool,
    /// Each second push overtakes the one before it.
    pub(crate) reorder: bool,
}

/// Everything that the server knows.
pub(crate) struct State {
    times: Times,
    services: BTreeMap<ServiceKey, Service>,
    /// Services without instances and subscribers, which are forgotten after a while.
    unused: BTreeSet<ServiceKey>,
    instances: usize,
    configs: BTreeMap<ConfigKey, StoredConfig>,
    config_bytes: usize,
    config_revision: u64,
    history: History,
    /// Ids and names of those that were created; the default one needs no creation.
    namespaces: BTreeMap<String, String>,
    connections: BTreeMap<ConnectionId, Connection>,
    pending: BTreeMap<ServiceKey, Pending>,
    push_fault: PushFault,
    /// How far the clock has been moved.
    clock_moved_millis: i64,
    /// Not later than the first of the pending pushes.
    next_push: Option<Instant>,
    next_push_id: u64,
    next_sweep: Option<Instant>,
    last_sweep: Option<Instant>,
}

impl State {
    pub(crate) fn new(times: Times) -> Self {
        Self {
            times,
            services: BTreeMap::new(),
            unused: BTreeSet::new(),
            instances: 0,
            configs: BTreeMap::new(),
            config_bytes: 0,
            config_revision: 0,
            history: History::default(),
            namespaces: BTreeMap::new(),
            connections: BTreeMap::new(),
            pending: BTreeMap::new(),
            push_fault: PushFault::default(),
            clock_moved_millis: 0,
            next_push: None,
            next_push_id: 1,
            next_sweep: None,
            last_sweep: None,
        }
    }

    /// When [`State::run_due`] has something to do next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        [self.next_push, self.next_sweep]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends the pushes that are due, repeats those that were not acknowledged, and removes silent connections, instances
    /// without beats and unused services when their time is over.
    pub(crate) fn run_due(&mut self, now: Instant) {
        if self.next_sweep.is_some_and(|at| at <= now) {
            (self.next_sweep, self.last_sweep) = (None, Some(now));
            self.expire_beats(now);
            self.expire_unused(now);
            self.check_connections(now);
        }
        self.send_due_pushes(now);
    }

    pub(crate) fn set_push_fault(&mut self, change: impl FnOnce(&mut PushFault)) {
        change(&mut self.push_fault);
        if !self.push_fault.reorder {
            self.send_held();
        }
    }

    /// Loses all data. Connections stay, and what they listen to and subscribe to is forgotten with the rest.
    pub(crate) fn forget_everything(&mut self, now: Instant) {
        self.drop_connections(now);
        let (revision, push_id) = (self.config_revision, self.next_push_id);
        *self = Self {
            // Long polls are told, and no number is given out twice.
            config_revision: revision + 1,
            next_push_id: push_id,
            push_fault: self.push_fault,
            clock_moved_millis: self.clock_moved_millis,
            ..Self::new(self.times.clone())
        };
    }

    pub(crate) fn move_clock(&mut self, by: ClockMove) {
        let millis = |by: Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.clock_moved_millis = match by {
            ClockMove::Ahead(by) => self.clock_moved_millis.saturating_add(millis(by)),
            ClockMove::Back(by) => self.clock_moved_millis.saturating_sub(millis(by)),
        };
    }

    /// What the server's clock says, in milliseconds since 1970.
    fn clock_millis(&self) -> i64 {
        epoch_millis().saturating_add(self.clock_moved_millis)
    }

    /// Makes sure that a sweep runs then, or a little later if one has just been.
    fn sweep_by(&mut self, at: Instant) {
        let at = self
            .last_sweep
            .map_or(at, |last| at.max(last + SWEEP_PAUSE));
        self.next_sweep = Some(self.next_sweep.map_or(at, |next| next.min(at)));
    }
}

#[cfg(test)]
mod tests;
