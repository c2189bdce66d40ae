//! Steps that act for each try of a request: circuit breakers and limits behind a `Retry`.
//!
//! Other steps act once for a request, and each try sends what they made of it. In Spring Cloud Gateway whatever stands
//! behind `Retry` runs again. A breaker there learns how each try ended, and may refuse the next one; its time-out is
//! one of a try.

use std::sync::Arc;

use pailou_filters::{Next, Step};
use pailou_routing::Route;
use tokio::time::Instant;

use crate::breaker::{self, End};
use crate::cause::Cause;
use crate::exchange::{Ended, Exchange};
use crate::plan::Planned;
use crate::steps;

/// A try has ended, and a `Retry` makes another one: the breakers behind it learn how.
pub(crate) fn ended(exchange: &mut Exchange, end: End) {
    let Some(route) = acting(exchange) else {
        return;
    };
    let route_place = exchange.passed.len() - 1;
    let mut guards = std::mem::take(&mut exchange.guards);
    for guard in &mut guards {
        if guard.passed == route_place && route.each_try.contains(&guard.place) {
            breaker::tell(exchange, guard, end);
            guard.due = None;
        }
    }
    exchange.guards = guards;
}

/// Lets the steps at the next try. One of them may end the request.
pub(crate) async fn begins(exchange: &mut Exchange, planned: &Planned) -> Result<(), Ended> {
    match acting(exchange) {
        // In a box: what a gate needs is large, and few routes come here.
        Some(route) => Box::pin(act(exchange, &route, planned)).await,
        None => Ok(()),
    }
}

async fn act(exchange: &mut Exchange, route: &Route, planned: &Planned) -> Result<(), Ended> {
    for place in &route.each_try {
        let acted = match route.chain.steps().get(*place) {
            Some(Step::Breaker(_)) => enter(exchange, *place),
            Some(step) => ask(exchange, step, planned).await,
            None => Ok(()),
        };
        if acted.is_err() {
            stop_at(exchange, *place);
            return acted;
        }
    }
    Ok(())
}

/// The route that answers, if it has such steps. The request has passed them last.
fn acting(exchange: &Exchange) -> Option<Arc<Route>> {
    let route = exchange.route.as_ref()?;
    let acts = !route.each_try.is_empty() && !exchange.passed.is_empty();
    acts.then(|| route.clone())
}

/// Asks a breaker for the next try.
fn enter(exchange: &mut Exchange, place: usize) -> Result<(), Ended> {
    let route_place = exchange.passed.len() - 1;
    let passed = &exchange.passed;
    let mut guards = exchange.guards.iter_mut();
    let Some(guard) = guards.find(|guard| guard.passed == route_place && guard.place == place)
    else {
        return Ok(());
    };
    let Some((_, breaker)) = breaker::breaker(passed, guard) else {
        return Ok(());
    };
    let now = Instant::now();
    guard.permit = breaker.breaker.enter(now.into_std());
    guard.due = breaker.timeout.map(|timeout| now + timeout);
    match guard.permit {
        Some(_) => Ok(()),
        None => Err(Cause::CircuitOpen.into()),
    }
}

/// Asks a step for the next try. The head was planned with the first one.
async fn ask(exchange: &mut Exchange, step: &Step, planned: &Planned) -> Result<(), Ended> {
    let Some(passed) = exchange.passed.last() else {
        return Ok(());
    };
    let mut headers = planned.headers().clone();
    let mut head = planned.head(&passed.facts, &mut headers);
    let next = match step {
        Step::Edit(edit) => edit.request(&mut head),
        Step::Gate(gate) => steps::pass_gate(exchange, &**gate, &mut head).await?,
        _ => Next::Continue,
    };
    let changes = head.effects.response;
    exchange.response_changes.extend(changes);
    match next {
        Next::Continue => Ok(()),
        Next::Answer(answer) => Err(Ended::Answered(answer)),
        Next::Refuse(refusal) => Err(Cause::Refused(refusal).into()),
    }
}

/// The request goes no further than a step: it has passed those before, and nobody asks an endpoint.
fn stop_at(exchange: &mut Exchange, place: usize) {
    let route_place = exchange.passed.len() - 1;
    exchange
        .guards
        .retain(|guard| guard.passed != route_place || guard.place <= place);
    if let Some(passed) = exchange.passed.last_mut() {
        passed.steps = place;
    }
    exchange.pick = None;
}
