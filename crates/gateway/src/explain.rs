//! Which route would take a request, why other routes do not match, and what the endpoint would get.
//!
//! The admin interface answers for the live table, and `pailou explain` for a document or a running gateway. Nothing is
//! sent. A filter that asks a service is shown, but not run.

mod command;
mod text;
mod walk;

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pailou_routing::{Host, Request, Table, Target};
use serde::{Deserialize, Serialize};

pub(crate) use command::run;

/// The most routes that are listed. A person looks for routes near the one that matched.
const MAX_PASSED_OVER: usize = 50;

/// A request that was not sent: `?path=/api/users/1&method=GET&host=shop.example.com&header=x-canary:true`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// Path and query, as a client would send them.
    path: String,
    #[serde(default = "get")]
    method: String,
    host: Option<String>,
    /// `name:value`, several separated by line breaks.
    header: Option<String>,
    /// `http` or `https`.
    #[serde(default = "http")]
    scheme: String,
    /// The client's address; 127.0.0.1 unless given.
    client: Option<IpAddr>,
}

fn get() -> String {
    Method::GET.to_string()
}

fn http() -> String {
    "http".to_owned()
}

/// What would become of a request.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Explanation {
    /// What is matched after normalisation, and forwarded.
    pub(super) path: String,
    /// The id of the route that takes the request.
    pub(super) route: Option<String>,
    /// Where that route stands: document and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stands: Option<String>,
    /// The service whose endpoint would answer.
    pub(super) service: Option<String>,
    /// Routes that were looked at before it, in order, whose path and host fit but another condition does not.
    pub(super) passed_over: Vec<PassedOver>,
    /// What its predicates bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) bindings: Vec<(String, String)>,
    /// Its filters, in order, and what they do to this request.
    #[serde(default)]
    pub(super) filters: Vec<FilterView>,
    /// What goes to the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<UpstreamView>,
    /// Why no endpoint is asked, where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<String>,
    /// The route that it is forwarded to, and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) forwarded: Option<Box<Explanation>>,
}

/// A route that does not take the request, and the first condition that does not hold.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct PassedOver {
    pub(super) route: String,
    pub(super) predicate: String,
    pub(super) asks_for: String,
}

/// A filter, and the request behind it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct FilterView {
    pub(super) filter: String,
    /// What it does that a head does not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// Path and query after it, if it changed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    /// Headers that it changed, by name; `null` is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) headers: Vec<(String, Option<String>)>,
}

/// What goes to the endpoint, beside the headers that the client sent and those that the gateway adds to every request.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct UpstreamView {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: Option<String>,
    pub(super) balance: String,
    pub(super) subset: String,
    /// What the request says of the endpoints that it wants, where the route lets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<String>,
    /// The endpoints of the service, and why they are in or out.
    pub(super) endpoints: Vec<EndpointLine>,
    /// The endpoint that this request would get; the next one may get another.
    pub(super) picked: Option<String>,
}

/// An endpoint and why it is in or out.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct EndpointLine {
    pub(super) address: String,
    #[serde(rename = "in")]
    pub(super) is_in: bool,
    pub(super) reasons: Vec<String>,
}

/// Answers, or says what of the question is not a request.
pub(crate) fn answer(table: &Table, question: &Question) -> Result<Explanation, String> {
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
    let mut headers = headers(question.header.as_deref().unwrap_or_default())?;
    if let Some(host) = &question.host {
        let value = host.parse::<HeaderValue>();
        headers.insert(http::header::HOST, value.map_err(|_| "host: not a host")?);
    }
    let scheme = match question.scheme.as_str() {
        "http" => "http",
        "https" => "https",
        _ => return Err("scheme: expected http or https".to_owned()),
    };
    let client = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let request = Request {
        scheme,
        client,
        peer: client,
        draw: fastrand::u32(..),
        ..Request::new(&method, host.as_ref().map(Host::name), &target, &headers)
    };
    Ok(walk::walk(table, &request, &headers, 0))
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
