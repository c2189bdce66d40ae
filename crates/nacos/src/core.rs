//! What the session of one namespace and its handles share.

use std::{sync::Arc, time::SystemTime};

use tokio::{sync::watch, time::timeout};

use crate::{
    desired::Desired,
    error::Error,
    link::Link,
    login::Login,
    model::ConfigName,
    network::Network,
    options::ClientOptions,
    state::{ConnectionState, Counters, SessionState, unix_ms},
    wire,
};

pub(crate) struct Core {
    pub(crate) options: ClientOptions,
    pub(crate) network: Network,
    pub(crate) login: Arc<Login>,
    pub(crate) desired: Desired,
    pub(crate) counters: Counters,
    pub(crate) connection: watch::Sender<ConnectionState>,
    link: watch::Sender<Option<Link>>,
    closing: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(mut options: ClientOptions, network: Network, login: Arc<Login>) -> Self {
        options.namespace = normal_namespace(&options.namespace).to_owned();
        Self {
            options,
            network,
            login,
            desired: Desired::default(),
            counters: Counters::default(),
            connection: watch::Sender::default(),
            link: watch::Sender::default(),
            closing: watch::Sender::default(),
        }
    }

    /// The namespace as naming requests want it.
    pub(crate) fn naming_namespace(&self) -> String {
        if self.options.namespace.is_empty() {
            wire::PUBLIC.into()
        } else {
            self.options.namespace.clone()
        }
    }

    /// The namespace as config requests want it.
    pub(crate) fn tenant(&self) -> String {
        self.options.namespace.clone()
    }

    /// The config that a message names, if it is of this namespace.
    pub(crate) fn config_of(
        &self,
        tenant: Option<&str>,
        group: &str,
        data_id: &str,
    ) -> Option<ConfigName> {
        (normal_namespace(tenant.unwrap_or_default()) == self.options.namespace)
            .then(|| ConfigName::new(group, data_id))
    }

    /// Sends a request over the present connection, waiting for one if there is none.
    pub(crate) async fn ask<R>(&self, request: R) -> Result<R::Response, Error>
    where
        R: wire::Request + Clone,
    {
        let mut links = self.link.subscribe();
        let mut closing = self.closing.subscribe();
        let connected = async {
            tokio::select! {
                link = links.wait_for(Option::is_some) => link.ok().and_then(|link| link.clone()).ok_or(Error::Closed),
                _ = closing.wait_for(|closing| *closing) => Err(Error::Closed),
            }
        };
        let link = match timeout(self.options.request_timeout, connected).await {
            Ok(link) => link?,
            Err(_) => return Err(self.late(R::KIND)),
        };
        self.ask_over(&link, request).await
    }

    /// Sends a request over this connection. A refusal for lack of rights leads to one shared new login and one retry.
    pub(crate) async fn ask_over<R>(&self, link: &Link, request: R) -> Result<R::Response, Error>
    where
        R: wire::Request + Clone,
    {
        self.authorized(|token| {
            let request = request.clone();
            async move { link.send(self, request, token.as_deref()).await }
        })
        .await
    }

    /// Does something with the login's token, and once more with a new one when it was refused for lack of rights.
    pub(crate) async fn authorized<T, F>(
        &self,
        act: impl Fn(Option<Arc<str>>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let access = self.login.access(self.options.request_timeout).await;
        let first = act(access.token).await;
        if !matches!(first, Err(Error::Forbidden { .. })) {
            return first;
        }
        match self
            .login
            .renewed(access.generation, self.options.request_timeout)
            .await
        {
            Some(access) => act(access.token).await,
            None => first,
        }
    }

    /// The error of a request that was not answered in time: what is missing is the answer or the connection.
    pub(crate) fn late(&self, operation: &'static str) -> Error {
        let connection = self.connection.borrow();
        if connection.connected {
            return Error::Timeout {
                operation,
                after: self.options.request_timeout,
            };
        }
        let reason = connection.last_error.clone();
        Error::NotConnected(reason.unwrap_or_else(|| "the first attempt is not over".into()))
    }

    /// There is a new connection; it takes the place of the one before when that is still there.
    pub(crate) fn connected(&self, link: Link, server: String) {
        self.counters.connections.increment();
        self.desired.disconnected();
        self.connection.send_modify(|state| {
            state.connected = true;
            state.server = Some(server);
            state.transport = Some(link.transport());
            state.connected_since_unix_ms = Some(unix_ms(SystemTime::now()));
            state.epoch = link.epoch;
        });
        self.desired.connected();
        self.link.send_replace(Some(link));
    }

    pub(crate) fn disconnected(&self, error: Option<&Error>) {
        self.link.send_replace(None);
        self.desired.disconnected();
        self.connection.send_modify(|state| {
            state.connected = false;
            state.server = None;
            state.transport = None;
            state.connected_since_unix_ms = None;
            if let Some(error) = error {
                state.last_error = Some(error.to_string());
                state.last_error_unix_ms = Some(unix_ms(SystemTime::now()));
            }
        });
    }

    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Returns when the client is to end.
    pub(crate) async fn closing(&self) {
        // The sender is ours, so that the wait can only end with the value.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    pub(crate) fn state(&self) -> SessionState {
        let connection = self.connection.borrow().clone();
        let epoch = connection.connected.then_some(connection.epoch);
        SessionState {
            namespace: self.options.namespace.clone(),
            login: self.login.state(),
            services: self.desired.services(epoch),
            configs: self.desired.configs(epoch),
            registrations: self.desired.registrations(),
            counts: self.login.counted(self.counters.counts()),
            connection,
        }
    }
}

/// `""` for the default namespace, whichever of its two names is used.
pub(crate) fn normal_namespace(namespace: &str) -> &str {
    if namespace == wire::PUBLIC {
        ""
    } else {
        namespace
    }
}
