//! `/actuator/gateway`, which dashboards and scripts read from a Spring Cloud Gateway, with its JSON keys. It only reads.
//!
//! The keys are Spring's: `route_id`, `predicate`, `filters`, `uri`, `order`, `metadata`. The texts of predicates and
//! filters are close to Spring's and meant for people. Requests that change routes (POST, DELETE) do not exist here, since
//! routes come from their documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pailou_config::{PartSpec, Scalar, Value as Tree};
use pailou_routing::Route;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Facts, problem};

/// The paths under `/actuator/gateway`.
pub(super) fn router(facts: Arc<Facts>) -> Router {
    Router::new()
        .route("/actuator/gateway/routes", get(routes))
        .route("/actuator/gateway/routes/{id}", get(route))
        .route(
            "/actuator/gateway/routes/{id}/combinedfilters",
            get(combined),
        )
        .route("/actuator/gateway/routedefinitions", get(definitions))
        .route(
            "/actuator/gateway/routefilters",
            get(async || Json(filters())),
        )
        .route(
            "/actuator/gateway/routepredicates",
            get(async || Json(predicates())),
        )
        // There are none. What Spring does in global filters is part of the exchange here.
        .route(
            "/actuator/gateway/globalfilters",
            get(async || Json(json!({}))),
        )
        .with_state(facts)
}

/// A route as Spring's actuator shows it.
#[derive(Serialize)]
struct RouteView {
    predicate: String,
    route_id: String,
    filters: Vec<String>,
    uri: String,
    order: i32,
    metadata: BTreeMap<String, String>,
}

async fn routes(State(facts): State<Arc<Facts>>) -> Response {
    let table = facts.table.load();
    let routes: Vec<_> = table.routes().iter().map(|route| view(route)).collect();
    Json(routes).into_response()
}

async fn route(State(facts): State<Arc<Facts>>, Path(id): Path<String>) -> Response {
    let table = facts.table.load();
    match table.route(&id) {
        Some(route) => Json(view(route)).into_response(),
        None => unknown(&id),
    }
}

async fn combined(State(facts): State<Arc<Facts>>, Path(id): Path<String>) -> Response {
    let table = facts.table.load();
    let Some(route) = table.route(&id) else {
        return unknown(&id);
    };
    let filters = route.spec.filters.iter().zip(1..);
    let orders: serde_json::Map<_, _> = filters
        .map(|(part, order)| (shown(part), Value::from(order)))
        .collect();
    Json(orders).into_response()
}

async fn definitions(State(facts): State<Arc<Facts>>) -> Response {
    let table = facts.table.load();
    let part = |part: &PartSpec| json!({ "name": part.name, "args": part.args });
    let definition = |route: &Arc<Route>| {
        let spec = &route.spec;
        json!({
            "id": &*spec.id,
            "predicates": spec.predicates.iter().map(part).collect::<Vec<_>>(),
            "filters": spec.filters.iter().map(part).collect::<Vec<_>>(),
            "uri": spec.uri(),
            "metadata": spec.metadata,
            "order": spec.order,
            "enabled": spec.enabled,
        })
    };
    let definitions: Vec<_> = table.routes().iter().map(definition).collect();
    Json(definitions).into_response()
}

fn unknown(id: &str) -> Response {
    problem(StatusCode::NOT_FOUND, format!("no route has the id {id}"))
}

fn view(route: &Route) -> RouteView {
    let spec = &route.spec;
    let filters = spec.filters.iter().zip(1..);
    RouteView {
        predicate: predicate(route),
        route_id: route.id.to_string(),
        filters: filters
            .map(|(part, order)| format!("[{}, order = {order}]", shown(part)))
            .collect(),
        uri: spec.uri(),
        order: spec.order,
        metadata: spec.metadata.clone(),
    }
}

/// All predicates, each pair in parentheses, as Spring joins them.
fn predicate(route: &Route) -> String {
    let shown = route
        .predicates()
        .map(|(name, predicate)| format!("{name}: {predicate}"));
    shown
        .reduce(|before, next| format!("({before} && {next})"))
        .unwrap_or_default()
}

/// `[StripPrefix parts = 1]`
fn shown(part: &PartSpec) -> String {
    let mut text = format!("[{}", part.name);
    match &part.args.value {
        Tree::Null => {}
        Tree::Mapping(entries) => {
            for (nth, (key, node)) in entries.iter().enumerate() {
                text.push_str(if nth == 0 { " " } else { ", " });
                // Spring's names of what was written without one.
                if !key.text.starts_with("_genkey_") {
                    text.push_str(&format!("{} = ", key.text));
                }
                text.push_str(&scalar(&node.value));
            }
        }
        other => text.push_str(&format!(" {}", scalar(other))),
    }
    text.push(']');
    text
}

fn scalar(value: &Tree) -> String {
    match value {
        Tree::Scalar(Scalar { text, .. }) => text.clone(),
        Tree::Sequence(items) => {
            let items: Vec<_> = items.iter().map(|item| scalar(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Tree::Mapping(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, node)| format!("{} = {}", key.text, scalar(&node.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Tree::Null => String::new(),
    }
}

fn filters() -> Value {
    let names = pailou_filters::REGISTRY.iter().map(|entry| entry.name);
    named(names, "GatewayFilterFactory")
}

fn predicates() -> Value {
    let names = pailou_routing::predicate::REGISTRY.iter();
    named(names.map(|entry| entry.name), "RoutePredicateFactory")
}

/// Spring's shape: the name of a factory and `null`. Names of Pailou's own are shown as they are.
fn named(names: impl Iterator<Item = &'static str>, factory: &str) -> Value {
    let shown =
        |name: &'static str| match name.starts_with(|first: char| first.is_ascii_uppercase()) {
            true => (format!("[{name}{factory}]"), Value::Null),
            false => (format!("[{name}]"), Value::Null),
        };
    Value::Object(names.map(shown).collect())
}
