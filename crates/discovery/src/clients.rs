//! The Nacos clients, one per namespace: a push does not say which namespace it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_nacos::{Client, ConnectionState, LoginState, Transport};
use pailou_telemetry::{Metrics, events};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::view::SessionView;

/// How often the login is looked at.
const LOGIN_LOOK: Duration = Duration::from_secs(5);

/// Hands out the client of a namespace, and reports what becomes of its session.
pub(crate) struct Clients {
    own: Followed,
    /// Reports logins, which all namespaces share.
    login: AbortHandle,
    others: Mutex<BTreeMap<String, Other>>,
    metrics: Metrics,
}

struct Other {
    followed: Followed,
    /// Whether a route document is watched over it: it stays then, whatever the services need.
    is_pinned: bool,
}

impl Clients {
    /// Clients beside `own`.
    pub(crate) fn new(own: Client, metrics: Metrics) -> Clients {
        let login = tokio::spawn(follow_login(own.clone(), metrics.clone()));
        Clients {
            own: Followed::new(own, &metrics),
            login: login.abort_handle(),
            others: Mutex::default(),
            metrics,
        }
    }

    /// The client for the services of a namespace; [`Clients::keep_only`] may end it.
    pub(crate) fn of(&self, namespace: &str) -> Client {
        self.client(namespace, false)
    }

    /// The client for what is watched in a namespace as long as the process runs.
    pub(crate) fn pinned(&self, namespace: &str) -> Client {
        self.client(namespace, true)
    }

    /// Lets go of the clients of all other namespaces, unless they are pinned.
    pub(crate) fn keep_only<'a>(&self, namespaces: impl Iterator<Item = &'a str>) {
        let needed: BTreeSet<&str> = namespaces.collect();
        self.others()
            .retain(|namespace, other| other.is_pinned || needed.contains(&**namespace));
    }

    /// All connections as shown to people, the gateway's own first.
    pub(crate) fn views(&self) -> Vec<SessionView> {
        let others = self.others();
        let others = others.values().map(|other| &other.followed);
        let all = std::iter::once(&self.own).chain(others);
        all.map(|followed| SessionView::from(followed.client.state()))
            .collect()
    }

    fn client(&self, namespace: &str, pin: bool) -> Client {
        let client = self.own.client.with_namespace(namespace);
        if client.namespace() == self.own.client.namespace() {
            return client;
        }
        let mut others = self.others();
        let other = others
            .entry(client.namespace().to_owned())
            .or_insert_with(|| Other {
                followed: Followed::new(client.clone(), &self.metrics),
                is_pinned: false,
            });
        other.is_pinned |= pin;
        client
    }

    fn others(&self) -> MutexGuard<'_, BTreeMap<String, Other>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.login.abort();
    }
}

/// A client and the task that reports its session's events.
struct Followed {
    client: Client,
    task: AbortHandle,
}

impl Followed {
    fn new(client: Client, metrics: &Metrics) -> Followed {
        let namespace = client.namespace().to_owned();
        let task = tokio::spawn(follow(namespace, client.states(), metrics.clone()));
        Followed {
            client,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reports connections that are made and lost.
async fn follow(namespace: String, mut states: watch::Receiver<ConnectionState>, metrics: Metrics) {
    let mut last = ConnectionState::default();
    let mut spoken = None;
    loop {
        let state = states.borrow_and_update().clone();
        report(&namespace, &last, &state, &metrics);
        if let Some(to) = state.transport {
            // What comes first is expected to be gRPC.
            let from = spoken.replace(to).unwrap_or(Transport::Grpc);
            report_transport(&namespace, from, to, &metrics);
        }
        last = state;
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// Reports logins that fail. The login is no part of the connection's state, so it is looked at.
async fn follow_login(client: Client, metrics: Metrics) {
    let mut last = None;
    loop {
        let state = client.state();
        let error = match state.login {
            LoginState::Failed { error } => Some(error),
            LoginState::LoggedIn { renewal_error, .. } => renewal_error,
            LoginState::Off => return,
            LoginState::Pending | LoginState::Absent => None,
        };
        if error != last
            && let Some(error) = &error
        {
            let server = state.connection.server.as_deref().unwrap_or_default();
            events::LoginFailed { server, error }.record(&metrics);
        }
        last = error;
        tokio::time::sleep(LOGIN_LOOK).await;
    }
}

fn report(namespace: &str, last: &ConnectionState, state: &ConnectionState, metrics: &Metrics) {
    let is_new = state.epoch != last.epoch;
    let server = |state: &ConnectionState| state.server.clone().unwrap_or_default();
    // A session that another transport took over was not lost.
    let is_handed_over = state.connected && state.transport != last.transport;
    if last.connected && (!state.connected || is_new) && !is_handed_over {
        events::SessionLost {
            namespace,
            server: &server(last),
            error: state
                .last_error
                .as_deref()
                .unwrap_or("replaced by a new one"),
        }
        .record(metrics);
    }
    if state.connected && (!last.connected || is_new) {
        events::SessionConnected {
            namespace,
            server: &server(state),
            transport: state.transport.map_or("", Transport::as_str),
        }
        .record(metrics);
    }
    if !state.connected && !last.connected && state.last_error != last.last_error {
        tracing::warn!(
            target: "pailou",
            namespace,
            error = state.last_error.as_deref().unwrap_or_default(),
            "Nacos cannot be reached"
        );
    }
}

fn report_transport(namespace: &str, from: Transport, to: Transport, metrics: &Metrics) {
    if from != to {
        events::TransportChanged {
            namespace,
            from: from.as_str(),
            to: to.as_str(),
        }
        .record(metrics);
    }
}
