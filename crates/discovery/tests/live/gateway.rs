//! A gateway without a proxy: settings, a Nacos client, discovery and what it writes to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::{Environment, RouteSource, Settings, load_settings};
use pailou_discovery::{Discovery, DocumentState, DocumentView, FeedView};
use pailou_nacos::{Client, ClientOptions};
use pailou_nacos_lite::{Instance, Options, Registry};
use pailou_routing::TableCell;
use pailou_telemetry::Metrics;
use pailou_upstream::{EjectionSettings, EndpointView, Hint, ServiceId, Services};

pub(crate) struct Gateway {
    pub(crate) discovery: Discovery,
    pub(crate) table: TableCell,
    pub(crate) services: Arc<Services>,
    pub(crate) metrics: Metrics,
}

/// The data id of the default route document.
pub(crate) const ROUTES: &str = "pailou-routes.yaml";

/// A Nacos that pushes soon.
pub(crate) async fn registry() -> Registry {
    registry_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
}

/// The same at a fixed address, such as that of one that was stopped.
pub(crate) async fn registry_at(http: SocketAddr) -> Registry {
    let options = Options {
        http,
        push_delay: Duration::from_millis(20),
        ..Options::default()
    };
    Registry::start(options).await.expect("a Nacos")
}

impl Gateway {
    /// A gateway of Nacos at this address, with settings that suit a test.
    pub(crate) fn start(nacos: SocketAddr, edit: impl FnOnce(&mut Settings)) -> Gateway {
        let environment = Environment::from_iter([("PAILOU_NACOS_SERVERS", nacos.to_string())]);
        let loaded = load_settings(None, &environment);
        let mut settings = loaded.expect("valid settings").settings;
        settings.discovery.unsubscribe_after = Duration::from_millis(300);
        settings.discovery.hold = Duration::from_secs(3);
        settings.snapshot.path = None;
        edit(&mut settings);
        let others = settings.other_nacos.clone();
        let connect = move |id: &str, namespace: &str| {
            let servers = others[id].servers.iter().map(ToString::to_string);
            let servers = servers.collect::<Vec<_>>().join(",");
            let mut options = ClientOptions::new(&servers).expect("an address");
            options.namespace = namespace.to_owned();
            Client::connect(options)
        };
        let options = ClientOptions::new(&nacos.to_string()).expect("an address");
        let metrics = Metrics::new();
        let services = Services::new(EjectionSettings::default(), metrics.clone());
        let table = TableCell::default();
        let discovery = Discovery::start(
            &settings,
            &[SocketAddr::from(([127, 0, 0, 1], 18080))],
            Client::connect(options),
            connect,
            Arc::clone(&services),
            table.clone(),
            pailou_filters::Shared::new(metrics.clone()),
        );
        Gateway {
            discovery,
            table,
            services,
            metrics,
        }
    }

    pub(crate) fn document(&self, index: usize) -> DocumentView {
        self.discovery.view().documents.swap_remove(index)
    }

    pub(crate) fn feed(&self, service: &str) -> Option<FeedView> {
        let label = format!("DEFAULT_GROUP@@{service}");
        let feeds = self.discovery.view().services;
        feeds.into_iter().find(|feed| feed.service == label)
    }

    pub(crate) fn endpoints(&self, service: &str) -> Vec<EndpointView> {
        let id = ServiceId::new("", "DEFAULT_GROUP", service);
        self.services.service(&id).view().endpoints
    }

    pub(crate) fn ports(&self, service: &str) -> Vec<u16> {
        let endpoints = self.endpoints(service);
        endpoints
            .iter()
            .map(|endpoint| endpoint.address.port())
            .collect()
    }

    /// The routes of the live table as `id=service`, sorted.
    pub(crate) fn routes(&self) -> Vec<String> {
        let table = self.table.load();
        let name = |route: &Arc<pailou_routing::Route>| {
            let selection = route.target.selection();
            let name = selection.map(|selection| selection.service().id().name.clone());
            format!("{}={}", route.id, name.unwrap_or_default())
        };
        let mut routes: Vec<_> = table.routes().iter().map(name).collect();
        routes.sort();
        routes
    }

    /// Whether a request that takes this route finds an endpoint.
    pub(crate) fn answers(&self, route: &str) -> bool {
        let table = self.table.load();
        table.route(route).is_some_and(|route| {
            route
                .target
                .selection()
                .is_some_and(|all| all.pick(&Hint::first()).is_ok())
        })
    }

    pub(crate) async fn until_routes(&self, routes: &[&str]) {
        until(&format!("the routes are {routes:?}"), || {
            self.routes() == routes
        })
        .await;
    }

    pub(crate) async fn until_state(&self, index: usize, state: DocumentState) {
        until(&format!("document {index} is {state:?}"), || {
            self.document(index).state == state
        })
        .await;
    }

    pub(crate) async fn until_ports(&self, service: &str, ports: &[u16]) {
        until(&format!("{service} is at {ports:?}"), || {
            self.ports(service) == ports
        })
        .await;
    }
}

/// Registers an instance at a loopback port.
pub(crate) fn put(registry: &Registry, service: &str, port: u16) {
    registry.put_instance(service, Instance::new("127.0.0.1", port));
}

pub(crate) fn config(data_id: &str) -> RouteSource {
    config_in("default", "", data_id)
}

pub(crate) fn config_in(nacos: &str, namespace: &str, data_id: &str) -> RouteSource {
    RouteSource::Config {
        nacos: nacos.to_owned(),
        data_id: data_id.to_owned(),
        group: "DEFAULT_GROUP".to_owned(),
        namespace: namespace.to_owned(),
        form: None,
    }
}

/// Polls until the condition holds. The limit is generous, since the machines that run this are slow and shared.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(
            tokio::time::Instant::now() < limit,
            "not within 30 s: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
