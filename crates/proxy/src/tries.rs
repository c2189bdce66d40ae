//! The tries of a request: which endpoint, how long, what went wrong, and
//! whether another try is safe.
//!
//! - No byte was sent (the connection was refused or did not come about): the
//!   next endpoint, whatever the method.
//! - Something was sent and no answer came back: only for idempotent requests
//!   whose body, if any, is still at hand.
//! - Anything else: never.
//!
//! Every try counts against the route's number and must begin before the
//! response's deadline, which is one over all tries. A retry of the second
//! kind is paid for from the service's budget; one of the first kind adds no load to
//! anybody, since nobody has seen the request.

use std::sync::Arc;
use std::time::Duration;

use pailou_upstream::{NoEndpoint, Outcome};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use tokio::time::Instant;

use crate::cause::Cause;
use crate::connection::Wait;
use crate::duplex::DuplexConnect;
use crate::exchange::Exchange;
use crate::server::Server;

/// Picks an endpoint that has not been tried.
pub(crate) fn pick(exchange: &mut Exchange) -> Result<(), Cause> {
    let route = exchange.route.as_ref().ok_or(Cause::Internal)?;
    let pick = route
        .selection
        .pick(&exchange.tried)
        .map_err(|none| match none {
            NoEndpoint::Unknown => Cause::ServiceUnknown,
            NoEndpoint::Empty => Cause::ServiceEmpty,
            NoEndpoint::NoneEligible => Cause::NoEligibleEndpoint,
            NoEndpoint::AllTried => Cause::EndpointsTried,
        })?;
    exchange.upstream = Some(pick.address());
    exchange.pick = Some(pick);
    Ok(())
}

/// The peer of the try that begins, with every timeout set.
pub(crate) fn peer(server: &Server, exchange: &mut Exchange) -> Result<HttpPeer, Cause> {
    let route = exchange.route.as_ref().ok_or(Cause::Internal)?;
    let address = exchange.upstream.ok_or(Cause::Internal)?;
    exchange.tries += 1;
    exchange.body_bytes = 0;
    let mut peer = HttpPeer::new(address, false, String::new());
    let (due, _) = connect_due(exchange);
    let left = due.saturating_duration_since(Instant::now());
    let connect = route.timeouts.connect.min(left);
    let options = &mut peer.options;
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect);
    options.write_timeout = Some(server.limits.upstream_write_timeout);
    options.idle_timeout = Some(server.limits.upstream_idle_timeout);
    if exchange.duplex
        && let Some(client) = &exchange.connection
    {
        options.custom_l4 = Some(Arc::new(DuplexConnect {
            client: client.clone(),
            write_timeout: server.limits.upstream_write_timeout,
        }));
        // Not among the connections that others may reuse.
        peer.group_key = 1;
    }
    Ok(peer)
}

/// Until when a connection may come about, and what it is too late for then. A
/// request that still has a body to send has as long for its connection as
/// for its answer.
fn connect_due(exchange: &Exchange) -> (Instant, Cause) {
    let route = exchange.route.as_ref();
    let response = route.map_or(Duration::ZERO, |route| route.timeouts.response);
    let due = exchange.response_due.unwrap_or(exchange.began + response);
    let connection = exchange.connection.as_ref();
    match connection.and_then(|connection| connection.total_due()) {
        Some(total) if total < due => (total, Cause::TotalTimeout),
        _ => (due, Cause::ResponseTimeout),
    }
}

/// A connection did not come about: says why, and whether to go on with
/// another endpoint, which is then picked.
pub(crate) fn connect_failed(exchange: &mut Exchange, error: &Error) -> bool {
    let (cause, outcome) = match error.etype() {
        ErrorType::ConnectTimedout => (Cause::ConnectTimeout, Outcome::ConnectTimeout),
        ErrorType::ConnectRefused | ErrorType::ConnectNoRoute | ErrorType::ConnectError => {
            (Cause::ConnectFailed, Outcome::Refused)
        }
        // No socket, no port, no descriptor: the endpoint has no part in it.
        _ => {
            exchange.cause = Some(Cause::Internal);
            return false;
        }
    };
    let (due, too_late) = connect_due(exchange);
    if is_past(Some(due)) && cause == Cause::ConnectTimeout {
        // The request's own time was shorter than the connection's: no word
        // about the endpoint.
        exchange.cause = Some(too_late);
        return false;
    }
    report(exchange, outcome);
    exchange.cause = Some(cause);
    next(exchange, true, || true)
}

/// An exchange failed after its connection came about: says why, and whether
/// to go on with another try, whose endpoint is then picked.
pub(crate) fn exchange_failed(
    server: &Server,
    session: &Session,
    exchange: &mut Exchange,
    error: &Error,
    reused: bool,
) -> bool {
    let cause = exchange.cause.unwrap_or_else(|| cause_of(exchange, error));
    exchange.cause = Some(cause);
    let outcome = match cause {
        // An idle connection may be closed at any time. If the endpoint is
        // dead, the next connection to it will say so.
        Cause::UpstreamReset if reused && !exchange.responded => None,
        Cause::UpstreamReset => Some(Outcome::Reset),
        Cause::ResponseTimeout | Cause::UpstreamWriteTimeout => Some(Outcome::Timeout),
        // A malformed answer among them: whoever sent it is alive, and one
        // bad handler must not take the whole endpoint away.
        _ => None,
    };
    let stale = cause == Cause::UpstreamReset && outcome.is_none();
    if let Some(outcome) = outcome {
        report(exchange, outcome);
    }
    if cause != Cause::UpstreamReset || exchange.responded {
        return false;
    }
    // The head could not be written whole: nobody acted on it.
    let unsent = *error.etype() == ErrorType::WriteError && !exchange.has_body;
    if unsent {
        return next(exchange, !stale, || true);
    }
    let Some(route) = exchange.route.clone() else {
        return false;
    };
    let budget = route.selection.service().retry_budget();
    let pay = || budget.take(server.retry.min_per_second);
    is_repeatable(server, session, exchange) && next(exchange, !stale, pay)
}

/// Why an exchange failed, for errors that no phase has explained.
pub(crate) fn cause_of(exchange: &Exchange, error: &Error) -> Cause {
    let connection = exchange.connection.as_ref();
    if connection.is_some_and(|connection| connection.body_refused()) {
        return Cause::MalformedBody;
    }
    let expired = connection.and_then(|connection| connection.expired());
    match expired {
        Some(Wait::Response) => return Cause::ResponseTimeout,
        Some(Wait::Gap) => return Cause::ReadTimeout,
        Some(Wait::Total) => return Cause::TotalTimeout,
        Some(Wait::Body) => return Cause::BodyTimeout,
        Some(Wait::Write) => return Cause::ClientGone,
        Some(Wait::Upload) => return Cause::UpstreamWriteTimeout,
        Some(Wait::Nothing | Wait::FirstByte | Wait::Head) | None => {}
    }
    match error.esource() {
        ErrorSource::Upstream => match error.etype() {
            ErrorType::ReadTimedout => Cause::ResponseTimeout,
            ErrorType::WriteTimedout => Cause::UpstreamWriteTimeout,
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
                Cause::UpstreamReset
            }
            _ => Cause::UpstreamMalformed,
        },
        ErrorSource::Downstream => match error.etype() {
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
                Cause::ClientGone
            }
            _ => Cause::MalformedBody,
        },
        ErrorSource::Internal | ErrorSource::Unset => Cause::Internal,
    }
}

fn report(exchange: &mut Exchange, outcome: Outcome) {
    if let Some(pick) = exchange.pick.take() {
        pick.report(outcome);
    }
}

/// Whether sending the request again cannot do harm and is possible.
fn is_repeatable(server: &Server, session: &Session, exchange: &Exchange) -> bool {
    session.req_header().method.is_idempotent()
        && !exchange.websocket
        && !session.as_downstream().retry_buffer_truncated()
        && exchange.body_bytes <= server.retry.buffer_bytes as u64
}

/// Moves on to another endpoint, if one more try is allowed, there is one and
/// it can be paid for.
fn next(exchange: &mut Exchange, elsewhere: bool, pay: impl FnOnce() -> bool) -> bool {
    let allowed = exchange
        .route
        .as_ref()
        .is_some_and(|route| exchange.tries <= route.retries);
    if !allowed || is_past(exchange.response_due) {
        return false;
    }
    if elsewhere && let Some(address) = exchange.upstream {
        exchange.tried.push(address);
    }
    let failed = exchange.upstream;
    // Dropped first: the failed try is not in flight any more.
    exchange.pick = None;
    if pick(exchange).is_err() {
        exchange.upstream = failed;
        return false;
    }
    if !pay() {
        exchange.pick = None;
        exchange.upstream = failed;
        return false;
    }
    exchange.cause = None;
    true
}

fn is_past(due: Option<Instant>) -> bool {
    due.is_some_and(|due| due <= Instant::now())
}
