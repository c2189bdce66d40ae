//! What the admin interface shows, as plain data.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pailou_config::{PartSpec, format_duration};
use pailou_discovery::{
    DocumentView, FeedView, RegistrationView, SessionView, SnapshotView, TableView,
};
use pailou_proxy::CertificateView;
use pailou_routing::Route;
use pailou_upstream::{ServiceId, ServiceView};
use serde::Serialize;
use serde_json::{Value, json};

use super::Facts;

/// The whole gateway at one glance, the most asked first.
#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    ready: bool,
    reason: String,
    stale: bool,
    phase: &'static str,
    uptime_seconds: u64,
    listeners: Vec<SocketAddr>,
    certificates: Vec<CertificateView>,
    connections: usize,
    in_flight: usize,
    table: TableView,
    documents: Vec<DocumentView>,
    nacos: Vec<SessionView>,
    registration: RegistrationView,
    snapshot: Option<SnapshotView>,
}

pub(super) fn status(facts: &Facts) -> Status {
    let (ready, reason) = facts.readiness();
    let view = facts.discovery.view();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        ready,
        reason,
        stale: view.stale,
        phase: facts.phase().name(),
        uptime_seconds: facts.started.elapsed().as_secs(),
        listeners: facts.serving.local_addrs().to_vec(),
        certificates: facts.certificates.view(),
        connections: facts.serving.connections(),
        in_flight: facts.serving.in_flight(),
        table: view.table,
        documents: view.documents,
        nacos: view.sessions,
        registration: view.registration,
        snapshot: view.snapshot,
    }
}

/// A route as it runs, its defaults filled in.
#[derive(Serialize)]
pub(super) struct RouteView {
    id: String,
    document: String,
    line: u32,
    order: i32,
    predicates: BTreeMap<String, Value>,
    filters: Vec<Value>,
    service: Option<String>,
    subset: Option<String>,
    balance: Option<&'static str>,
    timeout: String,
    connect_timeout: String,
    read_timeout: String,
    tunnel_idle_timeout: String,
    total_timeout: Option<String>,
    retries: u32,
    metadata: BTreeMap<String, String>,
    requests: u64,
}

pub(super) fn route(route: &Route) -> RouteView {
    let spec = &route.spec;
    let timeouts = &route.timeouts;
    let selection = route.target.selection();
    RouteView {
        id: route.id.to_string(),
        document: spec.document.to_string(),
        line: spec.at.line,
        order: spec.order,
        predicates: spec
            .predicates
            .iter()
            .map(|part| (part.name.clone(), json!(part.args)))
            .collect(),
        filters: spec.filters.iter().map(part).collect(),
        service: selection.map(|selection| selection.service().id().to_string()),
        subset: selection.map(|selection| selection.subset().to_string()),
        balance: selection.map(|selection| selection.policy().name()),
        timeout: format_duration(timeouts.response),
        connect_timeout: format_duration(timeouts.connect),
        read_timeout: format_duration(timeouts.read),
        tunnel_idle_timeout: format_duration(timeouts.tunnel_idle),
        total_timeout: timeouts.total.map(format_duration),
        retries: route.retry.retries,
        metadata: spec.metadata.clone(),
        requests: route.metrics.requests(),
    }
}

/// As it is written in a document: `{ name: arguments }`.
fn part(part: &PartSpec) -> Value {
    json!({ &part.name: part.args })
}

/// A service: its endpoints and what Nacos last said.
#[derive(Serialize)]
pub(super) struct ServiceWithFeed {
    #[serde(flatten)]
    pub(super) view: ServiceView,
    feed: Option<FeedView>,
}

/// The services that routes name and whose id fulfils a condition, by id.
pub(super) fn services(facts: &Facts, wanted: impl Fn(&ServiceId) -> bool) -> Vec<ServiceWithFeed> {
    let mut feeds: BTreeMap<String, FeedView> = facts
        .discovery
        .view()
        .services
        .into_iter()
        .map(|feed| (feed.service.clone(), feed))
        .collect();
    let mut services = facts.services.all();
    services.sort_by(|a, b| a.id().cmp(b.id()));
    services
        .into_iter()
        .filter(|service| wanted(service.id()))
        .map(|service| {
            let view = service.view();
            ServiceWithFeed {
                feed: feeds.remove(&view.service),
                view,
            }
        })
        .collect()
}
