//! A running server and what its owner may do with it.

use std::{net::SocketAddr, sync::Arc};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    ConfigKey, Faults, Instance, Options, ServiceKey, StartError,
    core::Core,
    grpc, http, ports,
    serve::{self, Half},
    state::{Owner, Publish},
};

/// A running server. Dropping it kills it; [`Registry::stop`] also waits until its ports are free.
pub struct Registry {
    core: Arc<Core>,
    faults: Faults,
    http: SocketAddr,
    grpc: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Registry {
    /// Starts a server on the current runtime.
    ///
    /// # Errors
    /// When a port cannot be listened on; the error names it.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let (http_listener, grpc_listener) = ports::bind(&options)?;
        let address = |half, listener: &tokio::net::TcpListener| {
            listener.local_addr().map_err(|error| StartError::Address {
                half,
                address: options.http,
                error,
            })
        };
        let (http, grpc) = (
            address("HTTP", &http_listener)?,
            address("gRPC", &grpc_listener)?,
        );
        let core = Arc::new(Core::new(&options));
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        let serve_http = {
            let (core, router) = (core.clone(), http::router(core.clone(), options.v1));
            move |stream, _| http::serve(stream, core.clone(), router.clone())
        };
        let serve_grpc = {
            let core = core.clone();
            move |stream, peer| grpc::serve(stream, peer, core.clone())
        };
        tasks.spawn(serve::run(
            Half::Http,
            http_listener,
            core.clone(),
            stop.subscribe(),
            serve_http,
        ));
        tasks.spawn(serve::run(
            Half::Grpc,
            grpc_listener,
            core.clone(),
            stop.subscribe(),
            serve_grpc,
        ));
        let keeper = core.clone();
        tasks.spawn(async move { keeper.keep().await });
        tracing::info!(%http, %grpc, "an in-memory Nacos is up: it keeps nothing and is not for production");
        Ok(Self {
            faults: Faults::new(core.clone()),
            core,
            http,
            grpc,
            stop,
            tasks,
        })
    }

    /// Where HTTP is served; the port is what clients are configured with.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where gRPC is served.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc
    }

    /// Stops abruptly, like a killed process: connections die, nothing is said to anyone. Both ports are free when
    /// this returns.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // The keeper never ends by itself; the two halves do, and have closed their sockets then.
        for _ in 0..2 {
            self.tasks.join_next().await;
        }
        self.tasks.shutdown().await;
    }

    /// Misbehaviour on command.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Registers an instance that stays until [`Registry::remove_instance`], in place of one with the same address.
    ///
    /// # Panics
    /// When the instance is beyond the server's bound of 500,000, or when the service has instances of the other kind:
    /// all of one are ephemeral, or all are persistent.
    pub fn put_instance(&self, service: impl Into<ServiceKey>, instance: Instance) {
        let owner = Owner::Operator {
            ip: instance.ip.clone(),
            port: instance.port,
        };
        let service = service.into();
        let done = self
            .core
            .with(|state, now| state.register(owner, &service, vec![instance], now));
        done.expect("the registry has room for another instance, and the service takes its kind");
    }

    /// Removes an instance that [`Registry::put_instance`] registered; false if there was none.
    pub fn remove_instance(&self, service: impl Into<ServiceKey>, ip: &str, port: u16) -> bool {
        let owner = Owner::Operator {
            ip: ip.to_owned(),
            port,
        };
        let service = service.into();
        self.core
            .with(|state, now| state.deregister(&owner, &service, now))
    }

    /// All instances of a service as they count now, the disabled and the unhealthy ones among them.
    pub fn instances(&self, service: impl Into<ServiceKey>) -> Vec<Instance> {
        let service = service.into();
        self.core.with(|state, _| state.instances(&service))
    }

    /// How many connections subscribe to a service.
    pub fn subscribers(&self, service: impl Into<ServiceKey>) -> usize {
        let service = service.into();
        self.core.with(|state, _| state.subscribers(&service))
    }

    /// Sends the push that is planned for a service now, for tests that must not depend on time.
    pub fn push_now(&self, service: impl Into<ServiceKey>) {
        let service = service.into();
        self.core.with(|state, now| state.push_now(&service, now));
    }

    /// Publishes a config.
    ///
    /// # Panics
    /// When the content is blank, which Nacos refuses, or beyond the server's bounds.
    pub fn publish_config(&self, config: impl Into<ConfigKey>, content: &str) {
        let config = config.into();
        let publish = Publish {
            content,
            ..Publish::default()
        };
        let done = self
            .core
            .with(|state, now| state.publish(&config, &publish, now));
        done.expect("the content is not blank, and there is room for it");
    }

    /// Removes a config; false if there was none.
    pub fn remove_config(&self, config: impl Into<ConfigKey>) -> bool {
        let config = config.into();
        self.core
            .with(|state, now| state.remove_config(&config, now))
    }

    /// The content of a config.
    pub fn config(&self, config: impl Into<ConfigKey>) -> Option<String> {
        let config = config.into();
        self.core.with(|state, _| {
            state
                .config(&config)
                .map(|stored| stored.content.to_string())
        })
    }

    /// Creates a namespace, which nothing needs: it is only listed. False if its id is taken.
    ///
    /// # Panics
    /// When there are 1,000 already.
    pub fn create_namespace(&self, id: &str, name: &str) -> bool {
        let done = self
            .core
            .with(|state, _| state.create_namespace(id.to_owned(), name.to_owned()));
        done.expect("the registry has room for another namespace")
    }

    /// How many connections listen to a config over gRPC.
    pub fn listeners(&self, config: impl Into<ConfigKey>) -> usize {
        let config = config.into();
        self.core.with(|state, _| state.listeners(&config))
    }

    /// How many gRPC connections are set up.
    pub fn connections(&self) -> usize {
        self.core.with(|state, _| state.connection_count())
    }
}
