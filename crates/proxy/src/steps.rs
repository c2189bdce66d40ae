//! The request half of a route's steps.

use std::borrow::Cow;

use pailou_filters::{
    CircuitBreaker, Effects, Facts, FlowPlace, FlowRequest, Gate, MirrorCopy, Next, Note,
    RequestHead, Step,
};
use pailou_routing::{Route, Target};
use tokio::time::Instant;

use crate::ask::Asking;
use crate::breaker::{Guard, Saved};
use crate::cause::Cause;
use crate::dispatch::Draft;
use crate::exchange::{Ended, Exchange, Passed};
use crate::flow;
use crate::plan;

/// Runs the route's steps, first to last, until one answers or fails. With `counts`, flow rules count the request on the way.
pub(crate) async fn run(
    exchange: &mut Exchange,
    facts: Facts,
    draft: &mut Draft<'_>,
    counts: bool,
) -> Result<(), Ended> {
    let Some(route) = exchange.route.clone() else {
        return Ok(());
    };
    let facts = Box::new(facts);
    let (ended, passing) = each(exchange, &route, &facts, draft, counts).await;
    let Passing {
        steps,
        notes,
        effects,
        guards,
        copies,
        places,
    } = passing;
    exchange.copies.planned.extend(copies);
    exchange.places.extend(places);
    let place = exchange.passed.len();
    exchange
        .guards
        .extend(guards.into_iter().map(|guard| Guard {
            passed: place,
            ..guard
        }));
    exchange.passed.push(Passed {
        route,
        facts,
        steps,
        notes,
    });
    exchange.identity = effects.identity;
    exchange.response_changes.extend(effects.response);
    if let (Some(most), Some(upload)) = (effects.max_body_bytes, &exchange.upload) {
        upload.limit(most);
    }
    if let Some(ended) = ended {
        return Err(ended);
    }
    if effects.has_own_path {
        draft.path = Cow::Owned(checked(&draft.path)?);
    }
    Ok(())
}

/// The normal form of a path that filters have made. A filter puts texts of a document
/// and parts of the path together, and the result may be a path that no client may send.
fn checked(path: &str) -> Result<String, Cause> {
    let target = Target::parse(path.as_bytes())
        .map_err(|error| Cause::MalformedTarget(plan::detail(error)))?;
    Ok(target.forwarded_path().to_owned())
}

/// What came of a route's steps.
#[derive(Default)]
struct Passing {
    /// How many were passed.
    steps: usize,
    notes: Vec<(usize, Note)>,
    effects: Effects,
    guards: Vec<Guard>,
    /// What mirrors send.
    copies: Vec<MirrorCopy>,
    /// What flow rules gave.
    places: Vec<FlowPlace>,
}

/// Runs the steps. Also returns what ended the request, if a step did.
async fn each(
    exchange: &Exchange,
    route: &Route,
    facts: &Facts,
    draft: &mut Draft<'_>,
    counts: bool,
) -> (Option<Ended>, Passing) {
    let mut head = RequestHead {
        facts,
        method: &facts.method,
        path: Cow::Borrowed(&draft.path),
        query: draft.query.as_deref().map(Cow::Borrowed),
        headers: &mut draft.headers,
        effects: Effects {
            identity: exchange.identity.clone(),
            ..Effects::default()
        },
    };
    let mut passing = Passing::default();
    let (cors, others) = route.chain.steps().split_at(route.cors_steps);
    let mut ended = through(exchange, cors, &mut head, &mut passing).await;
    if ended.is_none() && counts {
        match limited(exchange, &head).await {
            Ok(places) => passing.places = places,
            Err(blocked) => ended = Some(blocked),
        }
    }
    if ended.is_none() {
        ended = through(exchange, others, &mut head, &mut passing).await;
    }
    passing.effects = head.effects;
    let path = kept(&draft.path, head.path);
    let query = match (&draft.query, head.query) {
        (Some(before), Some(query)) => Some(kept(before, query)),
        (_, query) => query.map(|query| Cow::Owned(query.into_owned())),
    };
    (draft.path, draft.query) = (path, query);
    (ended, passing)
}

/// Lets the steps change the request, one after the other, until one ends it.
async fn through(
    exchange: &Exchange,
    steps: &[Step],
    head: &mut RequestHead<'_>,
    passing: &mut Passing,
) -> Option<Ended> {
    for step in steps {
        let ended = act(exchange, step, head, passing).await;
        if ended.is_some() {
            return ended;
        }
        if let Some(note) = head.effects.note.take() {
            passing.notes.push((passing.steps, note));
        }
        passing.steps += 1;
    }
    None
}

/// Lets one step change the request. Returns what ends the request, if the step does.
async fn act(
    exchange: &Exchange,
    step: &Step,
    head: &mut RequestHead<'_>,
    passing: &mut Passing,
) -> Option<Ended> {
    let next = match step {
        Step::Edit(edit) => Ok(edit.request(head)),
        Step::Gate(gate) => pass_gate(exchange, &**gate, head).await,
        Step::Body(body) => {
            body.request(head);
            Ok(Next::Continue)
        }
        Step::Compress(compress) => {
            compress.request(head);
            Ok(Next::Continue)
        }
        Step::Keep(keep) => Ok(keep.request(head)),
        Step::Mirror(mirror) => {
            passing.copies.extend(mirror.copy(head));
            Ok(Next::Continue)
        }
        Step::Rule(_) => Ok(Next::Continue),
        Step::Breaker(breaker) => {
            let guard = enter(breaker, passing.steps, head);
            let is_open = guard.permit.is_none();
            passing.guards.push(guard);
            match is_open {
                true => Err(Cause::CircuitOpen),
                false => Ok(Next::Continue),
            }
        }
    };
    match next {
        Ok(Next::Continue) => None,
        Ok(Next::Answer(answer)) => Some(Ended::Answered(answer)),
        Ok(Next::Refuse(refusal)) => Some(Ended::Failed(Cause::Refused(refusal))),
        Err(cause) => Some(Ended::Failed(cause)),
    }
}

/// Asks flow rules whether the request may go on, as it came, and waits for its turn.
async fn limited(exchange: &Exchange, head: &RequestHead<'_>) -> Result<Vec<FlowPlace>, Ended> {
    let facts = head.facts;
    let request = FlowRequest {
        route: &facts.route,
        path: facts.path(),
        query: facts.query(),
        host: &facts.host,
        client: facts.client,
        headers: head.headers,
    };
    let passage = flow::check(exchange, &request)?;
    Ok(flow::enter(exchange, passage).await?)
}

/// Asks a circuit breaker whether the request may go on.
fn enter(breaker: &CircuitBreaker, place: usize, head: &RequestHead<'_>) -> Guard {
    let saved = || Saved {
        headers: head.headers.clone(),
        query: head.query.as_deref().map(str::to_owned),
    };
    let now = Instant::now();
    Guard {
        passed: 0,
        place,
        permit: breaker.breaker.enter(now.into_std()),
        due: breaker.timeout.map(|timeout| now + timeout),
        saved: breaker.fallback.is_some().then(saved),
    }
}

/// A text as the steps have left it, borrowed from the client's text if it is a piece of
/// that.
fn kept<'t>(sent: &Cow<'t, str>, now: Cow<'_, str>) -> Cow<'t, str> {
    if let (Cow::Borrowed(sent), Cow::Borrowed(now)) = (sent, &now) {
        let start = (now.as_ptr() as usize).wrapping_sub(sent.as_ptr() as usize);
        let piece = sent.get(start..start.saturating_add(now.len()));
        if let Some(piece) = piece.filter(|piece| piece.len() == now.len()) {
            return Cow::Borrowed(piece);
        }
    }
    Cow::Owned(now.into_owned())
}

/// Lets a gate at the request. It waits only where somebody has to be asked.
pub(crate) async fn pass_gate(
    exchange: &Exchange,
    gate: &dyn Gate,
    head: &mut RequestHead<'_>,
) -> Result<Next, Cause> {
    match gate.at_once(head) {
        Some(next) => Ok(next),
        None => wait(exchange, gate, head).await,
    }
}

/// Waits for a gate, until its deadline or the request's own. A client that
/// goes away drops the wait.
async fn wait(
    exchange: &Exchange,
    gate: &dyn Gate,
    head: &mut RequestHead<'_>,
) -> Result<Next, Cause> {
    let own = Instant::now() + gate.timeout();
    let (due, late) = match exchange.total_due {
        Some(total) if total < own => (total, Cause::TotalTimeout),
        _ => (own, Cause::GateTimeout),
    };
    let asking = Asking {
        server: &exchange.server,
        reports: true,
    };
    let asked = tokio::time::timeout_at(due, gate.request(head, &asking)).await;
    let cause = match asked {
        Ok(Ok(next)) => return Ok(next),
        Ok(Err(error)) => {
            tracing::debug!(
                target: "pailou",
                request_id = exchange.request_id.as_str(),
                %error,
                ?gate,
                "a gate got no answer"
            );
            Cause::GateFailed
        }
        Err(_) => late,
    };
    if gate.fails_open() && cause != Cause::TotalTimeout {
        exchange.server.metrics.gate_opened();
        return Ok(Next::Continue);
    }
    Err(cause)
}
