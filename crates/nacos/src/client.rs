//! The client: handles on the session of one namespace.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    core::{Core, normal_namespace},
    error::Error,
    login::Login,
    model::{
        Config, ConfigName, Instance, Origin, Publish, ServiceName, ServicePage, ServiceState,
    },
    network::{Connector, Network, Owned, Tcp},
    options::ClientOptions,
    registration::Registration,
    restart::through_panics,
    session::{self, answers},
    state::{ConnectionState, SessionState},
    watch::{ConfigWatch, ServiceWatch},
    wire,
};

/// How long closing may take: a little more than the session gives its farewell.
const CLOSE_LIMIT: Duration = Duration::from_millis(1200);

/// A Nacos client for one namespace. Cheap to clone; all clones share one connection.
///
/// The client connects in the background and stays connected: to another server when one fails, again and again when
/// all do. Whatever is watched or registered is told to each new connection at once. The session ends when the client
/// is closed, or when the last client, watch and registration is dropped.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Keeps the session of one namespace alive.
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
    family: Arc<Family>,
    session: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("namespace", &self.namespace())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The session says farewell and ends by itself, within a second.
        self.core.close();
    }
}

/// What the namespaces of one client share: the servers and the login.
struct Family {
    options: ClientOptions,
    network: Network,
    login: Arc<Login>,
    /// Present for as long as there are credentials.
    _login_task: Option<Owned<()>>,
    members: Mutex<HashMap<String, Weak<Handle>>>,
}

impl Client {
    /// Starts a client on the current Tokio runtime. It never fails: [`Client::state`] tells how it goes.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn connect(options: ClientOptions) -> Self {
        Self::connect_over(options, Tcp)
    }

    /// Starts a client that reaches its servers by this connector.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn connect_over(options: ClientOptions, connector: impl Connector) -> Self {
        let network = Network::new(Arc::new(connector), &options);
        let login = Arc::new(Login::new(&options));
        let login_task = login.is_on().then(|| {
            let (login, network) = (login.clone(), network.clone());
            let run = move || {
                let (login, network) = (login.clone(), network.clone());
                async move { login.run(&network).await }
            };
            let panicked = |error: &str| {
                tracing::error!(
                    error,
                    "the login to Nacos ended unexpectedly, and begins again"
                );
            };
            Owned(tokio::spawn(through_panics(run, panicked)))
        });
        let namespace = normal_namespace(&options.namespace).to_owned();
        let members = Mutex::default();
        let family = Arc::new(Family {
            options,
            network,
            login,
            _login_task: login_task,
            members,
        });
        Self {
            handle: family.member(&namespace),
        }
    }

    /// The client of another namespace of the same servers: it has a connection of its own, since a push does not say
    /// which namespace it is for, and shares the login. Asking for the same namespace again gives the same session.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn with_namespace(&self, namespace: &str) -> Self {
        Self {
            handle: self.handle.family.member(normal_namespace(namespace)),
        }
    }

    /// The namespace; `""` is the default one.
    pub fn namespace(&self) -> &str {
        &self.core().options.namespace
    }

    /// All that is known of this namespace's session now. Its cost grows with what is watched.
    pub fn state(&self) -> SessionState {
        self.core().state()
    }

    /// The connection's state, to be waited on.
    pub fn states(&self) -> watch::Receiver<ConnectionState> {
        self.core().connection.subscribe()
    }

    /// Watches a service: its whole state, now and after each change. The service need not exist.
    pub fn watch_service(&self, name: impl Into<ServiceName>) -> ServiceWatch {
        ServiceWatch::new(self.handle.clone(), name.into())
    }

    /// Asks once for a service's state. A service that does not exist has no instances.
    ///
    /// # Errors
    /// When there is no connection, or the server does not answer in time or refuses.
    pub async fn query_service(&self, name: impl Into<ServiceName>) -> Result<ServiceState, Error> {
        let name = name.into();
        let request = answers::service_query(self.core(), &name);
        let answer = self.core().ask(request).await?;
        answers::service_state(
            answer.service_info,
            Origin::Query,
            self.states().borrow().epoch,
        )
    }

    /// Asks once for the names of a group's services, page by page. An empty group is the default one.
    ///
    /// # Errors
    /// When there is no connection, or the server does not answer in time or refuses.
    pub async fn list_services(
        &self,
        group: &str,
        page: u32,
        size: u32,
    ) -> Result<ServicePage, Error> {
        let request = wire::ServiceListRequest {
            namespace: self.core().naming_namespace(),
            group_name: ServiceName::new(group, "").group.to_string(),
            page_no: i64::from(page.max(1)),
            page_size: i64::from(size.max(1)),
            ..Default::default()
        };
        let answer = self.core().ask(request).await?;
        // Some servers write the group into the name.
        let plain = |name: String| match name.split_once("@@") {
            Some((_, plain)) => plain.to_owned(),
            None => name,
        };
        Ok(ServicePage {
            names: answer.service_names.into_iter().map(plain).collect(),
            total: u64::try_from(answer.count).unwrap_or_default(),
        })
    }

    /// Sends a request as it is and returns the answer if it is a success: for tools that ask what the other methods do
    /// not, such as for a service in another namespace. Login, time limit and errors are as everywhere.
    ///
    /// # Errors
    /// When there is no connection, or the server does not answer in time or refuses.
    pub async fn request<R>(&self, request: R) -> Result<R::Response, Error>
    where
        R: wire::Request + Clone,
    {
        self.core().ask(request).await
    }

    /// Registers an instance and waits until the server has confirmed it.
    ///
    /// The server keeps one instance per connection and service: a process with several instances of one service
    /// needs a client for each.
    ///
    /// # Errors
    /// When this client already has an instance of the service, the instance cannot be sent, or the server refuses it
    /// or does not confirm it within the request timeout. Nothing stays registered then;
    /// [`Client::keep_registered`] goes on trying instead.
    pub async fn register(
        &self,
        name: impl Into<ServiceName>,
        instance: Instance,
    ) -> Result<Registration, Error> {
        let mut registration = self.keep_registered(name, instance)?;
        registration.confirmed().await?;
        Ok(registration)
    }

    /// Registers an instance as soon as the server can be reached and lets us, without waiting for it.
    ///
    /// # Errors
    /// When this client already has an instance of the service, or the instance cannot be sent.
    pub fn keep_registered(
        &self,
        name: impl Into<ServiceName>,
        instance: Instance,
    ) -> Result<Registration, Error> {
        Registration::new(self.handle.clone(), name.into(), instance)
    }

    /// Asks once for a config; `None` when the server says that there is none.
    ///
    /// # Errors
    /// When there is no connection, or the server does not answer in time or refuses.
    pub async fn config(&self, name: impl Into<ConfigName>) -> Result<Option<Arc<Config>>, Error> {
        let answer = self
            .core()
            .ask(answers::config_query(self.core(), &name.into()))
            .await;
        Ok(answers::config_state(answer)?.config().cloned())
    }

    /// Watches a config: its content, now and after each change, or that there is none.
    pub fn watch_config(&self, name: impl Into<ConfigName>) -> ConfigWatch {
        ConfigWatch::new(self.handle.clone(), name.into())
    }

    /// Publishes a config. Watchers learn of it through the server.
    ///
    /// # Errors
    /// When the content is blank (servers refuse it), there is no connection, or the server does not answer in time
    /// or refuses, as a server since 3.0 does when the hash of [`Publish::if_md5`] is not the present one.
    pub async fn publish_config(
        &self,
        name: impl Into<ConfigName>,
        content: impl Into<String>,
        how: Publish,
    ) -> Result<(), Error> {
        let (name, content) = (name.into(), content.into());
        if content.trim().is_empty() {
            return Err(Error::Invalid("a config's content must not be blank"));
        }
        let request = wire::ConfigPublishRequest {
            data_id: name.data_id.to_string(),
            group: name.group.to_string(),
            tenant: self.core().tenant(),
            content,
            cas_md5: how.if_md5,
            addition_map: how
                .kind
                .map(|kind| ("type".to_owned(), kind))
                .into_iter()
                .collect(),
            ..Default::default()
        };
        self.core().ask(request).await.map(drop)
    }

    /// Removes a config. It is no fault when there is none.
    ///
    /// # Errors
    /// When there is no connection, or the server does not answer in time or refuses.
    pub async fn remove_config(&self, name: impl Into<ConfigName>) -> Result<(), Error> {
        let name = name.into();
        let request = wire::ConfigRemoveRequest {
            data_id: name.data_id.to_string(),
            group: name.group.to_string(),
            tenant: self.core().tenant(),
            ..Default::default()
        };
        self.core().ask(request).await.map(drop)
    }

    /// Deregisters everything, ends the connection and returns when that is done, after little more than a second at
    /// the latest. Other clones, watches and registrations of this namespace stop working.
    pub async fn close(self) {
        self.core().close();
        let session = self
            .handle
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(session) = session
            && timeout(CLOSE_LIMIT, session).await.is_err()
        {
            tracing::warn!(
                namespace = self.namespace(),
                "the Nacos session did not end in time"
            );
        }
    }

    fn core(&self) -> &Core {
        &self.handle.core
    }
}

impl Family {
    /// The session of a namespace: the running one, or a new one.
    fn member(self: &Arc<Self>, namespace: &str) -> Arc<Handle> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let running = members.get(namespace).and_then(Weak::upgrade);
        if let Some(handle) = running.filter(|handle| !handle.core.is_closing()) {
            return handle;
        }
        let options = ClientOptions {
            namespace: namespace.to_owned(),
            ..self.options.clone()
        };
        let core = Arc::new(Core::new(options, self.network.clone(), self.login.clone()));
        let session = Mutex::new(Some(tokio::spawn(session::keep(core.clone()))));
        let handle = Arc::new(Handle {
            core,
            family: self.clone(),
            session,
        });
        members.retain(|_, member| member.strong_count() > 0);
        members.insert(namespace.to_owned(), Arc::downgrade(&handle));
        handle
    }
}
