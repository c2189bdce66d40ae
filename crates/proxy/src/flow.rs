//! Sentinel's flow rules, which are asked once for each request. They come before all filters of its first route except those of
//! CORS, which Spring asks before any filter.

use pailou_filters::{FlowPlace, FlowRequest, Passage};
use tokio::time::Instant;

use crate::cause::Cause;
use crate::exchange::{Ended, Exchange};

/// What the rules say of a request.
pub(crate) fn check(exchange: &Exchange, request: &FlowRequest<'_>) -> Result<Passage, Ended> {
    let rules = exchange.server.flow.load();
    if rules.is_empty() {
        return Ok(Passage::default());
    }
    rules.pass(request).map_err(|blocked| {
        exchange.server.metrics.flow_blocked();
        Ended::Answered(Box::new(blocked.answer(request.headers)))
    })
}

/// Waits for the request's turn; gives the places that it has until it ends.
pub(crate) async fn enter(exchange: &Exchange, passage: Passage) -> Result<Vec<FlowPlace>, Cause> {
    if !passage.wait.is_zero() {
        let turn = Instant::now() + passage.wait;
        let (due, cause) = exchange.connect_due();
        // In a box: few requests wait.
        Box::pin(tokio::time::sleep_until(turn.min(due))).await;
        if due < turn {
            return Err(cause);
        }
    }
    Ok(passage.places)
}
