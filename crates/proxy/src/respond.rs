//! From an endpoint's response to the one that the client gets.

use std::time::SystemTime;

use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;
use pailou_upstream::Outcome;

use crate::answer;
use crate::cause::Cause;
use crate::download::{Download, Flow};
use crate::exchange::Exchange;
use crate::failed_tries;
use crate::forwarded::Scheme;
use crate::framing;
use crate::hops;
use crate::line::{self, Line};
use crate::request_id::X_REQUEST_ID;
use crate::rewrite;
use crate::tries::Received;
use crate::tunnel::Tunnel;
use crate::websocket;

/// The response to the client: its head now, its body as it comes.
pub(crate) async fn respond(mut exchange: Box<Exchange>, received: Received) -> Response<Download> {
    let Received { response, line } = received;
    exchange.waiting = None;
    let mut keeps = line::keeps(&response);
    let (mut head, body) = response.into_parts();
    match framing::settle(&mut head, &exchange.method) {
        Ok(may_keep) => keeps &= may_keep,
        Err(framing::Malformed) => return malformed(&mut exchange),
    }
    // The version on the wire is the gateway's (RFC 9110 section 2.5).
    head.version = Version::HTTP_11;
    name_status(&mut head);
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Box::pin(switch(exchange, head, line)).await;
    }
    report(&exchange, head.status);
    if exchange.connection.switches() && head.status.is_success() {
        return answer::problem(&mut exchange, Cause::NotSwitched);
    }
    hops::clean_response(&mut head.headers, head.status);
    exchange.change_response(&mut head.headers);
    let mut flow = Flow::start(exchange, body, line, keeps);
    if let Some(web) = flow.exchange.web.take() {
        flow.translate(web, &mut head.headers);
    }
    let rewritten = match flow.exchange.passed.is_empty() {
        true => Ok(None),
        false => Box::pin(rewrite::run(&mut flow, &mut head)).await,
    };
    let body = match rewritten {
        Ok(body) => body,
        Err(cause) => {
            return answer::problem(&mut flow.exchange, cause);
        }
    };
    let is_bodiless = rewrite::is_bodiless(head.status);
    if is_bodiless && !flow.is_over() {
        // A step has made a status of it that has no body.
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::TRANSFER_ENCODING);
        flow.leave();
    }
    finish(&mut flow.exchange, &mut head);
    let body = match body {
        Some(_) if is_bodiless => Download::Nothing,
        Some(whole) => Download::Own(Some(whole)),
        None => flow.into_download(),
    };
    Response::from_parts(head, body)
}

/// Gives a status without words those that are usual. Some clients look for them.
fn name_status(head: &mut Parts) {
    let words = head.extensions.get::<ReasonPhrase>();
    if words.is_some_and(|words| words.as_bytes().is_empty()) {
        head.extensions.remove::<ReasonPhrase>();
    }
}

fn report(exchange: &Exchange, status: StatusCode) {
    if let Some(pick) = &exchange.pick {
        pick.report(Outcome::Answered {
            status: status.as_u16(),
            latency: exchange.answer_took(),
        });
    }
}

/// The answer to an answer that cannot be understood, which is counted against its endpoint.
fn malformed(exchange: &mut Exchange) -> Response<Download> {
    if let Some(pick) = &exchange.pick {
        pick.report(Outcome::Malformed);
    }
    answer::problem(exchange, Cause::UpstreamMalformed)
}

/// The last of the head: what is the gateway's to say.
fn finish(exchange: &mut Exchange, head: &mut Parts) {
    exchange.status = head.status.as_u16();
    exchange.account.answers(&head.headers);
    let fields = &mut head.headers;
    fields.insert(&X_REQUEST_ID, exchange.request_id.value());
    failed_tries::tell(exchange, true, fields);
    stick(exchange, fields);
    // To a client of HTTP/1.0 the end of the connection is the end of a body
    // without a length.
    let ends = exchange.version != Version::HTTP_10 || fields.contains_key(header::CONTENT_LENGTH);
    let keeps = ends && !is_last(exchange);
    say_persistence(exchange, fields, keeps);
}

/// Tells the client which endpoint it stays at from now on, where the route is sticky. Behind the steps, so that no response that is
/// kept for others has the cookie.
fn stick(exchange: &Exchange, fields: &mut HeaderMap) {
    let sticky = exchange.route.as_ref().and_then(|it| it.sticky.as_ref());
    let (Some(sticky), Some(stay), Some(pick)) = (sticky, &exchange.stay, &exchange.pick) else {
        return;
    };
    let is_secure = exchange.scheme == Scheme::Https;
    let (outcome, cookie) = sticky.settle(stay, pick.address(), is_secure, SystemTime::now());
    exchange.server.metrics.stuck(outcome);
    if let Some(cookie) = cookie {
        fields.append(header::SET_COOKIE, cookie);
    }
}

/// Says what becomes of the connection. In HTTP/2 no message does.
pub(crate) fn say_persistence(exchange: &Exchange, fields: &mut HeaderMap, keeps: bool) {
    if exchange.version == Version::HTTP_2 {
        fields.remove(header::UPGRADE);
        return;
    }
    let said = match (keeps, fields.contains_key(header::UPGRADE)) {
        (true, false) => "keep-alive",
        (false, false) => "close",
        (true, true) => "keep-alive, upgrade",
        (false, true) => "close, upgrade",
    };
    fields.insert(header::CONNECTION, HeaderValue::from_static(said));
}

/// Whether the connection is to end with this response.
pub(crate) fn is_last(exchange: &Exchange) -> bool {
    let server = &exchange.server;
    exchange.closes
        || server.is_draining()
        || exchange.connection.served() + 1 >= server.limits.keepalive_requests
}

/// The endpoint switched protocols: once the client has its 101, or the 200 that
/// it is on a stream, bytes pass both ways.
async fn switch(mut exchange: Box<Exchange>, mut head: Parts, line: Line) -> Response<Download> {
    let is_asked_for = |protocol| hops::is_switch_to(&head.headers, protocol);
    if !exchange.upgrade.as_ref().is_some_and(is_asked_for) {
        // Nobody asked (RFC 9110 section 15.2.2): what follows has no framing
        // that this client knows.
        return malformed(&mut exchange);
    }
    let connection = exchange.connection.clone();
    let opening = connection.take_opening();
    if opening
        .as_ref()
        .is_some_and(|opening| !opening.is_accepted(&head.headers))
    {
        // Over HTTP/1.1 the client itself finds out.
        report(&exchange, StatusCode::BAD_GATEWAY);
        return answer::problem(&mut exchange, Cause::WebsocketAccept);
    }
    report(&exchange, head.status);
    exchange.change_response(&mut head.headers);
    if let Err(cause) = rewrite::head(&exchange, &mut head) {
        return answer::problem(&mut exchange, cause);
    }
    head.headers
        .insert(&X_REQUEST_ID, exchange.request_id.value());
    stick(&exchange, &mut head.headers);
    exchange.account.switches();
    let Some((endpoint, early)) = line.into_tunnel().await else {
        return answer::problem(&mut exchange, Cause::UpstreamReset);
    };
    if opening.is_some() {
        head.status = StatusCode::OK;
        websocket::clean_answer(&mut head.headers);
    }
    exchange.status = head.status.as_u16();
    let tunnel = Box::new(Tunnel {
        endpoint,
        early,
        exchange,
    });
    match opening {
        Some(opening) => opening.open(tunnel),
        None => connection.switch_to(tunnel),
    }
    Response::from_parts(head, Download::Nothing)
}
