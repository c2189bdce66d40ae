//! From a checked head to the route that answers: the first match, its steps,
//! and the route that it forwards to, if it forwards.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use pailou_filters::{Bindings, Facts, Failure, FlowRequest};
use pailou_routing::{Decided, Host, Refusal, RouteTarget, Target};
use tokio::time::Instant;

use crate::cause::Cause;
use crate::exchange::{Ended, Exchange};
use crate::flow;
use crate::plan;
use crate::steps;

/// The head that every try will send, while steps still change it.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) path: Cow<'a, str>,
    pub(crate) query: Option<Cow<'a, str>>,
    pub(crate) headers: HeaderMap,
}

/// Finds the route of a request and runs its steps, and repeats that while routes
/// forward the request. `host` is the name in the Host header.
pub(crate) async fn dispatch(
    exchange: &mut Exchange,
    host: Option<&str>,
    target: &Target<'_>,
    draft: &mut Draft<'_>,
) -> Result<(), Ended> {
    let decoded = match find(exchange, host, target, &draft.headers) {
        Err(Cause::NoRoute) => return Err(unrouted(exchange, host, target, &draft.headers)),
        found => found?,
    };
    if let Some(target) = decoded.target {
        draft.path = Cow::Owned(target);
    }
    plan::introduce(exchange, &mut draft.headers)?;
    choose_part(exchange, draft, false);
    pass(exchange, decoded.bindings, None, draft).await?;
    follow(exchange, host, draft).await?;
    choose_key(exchange, draft);
    Ok(())
}

/// The end of a request that no route takes: a 404, unless CORS settings answer it.
fn unrouted(
    exchange: &mut Exchange,
    host: Option<&str>,
    target: &Target<'_>,
    headers: &HeaderMap,
) -> Ended {
    let table = exchange.server.table.load();
    let request = request(exchange, host, target, headers);
    let (answer, changes) = table.unrouted(&request, &exchange.host);
    drop(table);
    exchange.response_changes.extend(changes);
    answer.map_or(Cause::NoRoute.into(), Ended::Answered)
}

/// Goes on from route to route while they forward the request. In a box: few do.
async fn follow(
    exchange: &mut Exchange,
    host: Option<&str>,
    draft: &mut Draft<'_>,
) -> Result<(), Ended> {
    match forward(exchange) {
        Some(_) => Box::pin(follow_on(exchange, host, draft)).await,
        None => Ok(()),
    }
}

async fn follow_on(
    exchange: &mut Exchange,
    host: Option<&str>,
    draft: &mut Draft<'_>,
) -> Result<(), Ended> {
    for _ in 0..RouteTarget::MAX_FORWARDS {
        let Some(path) = forward(exchange) else {
            return Ok(());
        };
        divert(exchange, host, &path, None, draft).await?;
    }
    match forward(exchange) {
        Some(_) => Err(Cause::Loop.into()),
        None => Ok(()),
    }
}

/// Finds the route that takes the path of `draft`, where a circuit breaker has sent
/// the request for a `failure`, and runs its steps.
pub(crate) async fn again(
    exchange: &mut Exchange,
    draft: &mut Draft<'_>,
    failure: Failure,
) -> Result<(), Ended> {
    let host = exchange.host.clone();
    let host = Host::parse(host.as_bytes()).ok();
    let host = host.as_ref().map(Host::name);
    let path = draft.path.to_string();
    divert(exchange, host, &path, Some(failure), draft).await?;
    follow(exchange, host, draft).await?;
    choose_key(exchange, draft);
    Ok(())
}

/// Gives the request another path, finds the route that takes the path, and runs its
/// steps. After a `failure` the second route has a time-out of its own, since the first
/// route may have used up its time.
async fn divert(
    exchange: &mut Exchange,
    host: Option<&str>,
    path: &str,
    failure: Option<Failure>,
    draft: &mut Draft<'_>,
) -> Result<(), Ended> {
    let whole = match draft.query.as_deref() {
        Some(query) => Cow::Owned(format!("{path}?{query}")),
        None => Cow::Borrowed(path),
    };
    let target = Target::parse(whole.as_bytes()).map_err(|_| Cause::Internal)?;
    let found = find(exchange, host, &target, &draft.headers)?;
    plan::set_deadlines(exchange, None);
    if failure.is_some() {
        let timeout = exchange.route.as_ref().map(|route| route.timeouts.response);
        exchange.response_due = timeout.map(|timeout| Instant::now() + timeout);
    }
    choose_part(exchange, draft, false);
    draft.path = Cow::Owned(target.forwarded_path().to_owned());
    pass(exchange, found.bindings, failure, draft).await
}

/// Which endpoints of the route's service the request wants, if it may say so. Where it depends on who the request is of, that is
/// known once the steps were `passed`.
fn choose_part(exchange: &mut Exchange, draft: &mut Draft<'_>, passed: bool) {
    let route = exchange.route.as_ref();
    let canary = route.and_then(|route| route.canary.as_ref());
    if let Some(canary) = canary.filter(|canary| canary.needs_identity() == passed) {
        let identity = exchange.identity.as_deref();
        exchange.part = canary.part(draft.query.as_deref(), &mut draft.headers, identity);
    }
}

/// What keeps the request together with others: as the route's steps left its head, so that they can give it a key.
fn choose_key(exchange: &mut Exchange, draft: &Draft<'_>) {
    let key = exchange.route.as_ref().and_then(|route| {
        let key = route.hash_key.as_ref()?;
        let identity = exchange.identity.as_deref();
        key.of(
            exchange.client,
            draft.query.as_deref(),
            &draft.headers,
            identity,
        )
    });
    exchange.key = key;
}

/// Where the route forwards to.
fn forward(exchange: &Exchange) -> Option<String> {
    match &exchange.route.as_ref()?.target {
        RouteTarget::Forward(path) => Some(path.to_string()),
        RouteTarget::Service(_) | RouteTarget::Filter => None,
    }
}

/// Runs the route's steps. In a box: most routes have none, and what a gate needs
/// is large.
async fn pass(
    exchange: &mut Exchange,
    bindings: Bindings,
    failure: Option<Failure>,
    draft: &mut Draft<'_>,
) -> Result<(), Ended> {
    let counts = !std::mem::replace(&mut exchange.is_counted, true);
    if counts {
        admit(exchange, &draft.headers)?;
    }
    let Some(route) = &exchange.route else {
        return Ok(());
    };
    if route.chain.steps().is_empty() {
        let request = FlowRequest {
            route: &route.id,
            path: &draft.path,
            query: draft.query.as_deref(),
            host: &exchange.host,
            client: exchange.client,
            headers: &draft.headers,
        };
        if counts {
            let passage = flow::check(exchange, &request)?;
            exchange.places = flow::enter(exchange, passage).await?;
        }
        choose_part(exchange, draft, true);
        return Ok(());
    }
    let facts = Facts {
        route: route.id.clone(),
        method: exchange.method.clone(),
        scheme: exchange.scheme.name(),
        host: exchange.host.clone(),
        path: Bytes::copy_from_slice(draft.path.as_bytes()),
        query: draft
            .query
            .as_deref()
            .map(|query| Bytes::copy_from_slice(query.as_bytes())),
        client: exchange.client,
        bindings,
        failure,
    };
    Box::pin(steps::run(exchange, facts, draft, counts)).await?;
    choose_part(exchange, draft, true);
    Ok(())
}

/// Lets the request in, unless there are too many for one of its priority.
fn admit(exchange: &mut Exchange, headers: &HeaderMap) -> Result<(), Cause> {
    let Some(overload) = &exchange.server.overload else {
        return Ok(());
    };
    let route = exchange.route.as_ref();
    let priority = route.map(|route| route.priority).unwrap_or_default();
    let admitted = overload.admit(priority, headers);
    exchange.waiting = Some(admitted.ok_or(Cause::Overloaded)?);
    Ok(())
}

/// What came of a search.
struct Found {
    bindings: Bindings,
    /// The path with decoded slashes, if the route decodes them.
    target: Option<String>,
}

/// Finds the route and gives it to the exchange. If there is none, the exchange keeps the route that forwarded the request.
fn find(
    exchange: &mut Exchange,
    host: Option<&str>,
    target: &Target<'_>,
    headers: &HeaderMap,
) -> Result<Found, Cause> {
    let request = request(exchange, host, target, headers);
    let table = exchange.server.table.load();
    let (route, found) = match table.decide(&request) {
        Ok(Decided { matched, decoded }) => {
            let found = Found {
                bindings: matched.bindings,
                target: decoded,
            };
            (Some(matched.route.clone()), Ok(found))
        }
        // Before the first table.
        Err(_) if table.revision() == 0 => (None, Err(Cause::NoTable)),
        Err(refused) => (refused.route.cloned(), Err(refusal(refused.why))),
    };
    drop(table);
    if route.is_some() {
        exchange.route = route;
    }
    found
}

/// The request as the table sees it.
fn request<'r>(
    exchange: &'r Exchange,
    host: Option<&'r str>,
    target: &'r Target<'r>,
    headers: &'r HeaderMap,
) -> pailou_routing::Request<'r> {
    pailou_routing::Request {
        scheme: exchange.scheme.name(),
        client: exchange.client,
        peer: exchange.connection.peer.address,
        draw: exchange.draw,
        ..pailou_routing::Request::new(&exchange.method, host, target, headers)
    }
}

fn refusal(why: Refusal) -> Cause {
    match why {
        Refusal::NoRoute => Cause::NoRoute,
        Refusal::EncodedSlash | Refusal::NotUri => Cause::MalformedTarget(why.reason()),
    }
}
