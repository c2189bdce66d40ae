//! The Nacos clients, one for each Nacos and namespace: a push does not say which namespace it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_nacos::{Client, ConnectionState, LoginState, Transport};
use pailou_telemetry::tasks::Tasks;
use pailou_telemetry::{Metrics, events};
use pailou_upstream::ServiceId;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::view::SessionView;

/// How often the login is looked at.
const LOGIN_LOOK: Duration = Duration::from_secs(5);

/// Makes a client of a Nacos, by its id, for a namespace.
pub(crate) type Connect = Box<dyn Fn(&str, &str) -> Client + Send + Sync>;

/// Hands out the client of a Nacos and namespace, and reports what becomes of its session.
pub(crate) struct Clients {
    own: Followed,
    others: Mutex<BTreeMap<SessionKey, Other>>,
    /// For any other Nacos than the default one.
    connect: Connect,
    metrics: Metrics,
}

/// The id of the Nacos and that of the namespace.
type SessionKey = (Arc<str>, String);

struct Other {
    followed: Followed,
    /// Whether a route document is watched over it: it stays then, whatever the services need.
    is_pinned: bool,
}

impl Clients {
    /// Clients beside `own`, which is the default Nacos's.
    pub(crate) fn new(own: Client, connect: Connect, metrics: Metrics) -> Clients {
        Clients {
            own: Followed::new(ServiceId::DEFAULT_NACOS.into(), own, true, &metrics),
            others: Mutex::default(),
            connect,
            metrics,
        }
    }

    /// The client for the services of a namespace; [`Clients::keep_only`] may end it.
    pub(crate) fn of(&self, nacos: &str, namespace: &str) -> Client {
        self.client(nacos, namespace, false)
    }

    /// The client for what is watched in a namespace as long as the process runs.
    pub(crate) fn pinned(&self, nacos: &str, namespace: &str) -> Client {
        self.client(nacos, namespace, true)
    }

    /// Lets go of all other clients, unless they are pinned.
    pub(crate) fn keep_only<'a>(&self, sessions: impl Iterator<Item = (&'a str, &'a str)>) {
        let needed: BTreeSet<_> = sessions.collect();
        self.others().retain(|(nacos, namespace), other| {
            other.is_pinned || needed.contains(&(&**nacos, namespace))
        });
    }

    /// All connections as shown to people, the gateway's own first.
    pub(crate) fn views(&self) -> Vec<SessionView> {
        let others = self.others();
        let others = others.values().map(|other| &other.followed);
        let all = std::iter::once(&self.own).chain(others);
        all.map(|followed| SessionView::new(&followed.nacos, followed.client.state()))
            .collect()
    }

    /// What is wrong with the first connection that there is none of.
    pub(crate) fn trouble(&self) -> Option<String> {
        let others = self.others();
        let others = others.values().map(|other| &other.followed);
        std::iter::once(&self.own)
            .chain(others)
            .find_map(Followed::trouble)
    }

    fn client(&self, nacos: &str, namespace: &str, pin: bool) -> Client {
        let is_default = nacos == ServiceId::DEFAULT_NACOS;
        let mut others = self.others();
        let client = if is_default {
            self.own.client.with_namespace(namespace)
        } else {
            // All namespaces of a Nacos share its login.
            let relative = others.iter().find(|((id, _), _)| **id == *nacos);
            match relative {
                Some((_, relative)) => relative.followed.client.with_namespace(namespace),
                None => (self.connect)(nacos, namespace),
            }
        };
        if is_default && client.namespace() == self.own.client.namespace() {
            return client;
        }
        let id: Arc<str> = nacos.into();
        let other = others
            .entry((Arc::clone(&id), client.namespace().to_owned()))
            .or_insert_with(|| Other {
                followed: Followed::new(id, client.clone(), !is_default, &self.metrics),
                is_pinned: false,
            });
        other.is_pinned |= pin;
        client
    }

    fn others(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Other>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client and the tasks that report its session's events.
struct Followed {
    nacos: Arc<str>,
    client: Client,
    _tasks: Tasks,
}

impl Followed {
    /// Follows a client's session, and its login too if nobody else does.
    fn new(nacos: Arc<str>, client: Client, and_login: bool, metrics: &Metrics) -> Followed {
        let mut tasks = Tasks::new(metrics);
        let session = Session {
            nacos: Arc::clone(&nacos),
            namespace: client.namespace().to_owned(),
            metrics: metrics.clone(),
        };
        if and_login {
            let (nacos, client, metrics) = (Arc::clone(&nacos), client.clone(), metrics.clone());
            tasks.keep("login reports", move || {
                follow_login(Arc::clone(&nacos), client.clone(), metrics.clone())
            });
        }
        let states = client.states();
        tasks.keep("connection reports", move || {
            session.clone().follow(states.clone())
        });
        Followed {
            nacos,
            client,
            _tasks: tasks,
        }
    }

    fn trouble(&self) -> Option<String> {
        let state = self.client.states().borrow().clone();
        if state.connected {
            return None;
        }
        let error = state.last_error.as_deref().unwrap_or("still trying");
        // The client's own error begins with the same words.
        let error = error
            .strip_prefix("not connected to Nacos: ")
            .unwrap_or(error);
        let nacos = match &*self.nacos {
            ServiceId::DEFAULT_NACOS => "Nacos".to_owned(),
            id => format!("Nacos {id}"),
        };
        Some(format!(
            "not connected to {nacos}: {error}; `pailou doctor` looks for the reason"
        ))
    }
}

/// How often a line tells of an outage that goes on, for the same reason.
const OUTAGE_LINE: Duration = Duration::from_secs(60);

/// How many reasons are told of in that time. Servers that fail each in its own way are all told of, and a reason whose
/// words change at each attempt does not fill the log.
const MOST_REASONS: usize = 4;

/// What was said of the present outage.
#[derive(Debug, Default)]
struct Outage {
    /// Attempts that failed since the last line.
    attempts: u32,
    /// The connection was lost, which is a line by itself: the reason of the attempt that follows is no news.
    is_loss_told: bool,
    /// The reasons of the lines of the last [`OUTAGE_LINE`], at most [`MOST_REASONS`].
    told: Vec<(Instant, String)>,
}

impl Outage {
    /// After a line that told of the loss of the connection.
    fn after_loss() -> Outage {
        Outage {
            is_loss_told: true,
            ..Outage::default()
        }
    }

    /// Notes a failed attempt; how many there were since the last line, when one is due.
    fn failed(&mut self, now: Instant, reason: &str) -> Option<u32> {
        self.attempts = self.attempts.saturating_add(1);
        self.told
            .retain(|(at, _)| now.duration_since(*at) < OUTAGE_LINE);
        let is_known = self.told.iter().any(|(_, told)| told == reason);
        if is_known || self.told.len() >= MOST_REASONS {
            return None;
        }
        self.told.push((now, reason.to_owned()));
        if std::mem::take(&mut self.is_loss_told) {
            return None;
        }
        Some(std::mem::take(&mut self.attempts))
    }
}

/// What names a session in logs and metrics.
#[derive(Clone)]
struct Session {
    nacos: Arc<str>,
    namespace: String,
    metrics: Metrics,
}

impl Session {
    /// Reports connections that are made and lost, for as long as there is a client.
    async fn follow(self, mut states: watch::Receiver<ConnectionState>) -> String {
        let mut last = ConnectionState::default();
        let mut spoken = None;
        let mut outage = Outage::default();
        loop {
            let state = states.borrow_and_update().clone();
            self.report(&last, &state, &mut outage);
            if let Some(to) = state.transport {
                // What comes first is expected to be gRPC.
                let from = spoken.replace(to).unwrap_or(Transport::Grpc);
                self.report_transport(from, to);
            }
            last = state;
            if states.changed().await.is_err() {
                return "the client is gone".to_owned();
            }
        }
    }

    fn report(&self, last: &ConnectionState, state: &ConnectionState, outage: &mut Outage) {
        let (nacos, namespace) = (&*self.nacos, &*self.namespace);
        let is_new = state.epoch != last.epoch;
        let server = |state: &ConnectionState| state.server.clone().unwrap_or_default();
        // A session that another transport took over was not lost.
        let is_handed_over = state.connected && state.transport != last.transport;
        if last.connected && (!state.connected || is_new) && !is_handed_over {
            events::SessionLost {
                nacos,
                namespace,
                server: &server(last),
                error: state
                    .last_error
                    .as_deref()
                    .unwrap_or("replaced by a new one"),
            }
            .record(&self.metrics);
            *outage = Outage::after_loss();
        }
        if state.connected && (!last.connected || is_new) {
            *outage = Outage::default();
            events::SessionConnected {
                nacos,
                namespace,
                server: &server(state),
                transport: state.transport.map_or("", Transport::as_str),
            }
            .record(&self.metrics);
        }
        if !state.connected
            && !last.connected
            && let Some(error) = &state.last_error
            && let Some(attempts) = outage.failed(Instant::now(), error)
        {
            events::SessionFailed {
                nacos,
                namespace,
                attempts,
                error,
            }
            .record();
        }
    }

    fn report_transport(&self, from: Transport, to: Transport) {
        if from != to {
            events::TransportChanged {
                nacos: &self.nacos,
                namespace: &self.namespace,
                from: from.as_str(),
                to: to.as_str(),
            }
            .record(&self.metrics);
        }
    }
}

/// Reports logins that fail. The login is no part of the connection's state, so it is looked at.
async fn follow_login(nacos: Arc<str>, client: Client, metrics: Metrics) -> Infallible {
    let mut last = None;
    loop {
        let state = client.state();
        let error = match state.login {
            LoginState::Failed { error } => Some(error),
            LoginState::LoggedIn { renewal_error, .. } => renewal_error,
            LoginState::Off => std::future::pending().await,
            LoginState::Pending | LoginState::Absent => None,
        };
        if error != last
            && let Some(error) = &error
        {
            let server = state.connection.server.as_deref().unwrap_or_default();
            events::LoginFailed {
                nacos: &nacos,
                server,
                error,
            }
            .record(&metrics);
        }
        last = error;
        tokio::time::sleep(LOGIN_LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of so many attempts, one each second: the second, and the attempts that the line tells of.
    async fn lines(
        outage: &mut Outage,
        seconds: u32,
        reason: impl Fn(u32) -> String,
    ) -> Vec<(u32, u32)> {
        let mut lines = Vec::new();
        for second in 0..seconds {
            if let Some(attempts) = outage.failed(Instant::now(), &reason(second)) {
                lines.push((second, attempts));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_of_at_its_start_and_once_a_minute() {
        let refused = |_| "refused".to_owned();
        let told = lines(&mut Outage::default(), 180, refused).await;
        assert_eq!(told, [(0, 1), (60, 60), (120, 60)]);

        // The loss of a connection is a line by itself, and no second one follows it at once.
        let told = lines(&mut Outage::after_loss(), 90, refused).await;
        assert_eq!(told, [(60, 61)]);
    }

    /// A server that was refused, then silent, then answered nonsense was told of by its first reason for a minute.
    #[tokio::test(start_paused = true)]
    async fn another_reason_is_told_of_at_once() {
        let reason = |second| match second {
            0..10 => "refused".to_owned(),
            10..20 => "silent".to_owned(),
            _ => "no Nacos".to_owned(),
        };
        let told = lines(&mut Outage::default(), 70, reason).await;
        assert_eq!(told, [(0, 1), (10, 10), (20, 10)]);
        let told = lines(&mut Outage::after_loss(), 70, reason).await;
        assert_eq!(told, [(10, 11), (20, 10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn reasons_that_alternate_or_never_repeat_stay_few() {
        let two = |second| format!("server {}", second % 2);
        let told = lines(&mut Outage::default(), 60, two).await;
        assert_eq!(told, [(0, 1), (1, 1)]);
        let each = |second| format!("attempt {second}");
        let told = lines(&mut Outage::default(), 180, each).await;
        assert_eq!(told.len(), 3 * MOST_REASONS, "{told:?}");
    }
}
