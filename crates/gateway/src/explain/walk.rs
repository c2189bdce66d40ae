//! The way of a request through the table: match, filters, endpoint, and again where a route forwards.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use pailou_filters::{Effects, Facts, Next, RequestHead, Step};
use pailou_routing::{Decided, Matched, Refusal, Request, Route, RouteTarget, Table, Target};
use pailou_upstream::{Hint, Tried};

use super::{EndpointLine, Explanation, FilterView, MAX_PASSED_OVER, PassedOver, UpstreamView};

/// What the table makes of a request whose head is `headers`.
pub(super) fn walk(
    table: &Table,
    request: &Request<'_>,
    headers: &HeaderMap,
    forwards: usize,
) -> Explanation {
    let mut explanation = Explanation {
        path: request.target.path().to_owned(),
        route: None,
        stands: None,
        service: None,
        passed_over: Vec::new(),
        bindings: Vec::new(),
        filters: Vec::new(),
        upstream: None,
        answer: None,
        forwarded: None,
    };
    let decided = table.decide(request);
    let taken = match &decided {
        Ok(decided) => Some(decided.matched.route),
        Err(refused) => refused.route,
    };
    explanation.passed_over = passed_over(table, request, taken);
    if let Some(route) = taken {
        name(&mut explanation, route);
    }
    match decided {
        Ok(decided) => {
            let way = Way {
                table,
                request,
                forwards,
            };
            way.pass(decided, headers.clone(), &mut explanation);
        }
        Err(refused) if refused.why == Refusal::NoRoute => {
            let (answer, _) = table.unrouted(request, &host(headers));
            explanation.answer =
                answer.map(|answer| format!("{}, by globalcors", answer.status.as_u16()));
        }
        Err(refused) => explanation.answer = Some(format!("400: {}", refused.why.reason())),
    }
    explanation
}

/// A request on its way, and how often it was forwarded so far.
struct Way<'w, 'r> {
    table: &'w Table,
    request: &'w Request<'r>,
    forwards: usize,
}

impl Way<'_, '_> {
    /// Through the filters of its route, and on.
    fn pass(&self, decided: Decided<'_>, mut headers: HeaderMap, explanation: &mut Explanation) {
        let Decided { matched, decoded } = decided;
        let Matched { route, bindings } = matched;
        let bound = bindings.iter();
        explanation.bindings = bound
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let target = self.request.target;
        let path = decoded.as_deref();
        let path = path.unwrap_or_else(|| target.forwarded_path());
        let query = target.query();
        let facts = Facts {
            route: route.id.clone(),
            method: self.request.method.clone(),
            scheme: self.request.scheme,
            host: host(&headers),
            path: Bytes::copy_from_slice(path.as_bytes()),
            query: query.map(|query| Bytes::copy_from_slice(query.as_bytes())),
            client: self.request.client,
            bindings,
            failure: None,
        };
        let canary = route.canary.as_ref();
        let early = canary.filter(|canary| !canary.needs_identity());
        let part = early.and_then(|canary| canary.part(query, &mut headers, None));
        let mut head = RequestHead {
            facts: &facts,
            method: self.request.method,
            path: Cow::Borrowed(path),
            query: query.map(Cow::Borrowed),
            headers: &mut headers,
            effects: Effects {
                is_rehearsal: true,
                ..Effects::default()
            },
        };
        explanation.answer = filters(route, &mut head, &mut explanation.filters);
        let late = canary.filter(|canary| canary.needs_identity());
        let identity = head.effects.identity.take();
        let late = late.and_then(|canary| canary.part(query, head.headers, identity.as_deref()));
        let part = part.or(late);
        let target = head.target();
        if explanation.answer.is_some() {
            return;
        }
        match &route.target {
            RouteTarget::Filter => {}
            RouteTarget::Service(_) => {
                explanation.upstream = upstream(route, self.request, target, &headers, part);
            }
            RouteTarget::Forward(path) if self.forwards < RouteTarget::MAX_FORWARDS => {
                explanation.forwarded = self.forward(path, &target, &headers);
            }
            RouteTarget::Forward(_) => {
                explanation.answer = Some("508: the routes forward it too often".to_owned());
            }
        }
    }

    /// To the route that takes `path`; the query of `target` stays.
    fn forward(&self, path: &str, target: &str, headers: &HeaderMap) -> Option<Box<Explanation>> {
        let query = target.split_once('?').map(|(_, query)| query);
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let target = Target::parse(target.as_bytes()).ok()?;
        let request = Request {
            target: &target,
            headers,
            ..*self.request
        };
        let next = walk(self.table, &request, headers, self.forwards + 1);
        Some(Box::new(next))
    }
}

/// Says which route it is.
fn name(explanation: &mut Explanation, route: &Route) {
    let spec = &route.spec;
    explanation.route = Some(route.id.to_string());
    explanation.stands = Some(format!("{}:{}", spec.document, spec.at.line));
    let selection = route.target.selection();
    explanation.service = selection.map(|selection| selection.service().id().to_string());
}

fn host(headers: &HeaderMap) -> HeaderValue {
    let host = headers.get(HOST).cloned();
    host.unwrap_or_else(|| HeaderValue::from_static(""))
}

/// The routes in front of the one that takes it. That may not match the request itself, but what a preflight asks about.
fn passed_over(
    table: &Table,
    request: &Request<'_>,
    taken: Option<&Arc<Route>>,
) -> Vec<PassedOver> {
    let verdicts = table.explain(request);
    let is_it = |route: &Arc<Route>| taken.is_some_and(|taken| Arc::ptr_eq(taken, route));
    verdicts
        .take_while(|verdict| !is_it(verdict.route))
        .map_while(|verdict| Some((verdict.route, verdict.mismatch?)))
        .filter(|(_, (predicate, _))| !predicate.eq_ignore_ascii_case("path"))
        .filter(|(_, (predicate, _))| !predicate.eq_ignore_ascii_case("host"))
        .take(MAX_PASSED_OVER)
        .map(|(route, (predicate, asks_for))| PassedOver {
            route: route.id.to_string(),
            predicate: predicate.to_owned(),
            asks_for,
        })
        .collect()
}

/// Runs the steps that need nobody; says what answers, if one does.
fn filters(
    route: &Route,
    head: &mut RequestHead<'_>,
    seen: &mut Vec<FilterView>,
) -> Option<String> {
    for (name, step) in route.chain.named_steps() {
        let (target, headers) = (head.target(), head.headers.clone());
        let (next, note) = match step {
            Step::Edit(edit) => (edit.request(head), None),
            Step::Gate(gate) => match gate.at_once(head) {
                Some(next) => (next, None),
                None => {
                    let note = format!("{}, which is not done here", gate.purpose());
                    (Next::Continue, Some(note))
                }
            },
            Step::Body(body) => {
                body.request(head);
                (
                    Next::Continue,
                    Some("changes the body of the response".to_owned()),
                )
            }
            Step::Rule(rule) => (Next::Continue, Some(rule.purpose().to_owned())),
            Step::Compress(compress) => {
                compress.request(head);
                let note = "compresses the body of the response, if the client takes that";
                (Next::Continue, Some(note.to_owned()))
            }
            Step::Breaker(breaker) => (
                Next::Continue,
                Some(format!(
                    "counts failures as the circuit breaker {}",
                    breaker.breaker.name()
                )),
            ),
            Step::Keep(_) => (Next::Continue, Some("may answer from memory".to_owned())),
            Step::Mirror(mirror) => (Next::Continue, Some(mirror.purpose())),
        };
        let after = head.target();
        seen.push(FilterView {
            filter: name.to_owned(),
            note,
            target: (after != target).then_some(after),
            headers: changed(&headers, head.headers),
        });
        if let Next::Refuse(refusal) = next {
            let (status, _, detail) = refusal.told();
            return Some(format!("{}: {detail}, by {name}", status.as_u16()));
        }
        if let Next::Answer(answer) = next {
            let to = answer.headers.get(http::header::LOCATION);
            let to = to.and_then(|to| to.to_str().ok());
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            return Some(format!("{}{to}, by {name}", answer.status.as_u16()));
        }
    }
    None
}

/// The headers that differ, in the order of their names.
fn changed(before: &HeaderMap, after: &HeaderMap) -> Vec<(String, Option<String>)> {
    let values = |map: &HeaderMap, name| -> Vec<String> {
        let values = map.get_all(name).iter();
        values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    };
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_by_key(|name| name.as_str());
    names.dedup();
    names
        .into_iter()
        .filter(|name| values(before, *name) != values(after, *name))
        .map(|name| {
            let values = values(after, name);
            let is_gone = values.is_empty();
            (name.to_string(), (!is_gone).then(|| values.join(", ")))
        })
        .collect()
}

fn upstream(
    route: &Route,
    request: &Request<'_>,
    target: String,
    headers: &HeaderMap,
    part: Option<String>,
) -> Option<UpstreamView> {
    let selection = route.target.selection()?;
    let nothing = Tried::none();
    let pick = selection.pick(&Hint::after(&nothing).of_part(part.as_deref()));
    let picked = pick.ok().map(|pick| pick.address().to_string());
    let host = match route.preserve_host {
        true => headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .map(str::to_owned),
        false => picked.clone(),
    };
    let endpoints = selection.service().view().endpoints.into_iter();
    let endpoints = endpoints.map(|endpoint| EndpointLine {
        address: endpoint.address.to_string(),
        is_in: endpoint.is_in,
        reasons: endpoint
            .reasons
            .iter()
            .map(|reason| {
                serde_json::json!(reason)
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect(),
    });
    Some(UpstreamView {
        method: request.method.to_string(),
        target,
        host,
        balance: selection.policy().name().to_owned(),
        subset: selection.subset().to_string(),
        part,
        endpoints: endpoints.collect(),
        picked,
    })
}
