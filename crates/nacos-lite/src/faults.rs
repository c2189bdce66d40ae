//! Misbehaviour on command, for tests of clients and gateways.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use crate::{Options, core::Core};

/// Makes a [`Registry`](crate::Registry) misbehave. Every fault lasts until it is taken back; [`Faults::clear`] takes
/// back all of them.
pub struct Faults {
    core: Arc<Core>,
}

/// What is answered instead of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A success without hosts; for subscriptions and service queries.
    Empty,
    /// A failure with this error code: 300 and 301 as an `ErrorResponse`, as real servers do, all others in the
    /// operation's own type.
    Error(i32),
    /// Bytes that are no answer to anything.
    Garbage,
}

/// How the server's clock is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockMove {
    /// It is later than it was.
    Ahead(Duration),
    /// It is earlier than it was.
    Back(Duration),
}

/// The faults of the moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) refuse: bool,
    /// The same for the gRPC half alone.
    pub(crate) block_grpc: bool,
    pub(crate) hang: bool,
    /// Grows with each order to kill all connections.
    pub(crate) kills: u64,
    /// Grows with each order to leave all connections half-open.
    pub(crate) freezes: u64,
    /// Request type to its answer and how often it is given.
    answers: BTreeMap<String, (Answer, u32)>,
}

impl Settings {
    /// The faults to begin with.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            block_grpc: options.block_grpc,
            ..Self::default()
        }
    }
}

impl Faults {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Closes both listening ports, so that new connections are refused, or opens them again. Existing connections
    /// stay.
    pub fn refuse_connections(&self, refuse: bool) {
        self.core
            .faults
            .send_modify(|faults| faults.refuse = refuse);
    }

    /// Puts gRPC out of reach, as a firewall that knows only the HTTP port: closes its port and cuts its connections,
    /// or opens the port again.
    pub fn block_grpc(&self, block: bool) {
        self.core
            .faults
            .send_modify(|faults| faults.block_grpc = block);
    }

    /// Accepts connections and requests and says nothing, not even to connections that exist; pushes are lost.
    pub fn hang(&self, hang: bool) {
        self.core.faults.send_modify(|faults| faults.hang = hang);
        self.core
            .with(|state, _| state.set_push_fault(|fault| fault.hang = hang));
    }

    /// Cuts all TCP connections at once.
    pub fn kill_connections(&self) {
        self.core.faults.send_modify(|faults| faults.kills += 1);
    }

    /// Leaves all TCP connections half-open: nothing comes out of them any more and nothing that goes in is read, as
    /// behind a firewall that has forgotten them. They stay so, and new ones are served.
    pub fn half_open_connections(&self) {
        self.core.faults.send_modify(|faults| faults.freezes += 1);
    }

    /// Forgets all services, configs and namespaces and cuts all connections, as a server that restarts and has lost
    /// its data.
    pub fn restart_empty(&self) {
        self.core.with(|state, now| state.forget_everything(now));
        self.kill_connections();
    }

    /// Resets the streams of all clients and forgets these; their TCP connections stay, and requests on them get 301.
    pub fn reset_streams(&self) {
        self.core.with(|state, now| state.reset_streams(now));
    }

    /// Asks all clients to connect anew, to that address if one is given.
    pub fn request_moves(&self, to: Option<SocketAddr>) {
        self.core.with(|state, _| state.request_moves(to));
    }

    /// Loses all pushes. They are repeated like unacknowledged ones once this is taken back.
    pub fn drop_pushes(&self, drop: bool) {
        self.core
            .with(|state, _| state.set_push_fault(|fault| fault.drop = drop));
    }

    /// Sends all pushes twice.
    pub fn duplicate_pushes(&self, duplicate: bool) {
        self.core
            .with(|state, _| state.set_push_fault(|fault| fault.duplicate = duplicate));
    }

    /// Lets each second push to a connection overtake the one before it, which waits for that.
    pub fn reorder_pushes(&self, reorder: bool) {
        self.core
            .with(|state, _| state.set_push_fault(|fault| fault.reorder = reorder));
    }

    /// Sends every client what no server should: pushes that are not JSON or say nothing, and messages without a type.
    pub fn send_garbage(&self) {
        self.core.with(|state, _| state.send_garbage());
    }

    /// Sends pushes of services so much later than usual.
    pub fn delay_pushes(&self, delay: Duration) {
        self.core
            .with(|state, _| state.set_push_fault(|fault| fault.delay = delay));
    }

    /// Gives this answer to the next `times` gRPC requests of a type such as `SubscribeServiceRequest`.
    pub fn answer(&self, request: &str, answer: Answer, times: u32) {
        self.core.faults.send_modify(|faults| {
            faults.answers.insert(request.to_owned(), (answer, times));
        });
    }

    /// Makes all tokens expire now.
    pub fn expire_tokens(&self) {
        self.core.tokens.expire_all();
    }

    /// Sets the server's clock ahead, or back: the times that it tells, and those at which tokens expire.
    pub fn move_clock(&self, by: ClockMove) {
        self.core.with(|state, _| state.move_clock(by));
        self.core.tokens.move_clock(by);
    }

    /// Takes back whatever lasts.
    pub fn clear(&self) {
        self.core.faults.send_modify(|faults| {
            *faults = Settings {
                kills: faults.kills,
                freezes: faults.freezes,
                ..Settings::default()
            }
        });
        self.core
            .with(|state, _| state.set_push_fault(|fault| *fault = Default::default()));
    }
}

impl Core {
    /// Returns once the server does not hang.
    pub(crate) async fn while_hanging(&self) {
        // An error means that the server is gone, and then nobody waits for an answer.
        let _ = self
            .faults
            .subscribe()
            .wait_for(|faults| !faults.hang)
            .await;
    }

    /// The answer that a test ordered for a request of this type, if any.
    pub(crate) fn ordered_answer(&self, request: &str) -> Option<Answer> {
        if self.faults.borrow().answers.is_empty() {
            return None;
        }
        let mut ordered = None;
        self.faults.send_if_modified(|faults| {
            if let Some((answer, times)) = faults
                .answers
                .get_mut(request)
                .filter(|(_, times)| *times > 0)
            {
                *times -= 1;
                ordered = Some(*answer);
            }
            false
        });
        ordered
    }
}
