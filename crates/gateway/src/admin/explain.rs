//! Which route would take a request, and why not another one.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use pailou_routing::{Host, Request, Table, Target};
use serde::{Deserialize, Serialize};

/// More routes than this are not listed: what a person looks for is near the one that matched.
const MAX_PASSED_OVER: usize = 50;

/// A request that was not sent: `?path=/api/users/1&method=GET&host=shop.example.com&header=x-canary:true`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// Path and query, as a client would send them.
    path: String,
    #[serde(default = "get")]
    method: String,
    host: Option<String>,
    /// `name:value`, several separated by line breaks.
    header: Option<String>,
}

fn get() -> String {
    Method::GET.to_string()
}

#[derive(Serialize)]
pub(super) struct Explanation {
    /// What is matched after normalisation, and forwarded.
    path: String,
    /// The id of the route that takes the request.
    route: Option<String>,
    service: Option<String>,
    /// Routes that were looked at before it, in order, whose path and host fit but another condition does not.
    passed_over: Vec<PassedOver>,
}

#[derive(Serialize)]
struct PassedOver {
    route: String,
    predicate: String,
    asks_for: String,
}

/// Answers, or says what of the question is not a request.
pub(super) fn answer(table: &Table, question: &Question) -> Result<Explanation, String> {
    let target =
        Target::parse(question.path.as_bytes()).map_err(|error| format!("path: {error}"))?;
    let method = Method::from_bytes(question.method.as_bytes())
        .map_err(|_| "method: not a token".to_owned())?;
    let host = question
        .host
        .as_deref()
        .map(|host| Host::parse(host.as_bytes()))
        .transpose();
    let host = host.map_err(|error| format!("host: {error}"))?;
    let headers = headers(question.header.as_deref().unwrap_or_default())?;
    let host = host.as_ref().map(Host::name);
    let request = Request::new(&method, host, &target, &headers);
    let found = table.find(&request).map(|matched| matched.route);
    let passed_over = table
        .explain(&request)
        .map_while(|verdict| Some((verdict.route, verdict.mismatch?)))
        .filter(|(_, (predicate, _))| !matches!(*predicate, "path" | "host"))
        .take(MAX_PASSED_OVER)
        .map(|(route, (predicate, asks_for))| PassedOver {
            route: route.id.to_string(),
            predicate: predicate.to_owned(),
            asks_for,
        })
        .collect();
    Ok(Explanation {
        path: target.path().to_owned(),
        route: found.map(|route| route.id.to_string()),
        service: found
            .and_then(|route| route.target.selection())
            .map(|selection| selection.service().id().to_string()),
        passed_over,
    })
}

fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("header {line:?}: expected name:value"))?;
        let name: HeaderName = name
            .trim()
            .parse()
            .map_err(|_| format!("header {name:?}: not a header name"))?;
        let value: HeaderValue = value
            .trim()
            .parse()
            .map_err(|_| format!("header {name}: not a header value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}
