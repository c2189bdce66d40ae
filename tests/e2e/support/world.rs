//! A whole small world: a Nacos, services registered through the real client, the gateway before them.

use std::net::SocketAddr;

use pailou_nacos::{Client, ClientOptions, Instance, Publish, Registration, ServiceName};
use pailou_nacos_lite::{Options, Registry};

use super::gateway::Gateway;
use super::until;
use super::upstream::Upstream;

/// The data id that the gateway reads its routes from, unless a case says otherwise.
pub(crate) const ROUTES: &str = "pailou-routes.yaml";

/// A Nacos and an operator who publishes and registers. The gateway is started by the case.
pub(crate) struct World {
    registry: Option<Registry>,
    http: SocketAddr,
    grpc: SocketAddr,
    operator: Client,
}

/// An instance that stays registered until this is dropped or taken out.
pub(crate) struct Registered {
    client: Client,
    registration: Registration,
}

impl World {
    /// A fresh Nacos on free ports.
    pub(crate) async fn new() -> World {
        World::with(Options::default()).await
    }

    /// A Nacos with options.
    pub(crate) async fn with(options: Options) -> World {
        let registry = Registry::start(options).await.expect("a Nacos");
        let (http, grpc) = (registry.http_addr(), registry.grpc_addr());
        World {
            registry: Some(registry),
            http,
            grpc,
            operator: Client::connect(client_options(http, grpc)),
        }
    }

    /// A world, one service with one upstream, one route `/api/users/**` to it, and a ready gateway.
    pub(crate) async fn small() -> (World, Upstream, Registered, Gateway) {
        World::small_with("").await
    }

    /// The same with more settings.
    pub(crate) async fn small_with(more: &str) -> (World, Upstream, Registered, Gateway) {
        let world = World::new().await;
        let upstream = Upstream::start("one");
        let registered = world.register("user-service", upstream.address()).await;
        world
            .publish("routes: { /api/users/**: user-service }")
            .await;
        let gateway = world.gateway_with(more).await.ready().await;
        (world, upstream, registered, gateway)
    }

    /// Where Nacos's HTTP API is.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where Nacos's gRPC half is.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Nacos, for what only its owner can do.
    ///
    /// # Panics
    /// While it is killed.
    pub(crate) fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("Nacos runs")
    }

    /// What an operator does with `curl -X PUT`: the whole edit of an instance.
    pub(crate) async fn put(&self, service: &str, address: SocketAddr, edit: &str) {
        let url = format!(
            "http://{}/nacos/v1/ns/instance?serviceName={service}&ip={}&port={}&{edit}",
            self.http,
            address.ip(),
            address.port()
        );
        let answer = reqwest::Client::new().put(url).send().await;
        assert_eq!(answer.expect("an answer").status(), 200, "{edit}");
    }

    /// What Nacos holds of a service; nothing while it is down.
    pub(crate) fn instances(&self, service: &str) -> Vec<pailou_nacos_lite::Instance> {
        let registry = self.registry.as_ref();
        registry.map_or_else(Vec::new, |registry| registry.instances(service))
    }

    /// Settings that point a gateway at this Nacos, every listener on a free port, and short waits.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]\n\
             {}probes: {{ address: '127.0.0.1:0' }}\n\
             nacos: {{ servers: ['{}'], grpc_port: {} }}\n{}{}\n",
            if more.contains("admin:") {
                ""
            } else {
                "admin: { address: '127.0.0.1:0' }\n"
            },
            self.http,
            self.grpc.port(),
            if more.contains("routes:") {
                ""
            } else {
                "routes: [{ data_id: pailou-routes.yaml }]\n"
            },
            if more.contains("shutdown:") {
                more.to_owned()
            } else {
                format!("shutdown: {{ drain_delay: 200ms, deadline: 10s }}\n{more}")
            },
        )
    }

    /// The same with other listeners.
    pub(crate) fn settings_with_listeners(&self, listeners: &[&str], more: &str) -> String {
        let plain = "listeners: [{ address: '127.0.0.1:0' }]";
        let settings = self.settings(more);
        assert!(settings.contains(plain), "{settings}");
        let listener = |keys: &&str| format!("{{ address: '127.0.0.1:0', {keys} }}");
        let listeners: Vec<_> = listeners.iter().map(listener).collect();
        settings.replace(plain, &format!("listeners: [{}]", listeners.join(", ")))
    }

    /// A world, one service with one upstream, one route `/api/users/**` to it, and a ready gateway with these listeners.
    pub(crate) async fn small_with_listeners(
        listeners: &[&str],
        more: &str,
    ) -> (World, Upstream, Registered, Gateway) {
        let world = World::new().await;
        let upstream = Upstream::start("one");
        let registered = world.register("user-service", upstream.address()).await;
        world
            .publish("routes: { /api/users/**: user-service }")
            .await;
        let settings = world.settings_with_listeners(listeners, more);
        let gateway = Gateway::start(&settings).await.ready().await;
        (world, upstream, registered, gateway)
    }

    /// A gateway on this Nacos.
    pub(crate) async fn gateway(&self) -> Gateway {
        self.gateway_with("").await
    }

    /// A gateway on this Nacos, with more settings.
    pub(crate) async fn gateway_with(&self, more: &str) -> Gateway {
        Gateway::start(&self.settings(more)).await
    }

    /// A client of its own, as a service would have.
    pub(crate) fn client(&self) -> Client {
        Client::connect(client_options(self.http, self.grpc))
    }

    /// Registers an instance with weight 1.
    pub(crate) async fn register(&self, service: &str, address: SocketAddr) -> Registered {
        self.register_weighted(service, address, 1.0).await
    }

    /// Registers an instance.
    pub(crate) async fn register_weighted(
        &self,
        service: &str,
        address: SocketAddr,
        weight: f64,
    ) -> Registered {
        let mut instance = Instance::new(address.ip().to_string(), address.port());
        instance.weight = weight;
        self.register_instance(service, instance).await
    }

    /// Registers an instance as it is given.
    pub(crate) async fn register_instance(
        &self,
        service: impl Into<ServiceName>,
        instance: Instance,
    ) -> Registered {
        self.register_over(self.client(), service, instance).await
    }

    /// The same over a client of the caller's, such as one of another namespace.
    pub(crate) async fn register_over(
        &self,
        client: Client,
        service: impl Into<ServiceName>,
        instance: Instance,
    ) -> Registered {
        let registration = client
            .register(service, instance)
            .await
            .expect("a registration");
        Registered {
            client,
            registration,
        }
    }

    /// Publishes the route document.
    pub(crate) async fn publish(&self, document: &str) {
        self.publish_as(ROUTES, document).await;
    }

    /// Publishes any config.
    pub(crate) async fn publish_as(&self, data_id: &str, content: &str) {
        self.operator
            .publish_config(data_id, content, Publish::default())
            .await
            .expect("published");
    }

    /// Removes a config.
    pub(crate) async fn remove(&self, data_id: &str) {
        self.operator.remove_config(data_id).await.expect("removed");
    }

    /// Kills Nacos: connections die, ports close.
    pub(crate) async fn kill_registry(&mut self) {
        self.registry.take().expect("Nacos runs").stop().await;
    }

    /// Starts a Nacos that knows nothing where the old one was.
    pub(crate) async fn restart_registry(&mut self) {
        let options = Options {
            http: self.http,
            grpc: Some(self.grpc),
            ..Options::default()
        };
        self.registry = Some(
            Registry::start(options)
                .await
                .expect("a Nacos on the same ports"),
        );
    }
}

impl Registered {
    /// Takes the instance out as a service that shuts down does.
    pub(crate) async fn deregister(self) {
        self.registration.deregister().await.expect("deregistered");
        self.client.close().await;
    }

    /// Changes the instance.
    pub(crate) async fn update(&mut self, instance: Instance) {
        self.registration.update(instance).await.expect("updated");
    }
}

/// Sends GETs until one is answered by the named upstream.
pub(crate) async fn until_answered_by(url: &str, upstream: &str) {
    until(&format!("{url} to be answered by {upstream}"), async || {
        let response = reqwest::get(url).await.ok()?;
        (response.headers().get("x-instance")? == upstream).then_some(())
    })
    .await;
}

/// Sends GETs until one has this status.
pub(crate) async fn until_status(url: &str, status: u16) {
    until(&format!("{url} to answer {status}"), async || {
        (reqwest::get(url).await.ok()?.status() == status).then_some(())
    })
    .await;
}

fn client_options(http: SocketAddr, grpc: SocketAddr) -> ClientOptions {
    let mut options = ClientOptions::new(&http.to_string()).expect("an address");
    options.grpc_port = Some(grpc.port());
    options
}
