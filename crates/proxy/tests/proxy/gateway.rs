//! A gateway in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::{
    DocumentOutcome, Environment, LoadedSettings, Reading, Settings, load_settings,
};
use pailou_filters::{Chain, Step};
use pailou_proxy::{Certificates, Listener, Proxy, ProxyOptions, Serving};
use pailou_routing::{Compiler, Route, Table, TableCell};
use pailou_telemetry::{AccessLog, Metrics};
use pailou_upstream::{EndpointSet, EndpointSpec, Service, ServiceId, Services};

use crate::client::Client;

/// The route of most tests: everything to one service.
pub(crate) const ANY: &str = "routes: { any: { path: /**, service: users } }";

pub(crate) struct Gateway {
    pub(crate) serving: Serving,
    pub(crate) metrics: Metrics,
    services: Arc<Services>,
}

impl Gateway {
    /// A gateway with these routes, whose `users` service has these endpoints.
    pub(crate) async fn start(routes: &str, endpoints: &[SocketAddr]) -> Gateway {
        Gateway::with(&[], routes, endpoints).await
    }

    /// The same with settings, given as environment variables.
    pub(crate) async fn with(
        settings: &[(&'static str, &'static str)],
        routes: &str,
        endpoints: &[SocketAddr],
    ) -> Gateway {
        Gateway::with_filters(settings, routes, endpoints, Vec::new).await
    }

    /// The same with filters that no document can name, on every route.
    pub(crate) async fn with_filters(
        settings: &[(&'static str, &'static str)],
        routes: &str,
        endpoints: &[SocketAddr],
        filters: fn() -> Vec<Step>,
    ) -> Gateway {
        let environment = Environment::from_iter(settings.iter().copied());
        let loaded = load_settings(None, &environment).expect("settings");
        let gateway = Gateway::of(&loaded, routes, filters);
        gateway.service("users").update(EndpointSet::of(
            endpoints.iter().map(|address| EndpointSpec::new(*address)),
        ));
        gateway
    }

    /// A gateway with the settings of a file, whose `users` nobody knows yet.
    pub(crate) async fn of_file(settings: &str, routes: &str) -> Gateway {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, settings).expect("a file");
        let loaded = load_settings(Some(&path), &Environment::default()).expect("settings");
        Gateway::of(&loaded, routes, Vec::new)
    }

    fn of(loaded: &LoadedSettings, routes: &str, filters: fn() -> Vec<Step>) -> Gateway {
        let settings = &loaded.settings;
        let metrics = Metrics::new();
        let services = Services::new(settings.ejection.clone(), metrics.clone());
        let cell = TableCell::default();
        cell.publish(table(routes, settings, &services, &metrics, filters));
        tokio::spawn(services.clone().supervise());
        let listeners = &settings.listeners;
        let certificates = Certificates::load(listeners, loaded.document(), &metrics);
        let (certificates, _) = certificates.expect("certificates");
        let local = |_| SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses: Vec<_> = listeners.iter().map(local).collect();
        let bound = Proxy::bind(&addresses).expect("bind");
        let listeners = Listener::all(listeners, &certificates);
        let bound = bound.into_iter().zip(listeners);
        let serving = Proxy::serve(
            bound
                .map(|(bound, listener)| bound.with(listener))
                .collect(),
            ProxyOptions::load(settings).expect("files"),
            cell,
            metrics.clone(),
            AccessLog::off(),
        );
        serving.set_accepting(true);
        Gateway {
            serving,
            metrics,
            services,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.serving.local_addrs()[0]
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    pub(crate) fn service(&self, name: &str) -> Arc<Service> {
        service(&self.services, name)
    }

    /// The sum of the series with this piece in their lines, e.g.
    /// `pailou_requests_total{route="any"`.
    pub(crate) fn metric(&self, piece: &str) -> Option<f64> {
        let text = self.metrics.render();
        let lines = text
            .lines()
            .filter(|line| line.contains(piece) && !line.starts_with('#'));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.reduce(|sum, value| sum + value)
    }
}

fn service(services: &Arc<Services>, name: &str) -> Arc<Service> {
    services.service(&ServiceId::new("", "DEFAULT_GROUP", name))
}

fn table(
    routes: &str,
    settings: &Settings,
    services: &Services,
    metrics: &Metrics,
    filters: fn() -> Vec<Step>,
) -> Table {
    let parsed = match Reading::default().parse("test.yaml", routes) {
        DocumentOutcome::Routes(parsed) => parsed,
        DocumentOutcome::Blank => panic!("no routes"),
        DocumentOutcome::Refused(faults) => panic!("{faults:?}"),
    };
    let shared = pailou_filters::Shared::new(metrics.clone());
    let compiler = Compiler::new(services, metrics, &shared, settings);
    let routes = parsed
        .routes
        .into_iter()
        .map(|spec| {
            let route = Route::compile(Arc::new(spec), &compiler).expect("a sound route");
            let mut route = Arc::into_inner(route).expect("nobody else has it");
            if !filters().is_empty() {
                route.chain = Chain::new(filters());
            }
            Arc::new(route)
        })
        .collect();
    Table::assemble(1, "md5", routes)
}

/// Waits until `holds`; fails after five seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within five seconds: {what}");
}
