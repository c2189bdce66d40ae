//! The request half of a route's steps.

use pailou_filters::{Gate, Next, RequestHead, Step};
use tokio::time::Instant;

use crate::ask::Asking;
use crate::cause::Cause;
use crate::exchange::{Ended, Exchange};

/// Whether the route has steps.
pub(crate) fn has_any(exchange: &Exchange) -> bool {
    let route = exchange.route.as_ref();
    route.is_some_and(|route| !route.chain.steps().is_empty())
}

/// Runs the route's steps, first to last, until one answers or fails.
pub(crate) async fn run(exchange: &mut Exchange, head: &mut RequestHead<'_>) -> Result<(), Ended> {
    let Some(route) = exchange.route.clone() else {
        return Ok(());
    };
    for step in route.chain.steps() {
        let next = match step {
            Step::Edit(edit) => edit.request(head),
            Step::Gate(gate) => wait(exchange, &**gate, head).await?,
            Step::Body(body) => {
                body.request(head);
                Next::Continue
            }
        };
        if let Next::Answer(answer) = next {
            return Err(Ended::Answered(answer));
        }
        exchange.passed += 1;
    }
    Ok(())
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
    };
    let asked = tokio::time::timeout_at(due, gate.request(head, &asking)).await;
    let next = asked.map_err(|_| late)?;
    next.map_err(|error| {
        tracing::debug!(
            target: "pailou",
            request_id = exchange.request_id.as_str(),
            service = %gate.destination().selection.service().id(),
            %error,
            "a gate stays closed"
        );
        Cause::GateFailed
    })
}
