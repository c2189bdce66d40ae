//! The tries of a request: which endpoint, how long, what went wrong, and
//! whether another try is safe.
//!
//! - No byte was sent, since the connection was refused or not made: the next
//!   endpoint is tried, whatever the method.
//! - Something was sent and no answer came back: the next endpoint is tried if
//!   the request is idempotent and its body, if any, was kept.
//! - The answer is only a gRPC status that the route names: the next endpoint is
//!   tried if the body was kept.
//! - In any other case there is no other try, unless the route has
//!   `retries` with statuses or a time for each try, or a `Retry` filter. They name
//!   the answers and methods that are tried again, and say whether late answers are.
//!
//! Every try counts against the route's number and must begin before the
//! response's deadline, which is one over all tries. A refused connection does
//! not count: it took no time, and the next endpoint may be well. After it a try
//! adds no load, since no endpoint has seen the request. Every other retry is
//! paid for from the service's budget.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use pailou_filters::Retry;
use pailou_routing::Route;
use pailou_upstream::{Hint, Http, NoEndpoint, Outcome, Pick, Tried};
use tokio::time::Instant;

use crate::breaker::End;
use crate::cause::Cause;
use crate::each_try;
use crate::exchange::{Ended, Exchange};
use crate::failed_tries;
use crate::hedge;
use crate::interim;
use crate::line::{self, Line, LineFailure};
use crate::mirror;
use crate::plan::Planned;
use crate::retry_after;
use crate::transport::{ConnectFailure, Remote};
use crate::upload::Outgoing;

/// In TLS 1.3 an endpoint judges the client's certificate after the handshake.
const ENDED_TLS: &str = "the endpoint ended TLS after the handshake: it may ask for a certificate of the gateway, or not accept the \
                         one that it has (`cert_file` and `key_file` of its TLS settings)";

/// The head of an endpoint's response, and the connection that it came on.
pub(crate) struct Received {
    pub(crate) response: Response<Incoming>,
    pub(crate) line: Line,
}

/// How a try failed, and whether another may follow.
pub(crate) struct Failed {
    cause: Cause,
    /// What the failure says about the endpoint, if anything.
    outcome: Option<Outcome>,
    again: Again,
}

/// Whether another try is safe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    /// Yes, at no cost: no endpoint has seen the request.
    Free,
    /// Yes, from the budget: an endpoint may have acted on the request.
    Paid,
}

/// Sends the request to an endpoint, and to another one if that fails in a way
/// that is safe to repeat; gives the head of the response.
pub(crate) async fn send(exchange: &mut Exchange, planned: &Planned) -> Result<Received, Ended> {
    pick_or_wait(exchange).await?;
    mirror::launch(exchange);
    if let Some(upload) = exchange.upload.as_ref().filter(|_| exchange.tries == 0) {
        upload.look().await;
    }
    loop {
        let mut least = Duration::ZERO;
        let end = match attempt(exchange, planned).await {
            Ok(received) if !is_rejected(exchange, &received) => return Ok(received),
            Ok(received) => {
                let status = received.response.status();
                least = wanted_pause(exchange, &received);
                if let Some(received) = reject(exchange, received, least) {
                    return Ok(received);
                }
                Some(End::Answered(status))
            }
            Err(failed) => fail(exchange, &failed)?,
        };
        if let Some(end) = end {
            each_try::ended(exchange, end);
            pause(exchange, least).await;
            each_try::begins(exchange, planned).await?;
        }
    }
}

/// Moves on from a try that failed, if another one is safe. Says how it ended where the
/// next one is more than the same try at another connection.
fn fail(exchange: &mut Exchange, failed: &Failed) -> Result<Option<End>, Cause> {
    let stale = settle(exchange, failed);
    if !is_allowed(exchange, failed, stale) || !next(exchange, !stale, failed.again) {
        return Err(failed.cause);
    }
    let is_another = !stale && (failed.again == Again::Paid || exchange.returned);
    Ok(is_another.then_some(End::Failed(failed.cause)))
}

/// Notes and reports that the try has failed. Says whether that was for an idle connection that its endpoint had
/// closed.
pub(crate) fn settle(exchange: &mut Exchange, failed: &Failed) -> bool {
    if let Some(outcome) = failed.outcome
        && let Some(pick) = exchange.pick.take()
    {
        pick.report(outcome);
    }
    // An idle connection that was closed says nothing about its endpoint.
    let stale = failed.again != Again::Never && failed.outcome.is_none();
    if let Some(reason) = reason(failed, stale) {
        failed_tries::note(exchange, reason, None);
    }
    if failed.outcome == Some(Outcome::Refused) {
        exchange.refusals += 1;
    }
    stale
}

/// Lets go of an answer that nobody gets. Its connection goes on if nothing of
/// the answer is left on it.
fn give_back(exchange: &Exchange, received: Received) {
    let Received { response, line } = received;
    if line::keeps(&response) && response.body().is_end_stream() && exchange.upload.is_none() {
        exchange.server.keep(line);
    }
}

/// Waits before another try if the route, or the answer, asks for a pause, and sets
/// the new deadline if each try has its own.
async fn pause(exchange: &mut Exchange, least: Duration) {
    let Some(route) = exchange.route.clone() else {
        return;
    };
    let not_counted = exchange.tries_before + exchange.refusals + 1;
    let number = exchange.tries.saturating_sub(not_counted);
    let backoff = route.retry.backoff.as_ref();
    let pause = backoff.map(|backoff| backoff.pause(number, fastrand::f64()));
    let pause = pause.unwrap_or_default().max(least);
    if !pause.is_zero() {
        let until = Instant::now() + pause;
        tokio::time::sleep_until(until.min(exchange.connect_due().0)).await;
    }
    if route.retry.timeouts {
        exchange.response_due = Some(Instant::now() + route.timeouts.response);
    }
}

/// Picks an endpoint that has not been tried.
fn pick(exchange: &mut Exchange) -> Result<(), Cause> {
    let route = exchange.route.as_ref().ok_or(Cause::Internal)?;
    let selection = route.target.selection().ok_or(Cause::Internal)?;
    let picked = selection.pick(&hint(exchange));
    note(exchange, picked)
}

/// The same for a first try, which waits for room at an endpoint if its route says so. A retry
/// does not wait: it has had its turn.
async fn pick_or_wait(exchange: &mut Exchange) -> Result<(), Cause> {
    match pick(exchange) {
        Err(Cause::EndpointsFull) => {}
        picked => return picked,
    }
    let route = exchange.route.clone().ok_or(Cause::Internal)?;
    let selection = route.target.selection().ok_or(Cause::Internal)?;
    let (due, _) = exchange.connect_due();
    let picked = selection.wait(&hint(exchange), due).await;
    note(exchange, picked)
}

fn hint(exchange: &Exchange) -> Hint<'_> {
    Hint::after(&exchange.tried)
        .of_part(exchange.part.as_deref())
        .with_key(exchange.key)
}

fn note(exchange: &mut Exchange, picked: Result<Pick, NoEndpoint>) -> Result<(), Cause> {
    let pick = picked.map_err(|none| match none {
        NoEndpoint::Unknown => Cause::ServiceUnknown,
        NoEndpoint::Empty => Cause::ServiceEmpty,
        NoEndpoint::NoneEligible => Cause::NoEligibleEndpoint,
        NoEndpoint::AllTried => Cause::EndpointsTried,
        NoEndpoint::Full => Cause::EndpointsFull,
    })?;
    exchange.picked = Some(pick.address());
    exchange.pick = Some(pick);
    Ok(())
}

/// One try.
async fn attempt(exchange: &mut Exchange, planned: &Planned) -> Result<Received, Failed> {
    if let Some(hedge) = hedge::of(exchange) {
        return Box::pin(hedge::attempt(exchange, planned, hedge)).await;
    }
    let remote = begin(exchange).ok_or(Failed::ours())?;
    let request = request(exchange, planned, &remote);
    let mut line = connect(exchange, remote).await?;
    if exchange.upload.is_some() {
        line.drive_elsewhere();
    }
    let sent = line.send(request, |cx| exchange.poll_ended(cx)).await;
    match sent {
        Ok(Ok(response)) => Ok(Received { response, line }),
        Ok(Err(failure)) => Err(send_failed(exchange, failure, line.is_reused())),
        Err(cause) => Err(late(exchange, cause)),
    }
}

/// Begins a try at the endpoint that was picked, and says where it leads.
pub(crate) fn begin(exchange: &mut Exchange) -> Option<Remote> {
    exchange.tries += 1;
    exchange.try_began = Instant::now();
    exchange.account.tried(exchange.try_began);
    let remote = remote(exchange)?;
    exchange.upstream = Some(remote.address);
    Some(remote)
}

/// An answer that did not come in time. The endpoint may still act on the request.
pub(crate) fn late(exchange: &Exchange, cause: Cause) -> Failed {
    let route = exchange.route.as_ref();
    let again = route.is_some_and(|route| may_be_late(&route.retry));
    let mut failed = Failed::timed_out(cause);
    if again && cause == Cause::ResponseTimeout {
        failed.again = Again::Paid;
    }
    failed
}

/// Whether an answer that does not come in time may be followed by another try.
fn may_be_late(retry: &Retry) -> bool {
    retry.timeouts || retry.per_try.is_some()
}

/// A connection to the endpoint that was picked.
async fn connect(exchange: &Exchange, remote: Remote) -> Result<Line, Failed> {
    let (server, timeout) = (exchange.server.clone(), connect_timeout(exchange));
    let connected = server.line(remote, timeout).await;
    connected.map_err(|failure| unconnected(exchange, failure))
}

/// How long the connection of the try that has begun may take.
pub(crate) fn connect_timeout(exchange: &Exchange) -> Duration {
    let route = exchange.route.as_ref();
    let timeout = route.map_or_else(Default::default, |route| route.timeouts.connect);
    let left = exchange.connect_due().0;
    timeout.min(left.saturating_duration_since(exchange.try_began))
}

/// No connection was made.
pub(crate) fn unconnected(exchange: &Exchange, failure: ConnectFailure) -> Failed {
    let (due, too_late) = exchange.connect_due();
    let cause = match failure {
        ConnectFailure::Ours => return Failed::ours(),
        // The request's own time was shorter than the connection's, which says
        // nothing about the endpoint.
        ConnectFailure::TimedOut if due <= Instant::now() => {
            return Failed::timed_out(too_late);
        }
        ConnectFailure::TimedOut => Cause::ConnectTimeout,
        ConnectFailure::Refused => Cause::ConnectFailed,
        ConnectFailure::Tls => Cause::UpstreamTls,
    };
    Failed {
        cause,
        outcome: failure.outcome(),
        again: Again::Free,
    }
}

/// The address of the picked endpoint, and the protocol to speak there.
fn remote(exchange: &Exchange) -> Option<Remote> {
    let (route, pick) = (exchange.route.as_ref()?, exchange.pick.as_ref()?);
    let remote = Remote::of(route.target.destination()?, pick);
    let remote = remote.for_client(&exchange.connection, exchange.client);
    // To switch protocols is for HTTP/1.1.
    Some(match exchange.upgrade {
        Some(_) => remote.over_http1(pick),
        None => remote,
    })
}

/// The endpoint's own name, if the route sends that as the Host: the host that the
/// endpoint registered, or its address, with its port.
fn host(exchange: &Exchange, remote: &Remote) -> Option<HeaderValue> {
    let (route, pick) = (exchange.route.as_ref()?, exchange.pick.as_ref()?);
    // HTTP/1.1 needs a Host, also if the client's HTTP/1.0 request had none.
    if route.preserve_host && !exchange.host.is_empty() {
        return None;
    }
    let address = remote.address;
    let named = match pick.host() {
        Some(host) => format!("{host}:{}", address.port()),
        None => address.to_string(),
    };
    HeaderValue::try_from(named).ok()
}

pub(crate) fn request(
    exchange: &Exchange,
    planned: &Planned,
    remote: &Remote,
) -> Request<Outgoing> {
    let body = match &exchange.upload {
        Some(upload) => Outgoing::Upload(upload.sending()),
        None => Outgoing::Nothing,
    };
    let mut request = planned.request(remote, host(exchange, remote), body);
    if exchange.expects_continue {
        match remote.http {
            Http::Http1 => interim::pass_on(&mut request, exchange.connection.clone()),
            Http::Http2 => interim::go_on(&exchange.connection),
        }
    }
    request
}

/// The connection was made, but no answer came over it.
pub(crate) fn send_failed(exchange: &Exchange, failure: LineFailure, reused: bool) -> Failed {
    let upload = exchange.upload.as_ref();
    if let Some(cause) = upload.and_then(|upload| upload.failure()) {
        // The client's own fault.
        return Failed {
            cause,
            outcome: None,
            again: Again::Never,
        };
    }
    match failure {
        LineFailure::Unsent => Failed {
            cause: Cause::UpstreamReset,
            outcome: (!reused).then_some(Outcome::Reset),
            again: Again::Free,
        },
        // An idle connection may be closed at any time. If the endpoint is
        // dead, the next connection to it will say so.
        LineFailure::Ended => Failed {
            cause: Cause::UpstreamReset,
            outcome: (!reused).then_some(Outcome::Reset),
            again: Again::Paid,
        },
        LineFailure::Tls => {
            if let Some(address) = exchange.upstream {
                exchange.server.transport.say(address, ENDED_TLS);
            }
            Failed {
                cause: Cause::UpstreamTls,
                outcome: (!reused).then_some(Outcome::Tls),
                again: Again::Paid,
            }
        }
        LineFailure::Malformed => Failed {
            cause: Cause::UpstreamMalformed,
            outcome: Some(Outcome::Malformed),
            again: Again::Never,
        },
        LineFailure::Body => Failed::ours(),
    }
}

/// Why a try failed; `None` if the fault was the client's.
fn reason(failed: &Failed, stale: bool) -> Option<&'static str> {
    let is_late_or_malformed = matches!(
        failed.cause,
        Cause::ResponseTimeout | Cause::TotalTimeout | Cause::UpstreamMalformed
    );
    match failed.outcome {
        _ if stale => Some("stale_connection"),
        None if !is_late_or_malformed => None,
        _ => Some(failed.cause.answer().cause),
    }
}

impl Failed {
    /// A failure that has nothing to do with any endpoint.
    pub(crate) fn ours() -> Failed {
        Failed {
            cause: Cause::Internal,
            outcome: None,
            again: Again::Never,
        }
    }

    fn timed_out(cause: Cause) -> Failed {
        let endpoint = matches!(
            cause,
            Cause::ResponseTimeout | Cause::CircuitTimeout | Cause::UpstreamWriteTimeout
        );
        Failed {
            cause,
            outcome: endpoint.then_some(Outcome::Timeout),
            again: Again::Never,
        }
    }
}

/// Whether the request can be sent again and does no harm when it is. `stale`: the
/// endpoint had closed an idle connection, which is not about the request.
fn is_allowed(exchange: &Exchange, failed: &Failed, stale: bool) -> bool {
    let Some(route) = &exchange.route else {
        return false;
    };
    let (retry, method) = (&route.retry, &exchange.method);
    let may_repeat = || match failed.cause {
        _ if stale => method.is_idempotent() || retry.repeats(method),
        Cause::ResponseTimeout => may_be_late(retry) && retry.repeats(method),
        _ => retry.resets && retry.repeats(method),
    };
    match failed.again {
        Again::Never => false,
        Again::Free => is_at_hand(exchange),
        Again::Paid => is_at_hand(exchange) && may_repeat() && exchange.upgrade.is_none(),
    }
}

fn is_at_hand(exchange: &Exchange) -> bool {
    let upload = exchange.upload.as_ref();
    upload.is_none_or(|upload| upload.is_at_hand())
}

/// Whether an answer is a failure that the route wants tried again, and that can be.
pub(crate) fn is_rejected(exchange: &Exchange, received: &Received) -> bool {
    let Some(route) = &exchange.route else {
        return false;
    };
    let status = received.response.status();
    let is_refused = route.retry.rejects(&exchange.method, status) && exchange.upgrade.is_none();
    (is_refused || is_refused_call(route, received)) && is_at_hand(exchange)
}

/// Whether an answer is only a gRPC status, so that no endpoint has done anything
/// yet.
fn is_refused_call(route: &Route, received: &Received) -> bool {
    if route.retry_grpc.is_empty() {
        return false;
    }
    let status = received.response.headers().get("grpc-status");
    let statuses = &mut route.retry_grpc.iter();
    received.response.body().is_end_stream()
        && statuses.any(|rejected| status.is_some_and(|status| status == rejected.code()))
}

/// The pause that such an answer asks for, where the route obeys it.
pub(crate) fn wanted_pause(exchange: &Exchange, received: &Received) -> Duration {
    match &exchange.route {
        Some(route) if route.retry.obeys_retry_after => {
            retry_after::time(received.response.headers(), SystemTime::now())
        }
        _ => Duration::ZERO,
    }
}

/// Moves on from such an answer, `least` before the next try; gives it back if
/// there is no other endpoint to ask, or less time than that is left.
fn reject(exchange: &mut Exchange, received: Received, least: Duration) -> Option<Received> {
    if !least.is_zero() && Instant::now() + least >= exchange.connect_due().0 {
        return Some(received);
    }
    let pick = exchange.pick.take();
    if !next(exchange, true, Again::Paid) {
        exchange.pick = pick;
        return Some(received);
    }
    put_aside(exchange, received, pick);
    None
}

/// Notes and reports an answer that is a failed try, and lets go of it.
pub(crate) fn put_aside(exchange: &mut Exchange, received: Received, pick: Option<Pick>) {
    let status = received.response.status().as_u16();
    failed_tries::note(exchange, "status", Some(status));
    if let Some(pick) = pick {
        pick.report(Outcome::Answered {
            status,
            latency: exchange.answer_took(),
        });
    }
    give_back(exchange, received);
}

/// Moves on to another endpoint, if one more try is allowed, there is another
/// endpoint, and the budget allows the try.
pub(crate) fn next(exchange: &mut Exchange, elsewhere: bool, again: Again) -> bool {
    let Some(route) = exchange.route.clone() else {
        return false;
    };
    if !has_tries(exchange, &route.retry, again) {
        return false;
    }
    if elsewhere {
        remember(exchange);
    }
    // Dropped first: the failed try is not in flight any more.
    exchange.pick = None;
    let Some(selection) = route.target.selection() else {
        return false;
    };
    let budget = selection.service().retry_budget();
    let min_per_second = exchange.server.retry.min_per_second;
    let is_paid = || again == Again::Free || budget.take(min_per_second, Instant::now());
    let retry = &route.retry;
    pick_again(
        exchange,
        retry.returns && (retry.resets || again != Again::Free),
        is_paid,
    )
}

/// Remembers the endpoint of the try, so that no other try goes there.
pub(crate) fn remember(exchange: &mut Exchange) {
    if let Some(address) = exchange.picked
        && !exchange.tried.contains(&address)
    {
        exchange.tried.push(address);
    }
}

/// Whether there may be one more try. Without retries there is none, also after
/// a refusal.
fn has_tries(exchange: &Exchange, retry: &Retry, again: Again) -> bool {
    // Refusals are free only while there are endpoints that were not asked.
    let counted = match exchange.returned {
        true => exchange.tries - exchange.tries_before,
        false => exchange.tries - exchange.tries_before - exchange.refusals,
    };
    // The tried endpoints beyond this number cannot be remembered, and would be tried twice.
    let is_bounded = exchange.tried.len() < Tried::MAX;
    let now = Instant::now();
    let due = match retry.timeouts && again == Again::Paid {
        // The next try has a time of its own.
        true => exchange.total_due,
        false => Some(exchange.connect_due().0),
    };
    let is_early = due.is_none_or(|due| due > now)
        && retry
            .within
            .is_none_or(|within| exchange.began + within > now);
    retry.retries > 0 && counted <= retry.retries && is_bounded && is_early
}

fn pick_again(exchange: &mut Exchange, returns: bool, is_paid: impl FnOnce() -> bool) -> bool {
    let picked = pick(exchange);
    if picked == Err(Cause::EndpointsTried) && returns {
        // There is no other endpoint. This one may be better by now.
        exchange.tried = Tried::none();
        exchange.returned = true;
    }
    if picked.is_err() && (!returns || pick(exchange).is_err()) {
        return false;
    }
    if !is_paid() {
        exchange.pick = None;
        return false;
    }
    true
}
