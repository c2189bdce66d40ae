//! Metric series: atomics that are written anywhere and read at scrape.

mod breaker;
mod causes;
mod codes;
mod compression;
mod export;
mod format;
mod histogram;
mod labels;
mod limit;
mod mirror;
mod peak;
mod process;
mod reload;
mod route;
mod service;
mod sharded;
mod slots;
mod spring;
mod tls;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use breaker::BreakerMetrics;
use causes::Causes;
use compression::Compression;
use export::Export;
pub use format::TextFormat;
pub use labels::ServiceLabels;
pub use limit::LimitMetrics;
pub use mirror::{Agreement, MirrorMetrics};
use reload::Reload;
pub use route::RouteMetrics;
pub use service::{EndpointCounts, ServiceMetrics};
pub use slots::SlotMetrics;
use tls::{CertificateState, Certificates, Handshakes};

use crate::events::CredentialState;
use crate::words::{
    CONNECTION_REFUSALS, CREDENTIAL_LOADS, FAILED_TRIES, HEDGES, PRIORITIES, REDIS_OUTCOMES,
    STICKY_OUTCOMES,
};

/// A document or session beyond this many is not counted by name any more: every label set and every table has a bound.
const MAX_NAMES: usize = 1024;

/// All metrics of one process, or of one test; cheap to clone.
///
/// What is measured per request goes through handles ([`Metrics::route`], [`Metrics::service`]) that are looked up when the route is
/// compiled, never per request. The registry keeps them weakly: when the last handle goes, the series goes.
#[derive(Clone, Debug)]
pub struct Metrics {
    state: Arc<State>,
    registry: Arc<Registry>,
}

/// Series by their labels, for as long as anybody holds them.
type Series<K, T> = HashMap<K, Weak<T>>;

/// A route's id and its service.
type RouteLabels = (Box<str>, ServiceLabels);

/// Everything that is measured, shared by the handles and the exporter.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) totals: Totals,
    pub(crate) connections_refused: Causes,
    pub(crate) failed_tries: Causes,
    pub(crate) hedges: Causes,
    pub(crate) redis_requests: Causes,
    pub(crate) credential_loads: Causes,
    pub(crate) sticky_requests: Causes,
    pub(crate) requests_shed: Causes,
    pub(crate) compression: Compression,
    /// Whether Spring Cloud Gateway's names are there beside our own.
    has_spring_names: AtomicBool,
    routes: Mutex<Series<RouteLabels, RouteMetrics>>,
    services: Mutex<Series<ServiceLabels, ServiceMetrics>>,
    breakers: Mutex<Series<Box<str>, BreakerMetrics>>,
    limits: Mutex<Series<Box<str>, LimitMetrics>>,
    slots: Mutex<Series<Box<str>, SlotMetrics>>,
    mirrors: Mutex<Series<Box<str>, MirrorMetrics>>,
    /// Requests that no route took.
    unrouted: Arc<RouteMetrics>,
    documents: Mutex<BTreeMap<Box<str>, DocumentState>>,
    /// By the id of a Nacos and namespace.
    sessions: Mutex<BTreeSet<(Box<str>, Box<str>)>>,
    certificates: Mutex<Certificates>,
}

/// What became of the newest version of a route document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentState {
    Applied,
    /// Some of its routes cannot run; the others are served.
    Partial,
    Refused,
    Missing,
    /// Its source is silent, and the snapshot's version is served.
    Stale,
}

/// The counters and gauges that have no route or service.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) table_publishes: AtomicU64,
    pub(crate) table_revision: AtomicU64,
    pub(crate) table_routes: AtomicU64,
    pub(crate) table_duplicates: AtomicU64,
    pub(crate) table_shadowed: AtomicU64,
    pub(crate) table_publish_nanoseconds: AtomicU64,
    /// Of route documents; whether it went well is the documents' state.
    pub(crate) routes_reloaded: Reload,
    pub(crate) settings_reloaded: Reload,
    pub(crate) document_refusals: AtomicU64,
    pub(crate) source_failures: AtomicU64,
    pub(crate) session_connects: AtomicU64,
    pub(crate) session_losses: AtomicU64,
    pub(crate) transport_changes: AtomicU64,
    pub(crate) login_failures: AtomicU64,
    pub(crate) registration_failures: AtomicU64,
    pub(crate) tasks_ended: AtomicU64,
    pub(crate) snapshot_writes: AtomicU64,
    pub(crate) snapshot_write_failures: AtomicU64,
    pub(crate) snapshots_ignored: AtomicU64,
    pub(crate) snapshot_bytes: AtomicU64,
    pub(crate) ready: AtomicU64,
    pub(crate) requests_in_flight: AtomicU64,
    pub(crate) requests_waiting: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    pub(crate) tls_handshakes: Handshakes,
    pub(crate) gates_opened: AtomicU64,
    /// Places of credentials, by the order of `CredentialState::ALL`.
    pub(crate) credential_sources: [AtomicU64; 3],
    pub(crate) flow_rules: AtomicU64,
    pub(crate) flow_rule_refusals: AtomicU64,
    pub(crate) flow_blocked: AtomicU64,
    pub(crate) redis_up: AtomicU64,
    pub(crate) redis_gateways: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
    pub(crate) certificate_reloads: AtomicU64,
    pub(crate) certificate_refusals: AtomicU64,
    pub(crate) access_log_dropped: Arc<AtomicU64>,
    pub(crate) log_dropped: Arc<AtomicU64>,
}

impl Metrics {
    /// A set of metrics in which nothing has happened yet.
    pub fn new() -> Metrics {
        let state = Arc::new(State {
            totals: Totals::default(),
            connections_refused: Causes::of(CONNECTION_REFUSALS),
            failed_tries: Causes::of(FAILED_TRIES),
            hedges: Causes::of(HEDGES),
            redis_requests: Causes::of(REDIS_OUTCOMES),
            credential_loads: Causes::of(CREDENTIAL_LOADS),
            sticky_requests: Causes::of(STICKY_OUTCOMES),
            requests_shed: Causes::of(PRIORITIES),
            compression: Compression::default(),
            has_spring_names: AtomicBool::new(false),
            routes: Mutex::default(),
            services: Mutex::default(),
            breakers: Mutex::default(),
            limits: Mutex::default(),
            slots: Mutex::default(),
            mirrors: Mutex::default(),
            unrouted: Arc::new(RouteMetrics::new("", &ServiceLabels::default(), false)),
            documents: Mutex::default(),
            sessions: Mutex::default(),
            certificates: Mutex::default(),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Export::new(Arc::clone(&state))));
        Metrics {
            state,
            registry: Arc::new(registry),
        }
    }

    /// Turns on the series of Spring Cloud Gateway, for routes that are compiled after this.
    pub fn add_spring_names(&self) {
        self.state.has_spring_names.store(true, Ordering::Relaxed);
    }

    /// Every series in Prometheus's text format.
    pub fn render(&self) -> String {
        self.render_as(TextFormat::Prometheus)
    }

    /// Every series as text.
    pub fn render_as(&self, format: TextFormat) -> String {
        let mut text = String::new();
        // Writing fails only when the sink does, and a String does not.
        let _ = encode(&mut text, &self.registry);
        if self.state.has_spring_names.load(Ordering::Relaxed) {
            let in_table = self.state.totals.table_routes.load(Ordering::Relaxed);
            spring::add_to(
                &mut text,
                &self.state.live_routes(),
                in_table,
                export::MAX_AT_ZERO,
            );
        }
        match format {
            TextFormat::OpenMetrics => text,
            TextFormat::Prometheus => format::prometheus(&text),
        }
    }

    /// The metrics of a route to a service: the same ones for as long as anybody holds them. A route that a filter answers has no
    /// service, and so empty labels.
    ///
    /// Call it when a route is compiled; it takes a lock.
    pub fn route(&self, route: &str, service: &ServiceLabels) -> Arc<RouteMetrics> {
        let mut routes = lock(&self.state.routes);
        let key = (Box::from(route), service.clone());
        if let Some(metrics) = routes.get(&key).and_then(Weak::upgrade) {
            return metrics;
        }
        prune_when_full(&mut routes);
        let metrics = Arc::new(RouteMetrics::new(
            route,
            service,
            self.state.has_spring_names.load(Ordering::Relaxed),
        ));
        routes.insert(key, Arc::downgrade(&metrics));
        metrics
    }

    /// The metrics of a service: the same ones for as long as anybody holds them.
    ///
    /// Call it when the service is created; it takes a lock.
    pub fn service(&self, service: &ServiceLabels) -> Arc<ServiceMetrics> {
        let mut services = lock(&self.state.services);
        if let Some(metrics) = services.get(service).and_then(Weak::upgrade) {
            return metrics;
        }
        prune_when_full(&mut services);
        let metrics = Arc::new(ServiceMetrics::new(service));
        services.insert(service.clone(), Arc::downgrade(&metrics));
        metrics
    }

    /// The metrics of a circuit breaker: the same ones for as long as anybody holds them.
    ///
    /// Call it when the breaker is made; it takes a lock.
    pub fn breaker(&self, name: &str) -> Arc<BreakerMetrics> {
        let mut breakers = lock(&self.state.breakers);
        if let Some(metrics) = breakers.get(name).and_then(Weak::upgrade) {
            return metrics;
        }
        prune_when_full(&mut breakers);
        let metrics = Arc::new(BreakerMetrics::new(name));
        breakers.insert(name.into(), Arc::downgrade(&metrics));
        metrics
    }

    /// The metrics of the rate limits of a name: the same ones for as long as anybody holds them.
    ///
    /// Call it when the limit is made; it takes a lock.
    pub fn limit(&self, name: &str) -> Arc<LimitMetrics> {
        let mut limits = lock(&self.state.limits);
        if let Some(metrics) = limits.get(name).and_then(Weak::upgrade) {
            return metrics;
        }
        prune_when_full(&mut limits);
        let metrics = Arc::new(LimitMetrics::new(name));
        limits.insert(name.into(), Arc::downgrade(&metrics));
        metrics
    }

    /// The metrics of the places of a name for requests under way: the same ones for as long as anybody holds them.
    ///
    /// Call it when the places are made; it takes a lock.
    pub fn slots(&self, name: &str) -> Arc<SlotMetrics> {
        let mut slots = lock(&self.state.slots);
        if let Some(metrics) = slots.get(name).and_then(Weak::upgrade) {
            return metrics;
        }
        prune_when_full(&mut slots);
        let metrics = Arc::new(SlotMetrics::new(name));
        slots.insert(name.into(), Arc::downgrade(&metrics));
        metrics
    }

    /// The metrics of the mirrors of a name: the same ones for as long as anybody holds them.
    ///
    /// Call it when the mirror is made; it takes a lock.
    pub fn mirror(&self, name: &str) -> Arc<MirrorMetrics> {
        let mut mirrors = lock(&self.state.mirrors);
        if let Some(metrics) = mirrors.get(name).and_then(Weak::upgrade) {
            return metrics;
        }
        prune_when_full(&mut mirrors);
        let metrics = Arc::new(MirrorMetrics::new(name));
        mirrors.insert(name.into(), Arc::downgrade(&metrics));
        metrics
    }

    /// Counts an answer of a route whose clients stick to endpoints, by an outcome out of [`STICKY_OUTCOMES`](crate::words::STICKY_OUTCOMES).
    pub fn stuck(&self, outcome: &'static str) {
        self.state.sticky_requests.count(outcome);
    }

    /// Counts a question to Redis, by an outcome out of [`REDIS_OUTCOMES`](crate::words::REDIS_OUTCOMES).
    pub fn redis_asked(&self, outcome: &'static str) {
        self.state.redis_requests.count(outcome);
    }

    /// Notes how many gateways count in Redis.
    pub fn set_redis_gateways(&self, gateways: u32) {
        let known = &self.state.totals.redis_gateways;
        known.store(gateways.into(), Ordering::Relaxed);
    }

    pub(crate) fn set_redis_up(&self, is_up: bool) {
        let up = &self.state.totals.redis_up;
        up.store(is_up.into(), Ordering::Relaxed);
    }

    /// Gives back the memory of series that nobody holds any more. A scrape does it too, but a gateway may never be scraped: call
    /// it when a table has been replaced.
    pub fn forget_unused(&self) {
        forget_dead(&mut lock(&self.state.routes));
        forget_dead(&mut lock(&self.state.services));
        forget_dead(&mut lock(&self.state.breakers));
    }

    /// Counts an answer that was compressed, by a coding out of [`CODINGS`](crate::words::CODINGS), with its bytes before and after.
    pub fn compressed(&self, coding: &'static str, bytes_in: u64, bytes_out: u64) {
        self.state.compression.count(coding, bytes_in, bytes_out);
    }

    /// Counts a request that a filter's cache has answered, or has not.
    pub fn response_cache_asked(&self, is_hit: bool) {
        let totals = &self.state.totals;
        let counter = match is_hit {
            true => &totals.cache_hits,
            false => &totals.cache_misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a client's connection; it is open until the guard is dropped.
    pub fn connection_opened(&self) -> ConnectionOpen {
        self.state
            .totals
            .connections
            .fetch_add(1, Ordering::Relaxed);
        ConnectionOpen(Gauged::new(&self.state, |totals| &totals.connections_open))
    }

    /// Counts a hedged try that is over, by an outcome out of [`HEDGES`](crate::words::HEDGES).
    pub fn hedged(&self, outcome: &'static str) {
        self.state.hedges.count(outcome);
    }

    /// Counts a try that failed, by its reason.
    pub(crate) fn count_failed_try(&self, reason: &str) {
        self.state.failed_tries.count(reason);
    }

    /// Counts a client's connection that was turned away or cut, by a reason out of
    /// [`CONNECTION_REFUSALS`](crate::words::CONNECTION_REFUSALS).
    pub fn connection_refused(&self, reason: &'static str) {
        self.state.connections_refused.count(reason);
    }

    /// Counts a TLS handshake with a client, of TLS 1.3 or 1.2.
    pub fn tls_handshake(&self, is_v1_3: bool, is_resumed: bool) {
        let handshakes = &self.state.totals.tls_handshakes;
        handshakes.count(is_v1_3, is_resumed);
    }

    /// Notes when the certificate in this file ends, in seconds since 1970, and whether the file has changed into something
    /// that cannot be used.
    pub fn set_certificate(&self, file: &str, ends: i64, is_refused: bool) {
        let mut certificates = lock(&self.state.certificates);
        if certificates.contains_key(file) || certificates.len() < MAX_NAMES {
            certificates.insert(file.into(), CertificateState { ends, is_refused });
        }
    }

    /// Counts a request that went on unchecked, since a gate that fails open got no answer.
    pub fn gate_opened(&self) {
        let opened = &self.state.totals.gates_opened;
        opened.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what came of reading keys or credentials, out of [`CREDENTIAL_LOADS`].
    pub(crate) fn count_credential_load(&self, outcome: &str) {
        self.state.credential_loads.count(outcome);
    }

    /// Notes that a place of credentials is in another state: a new one has none before, one that nobody needs any more has
    /// none after.
    pub fn credential_source(
        &self,
        before: Option<CredentialState>,
        after: Option<CredentialState>,
    ) {
        let sources = &self.state.totals.credential_sources;
        let at = |state: CredentialState| {
            let place = CredentialState::ALL
                .iter()
                .position(|known| *known == state);
            place.and_then(|place| sources.get(place))
        };
        if let Some(gauge) = after.and_then(at) {
            gauge.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(gauge) = before.and_then(at) {
            gauge.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that a flow rule did not let through.
    pub fn flow_blocked(&self) {
        let blocked = &self.state.totals.flow_blocked;
        blocked.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn request_started(&self) -> RequestInFlight {
        RequestInFlight(Gauged::new(&self.state, |totals| {
            &totals.requests_in_flight
        }))
    }

    /// Counts a request as one that waits for its answer until the guard is dropped.
    pub fn request_waits(&self) -> RequestWaiting {
        let waiting = &self.state.totals.requests_waiting;
        RequestWaiting {
            others: waiting.fetch_add(1, Ordering::Relaxed),
            state: Arc::clone(&self.state),
        }
    }

    /// Counts a request that was not let in, by its priority out of [`PRIORITIES`](crate::words::PRIORITIES).
    pub fn request_shed(&self, priority: &'static str) {
        self.state.requests_shed.count(priority);
    }

    /// Notes when the settings in force were taken. A later reload is an event,
    /// [`SettingsReloaded`](crate::events::SettingsReloaded).
    pub fn settings_taken(&self, at: SystemTime) {
        self.state.totals.settings_reloaded.succeeded(at);
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.state.totals
    }

    pub(crate) fn unrouted(&self) -> &RouteMetrics {
        &self.state.unrouted
    }

    pub(crate) fn access_log_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.state.totals.access_log_dropped)
    }

    pub(crate) fn log_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.state.totals.log_dropped)
    }

    pub(crate) fn set_document(&self, document: &str, state: DocumentState) {
        let mut documents = lock(&self.state.documents);
        if documents.contains_key(document) || documents.len() < MAX_NAMES {
            documents.insert(document.into(), state);
        }
    }

    pub(crate) fn set_session(&self, nacos: &str, namespace: &str, connected: bool) {
        let session = (nacos.into(), namespace.into());
        let mut sessions = lock(&self.state.sessions);
        if !connected {
            sessions.remove(&session);
        } else if sessions.len() < MAX_NAMES {
            sessions.insert(session);
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl State {
    /// The routes that are alive, in the order of their names; the dead are forgotten.
    fn live_routes(&self) -> Vec<Arc<RouteMetrics>> {
        let mut live = live(&mut lock(&self.routes));
        live.push(Arc::clone(&self.unrouted));
        live.sort_by(|a, b| (a.route(), a.service()).cmp(&(b.route(), b.service())));
        live
    }

    /// The services that are alive, in the order of their names; the dead are forgotten.
    fn live_services(&self) -> Vec<Arc<ServiceMetrics>> {
        let mut live = live(&mut lock(&self.services));
        live.sort_by(|a, b| a.labels().cmp(b.labels()));
        live
    }

    /// Whether the newest version of every route document is in use.
    fn routes_are_newest(&self) -> bool {
        let documents = lock(&self.documents);
        let is_good = |state| matches!(state, DocumentState::Applied | DocumentState::Stale);
        !documents.is_empty() && documents.values().copied().all(is_good)
    }

    /// The circuit breakers that are alive, in the order of their names; the dead are forgotten.
    fn live_breakers(&self) -> Vec<Arc<BreakerMetrics>> {
        let mut live = live(&mut lock(&self.breakers));
        live.sort_by(|a, b| a.name().cmp(b.name()));
        live
    }

    /// The rate limits that are alive, in the order of their names; the dead are forgotten.
    fn live_limits(&self) -> Vec<Arc<LimitMetrics>> {
        let mut live = live(&mut lock(&self.limits));
        live.sort_by(|a, b| a.name().cmp(b.name()));
        live
    }

    /// The places for requests that are alive, in the order of their names; the dead are forgotten.
    fn live_slots(&self) -> Vec<Arc<SlotMetrics>> {
        let mut live = live(&mut lock(&self.slots));
        live.sort_by(|a, b| a.name().cmp(b.name()));
        live
    }

    /// The mirrors that are alive, in the order of their names; the dead are forgotten.
    fn live_mirrors(&self) -> Vec<Arc<MirrorMetrics>> {
        let mut live = live(&mut lock(&self.mirrors));
        live.sort_by(|a, b| a.name().cmp(b.name()));
        live
    }

    fn documents_that_are(&self, wanted: DocumentState) -> u64 {
        let documents = lock(&self.documents);
        documents.values().filter(|state| **state == wanted).count() as u64
    }

    fn certificates(&self) -> Certificates {
        lock(&self.certificates).clone()
    }

    fn sessions_connected(&self) -> u64 {
        lock(&self.sessions).len() as u64
    }
}

/// One client connection; counted as open until it is dropped.
#[derive(Debug)]
pub struct ConnectionOpen(#[expect(dead_code, reason = "held for its drop")] Gauged);

/// One request; counted as in flight until it is dropped.
#[derive(Debug)]
pub struct RequestInFlight(#[expect(dead_code, reason = "held for its drop")] Gauged);

/// One request that waits for its answer; counted until it is dropped.
#[derive(Debug)]
pub struct RequestWaiting {
    state: Arc<State>,
    others: u64,
}

impl RequestWaiting {
    /// How many waited when this one began to.
    pub fn others(&self) -> u64 {
        self.others
    }
}

impl Drop for RequestWaiting {
    fn drop(&mut self) {
        let waiting = &self.state.totals.requests_waiting;
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Gauged {
    state: Arc<State>,
    gauge: fn(&Totals) -> &AtomicU64,
}

impl Gauged {
    fn new(state: &Arc<State>, gauge: fn(&Totals) -> &AtomicU64) -> Gauged {
        gauge(&state.totals).fetch_add(1, Ordering::Relaxed);
        Gauged {
            state: Arc::clone(state),
            gauge,
        }
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        (self.gauge)(&self.state.totals).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Metrics must survive a panic elsewhere: every section under these locks leaves its map whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live<K: std::hash::Hash + Eq, T>(series: &mut Series<K, T>) -> Vec<Arc<T>> {
    let live: Vec<Arc<T>> = series.values().filter_map(Weak::upgrade).collect();
    if live.len() < series.len() {
        forget_dead(series);
    }
    live
}

/// What is dead keeps its memory as long as its entry is there, and so does a map that was large once.
fn forget_dead<K: std::hash::Hash + Eq, T>(series: &mut Series<K, T>) {
    series.retain(|_, weak| weak.strong_count() > 0);
    series.shrink_to(2 * series.len());
}

/// Forgets dead series when the map would otherwise grow: a gateway that is never scraped stays bounded too.
fn prune_when_full<K: std::hash::Hash + Eq, T>(series: &mut Series<K, T>) {
    if series.len() == series.capacity() {
        series.retain(|_, weak| weak.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests;
