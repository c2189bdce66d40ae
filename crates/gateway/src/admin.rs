//! The admin interface and the probes: what a person, a kubelet and Prometheus ask.
//!
//! Admin: `/api/v1/status`, `/api/v1/routes`, `/api/v1/services[/{name}]`, `/api/v1/explain`, and the probes. Probes, on
//! an address of their own: `/healthz`, `/readyz`, `/metrics`, and nothing else. All of it only reads, but for two requests
//! of `/monitoring/nacos/service` that need a token.

mod actuator;
mod guard;
mod monitoring;
mod views;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pailou_discovery::Discovery;
use pailou_proxy::{Certificates, Serving};
use pailou_routing::TableCell;
use pailou_telemetry::{Metrics, TextFormat};
use pailou_upstream::Services;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::explain::{self, Question};
pub(crate) use guard::Guard;
pub(crate) use monitoring::Monitoring;

/// Where the gateway is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Listeners are bound, and requests wait.
    Starting,
    /// Requests are accepted.
    Serving,
    /// A signal came.
    Draining,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::Draining => "draining",
        }
    }
}

/// Everything that the interface shows.
pub(crate) struct Facts {
    discovery: Discovery,
    services: Arc<Services>,
    certificates: Certificates,
    table: TableCell,
    metrics: Metrics,
    serving: Arc<Serving>,
    started: Instant,
    phase: Mutex<Phase>,
}

impl Facts {
    pub(crate) fn new(
        discovery: Discovery,
        services: Arc<Services>,
        certificates: Certificates,
        table: TableCell,
        metrics: Metrics,
        serving: Arc<Serving>,
    ) -> Facts {
        let phase = Mutex::new(Phase::Starting);
        Facts {
            discovery,
            services,
            certificates,
            table,
            metrics,
            serving,
            started: Instant::now(),
            phase,
        }
    }

    pub(crate) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.lock()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *self.lock() = phase;
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the gateway may be sent requests, and what stands against it.
    fn readiness(&self) -> (bool, String) {
        let discovered = self.discovery.readiness().borrow().clone();
        match self.phase() {
            Phase::Draining => (false, "shutting down".to_owned()),
            Phase::Serving => (true, discovered.reason),
            Phase::Starting => (false, discovered.reason),
        }
    }
}

/// The probes alone.
pub(crate) fn probes_router(facts: Arc<Facts>) -> Router {
    complete(probes(facts), &PROBES)
}

fn probes(facts: Arc<Facts>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(facts)
}

/// Answers every other path, and every other method, by saying what there is.
fn complete(router: Router, endpoints: &'static [&'static str]) -> Router {
    let lists = move |status: StatusCode, detail: String| {
        let title = status.canonical_reason().unwrap_or_default();
        problem_body(
            status,
            json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "endpoints": endpoints }),
        )
    };
    router
        .method_not_allowed_fallback(async move |method: Method, uri: Uri| {
            let detail = format!("{} does not take {method}", uri.path());
            lists(StatusCode::METHOD_NOT_ALLOWED, detail)
        })
        .fallback(async move |uri: Uri| {
            lists(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
        })
}

/// The admin interface, probes included.
pub(crate) fn admin_router(facts: Arc<Facts>, monitoring: Monitoring, guard: Guard) -> Router {
    let router = Router::new()
        .route("/", get(async || Json(json!({ "endpoints": ENDPOINTS }))))
        .route("/api/v1/status", get(status))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/services", get(services))
        .route("/api/v1/services/{name}", get(service))
        .route("/api/v1/explain", get(explain))
        .with_state(facts.clone())
        .merge(actuator::router(facts.clone()))
        .merge(monitoring::router(facts.clone(), Arc::new(monitoring)))
        .merge(probes(facts));
    let guard = axum::middleware::from_fn_with_state(Arc::new(guard), guard::guard);
    complete(router, &ENDPOINTS).layer(guard)
}

const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

const ENDPOINTS: [&str; 17] = [
    "/api/v1/status",
    "/api/v1/routes",
    "/api/v1/services",
    "/api/v1/services/{name}",
    "/api/v1/explain?path=/api/users/1",
    "/actuator/gateway/routes",
    "/actuator/gateway/routes/{id}",
    "/actuator/gateway/routedefinitions",
    "/actuator/gateway/routefilters",
    "/actuator/gateway/routepredicates",
    "/monitoring/nacos/service",
    "/monitoring/nacos/service/{name}/instances",
    "POST /monitoring/nacos/service/register",
    "POST /monitoring/nacos/service/deregister",
    "/healthz",
    "/readyz",
    "/metrics",
];

async fn readyz(State(facts): State<Arc<Facts>>) -> Response {
    let (ready, reason) = facts.readiness();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({ "ready": ready, "reason": reason }))).into_response()
}

async fn metrics(State(facts): State<Arc<Facts>>, headers: HeaderMap) -> Response {
    let lines = headers.get_all(header::ACCEPT).iter();
    let accept: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    let format = TextFormat::accepted(&accept.join(","));
    (
        [
            (header::CONTENT_TYPE, format.content_type()),
            (header::VARY, "Accept"),
        ],
        facts.metrics.render_as(format),
    )
        .into_response()
}

async fn status(State(facts): State<Arc<Facts>>) -> Response {
    Json(views::status(&facts)).into_response()
}

async fn routes(State(facts): State<Arc<Facts>>) -> Response {
    let table = facts.table.load();
    let routes: Vec<_> = table
        .routes()
        .iter()
        .map(|route| views::route(route))
        .collect();
    Json(routes).into_response()
}

async fn services(State(facts): State<Arc<Facts>>) -> Response {
    Json(views::services(&facts, |_| true)).into_response()
}

/// One service by its name, or by `group@@name` where several groups have that name.
async fn service(State(facts): State<Arc<Facts>>, Path(name): Path<String>) -> Response {
    let mut found = views::services(&facts, |id| *id.name == *name || id.to_string() == name);
    match found.len() {
        0 => problem(
            StatusCode::NOT_FOUND,
            format!("no route names a service {name}"),
        ),
        1 => Json(found.remove(0)).into_response(),
        _ => {
            let names: Vec<_> = found.iter().map(|one| one.view.service.clone()).collect();
            problem(
                StatusCode::CONFLICT,
                format!("say which one: {}", names.join(", ")),
            )
        }
    }
}

async fn explain(
    State(facts): State<Arc<Facts>>,
    question: Result<Query<Question>, QueryRejection>,
) -> Response {
    let question = match question {
        Ok(Query(question)) => question,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    match explain::answer(&facts.table.load(), &question) {
        Ok(explanation) => Json(explanation).into_response(),
        Err(refusal) => problem(StatusCode::BAD_REQUEST, refusal),
    }
}

fn problem(status: StatusCode, detail: String) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    problem_body(status, body)
}

fn problem_body(status: StatusCode, body: Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        Json(body).into_response().into_body(),
    )
        .into_response()
}
