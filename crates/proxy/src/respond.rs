//! From an endpoint's response to the one that the client gets.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::response::Parts;
use http::{HeaderValue, Response, StatusCode, Version, header};
use pailou_filters::ResponseHead;
use pailou_upstream::Outcome;

use crate::cause::Cause;
use crate::download::{Download, Flow};
use crate::exchange::Exchange;
use crate::hops;
use crate::line::{self, Line};
use crate::request_id::X_REQUEST_ID;
use crate::tries::Received;
use crate::tunnel::Tunnel;

/// The exchange, when it could not respond, and why.
type Failed = (Box<Exchange>, Cause);

/// The response to the client: its head now, its body as it comes.
pub(crate) async fn respond(
    mut exchange: Box<Exchange>,
    received: Received,
) -> Result<Response<Download>, Failed> {
    let Received { response, line } = received;
    let keeps = line::keeps(&response);
    let (mut head, body) = response.into_parts();
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !exchange.websocket {
        // Nobody asked (RFC 9110 section 15.2.2): what follows has no framing
        // that this client knows.
        return Err((exchange, Cause::UpstreamMalformed));
    }
    if let Some(pick) = &exchange.pick {
        pick.report(Outcome::Answered {
            status: head.status.as_u16(),
            latency: exchange.try_began.elapsed(),
        });
    }
    let edited = catch_unwind(AssertUnwindSafe(|| edit(&exchange, &mut head, switches)));
    if edited.is_err() {
        return Err((exchange, Cause::Panic));
    }
    exchange.status = head.status.as_u16();
    if switches {
        return switch(exchange, head, line).await;
    }
    Ok(Response::from_parts(
        head,
        Flow::start(exchange, body, line, keeps),
    ))
}

/// Makes the head fit for the client, by the rules and by the route's steps.
fn edit(exchange: &Exchange, head: &mut Parts, switches: bool) {
    // The version on the wire is the gateway's (RFC 9110 section 2.5).
    head.version = Version::HTTP_11;
    if !switches {
        hops::clean_response(head);
    }
    if let Some(route) = &exchange.route
        && !route.chain.is_empty()
    {
        route.chain.response(&mut ResponseHead {
            status: head.status.as_u16(),
            headers: &mut head.headers,
        });
    }
    head.headers
        .insert(X_REQUEST_ID, exchange.request_id.value());
    if !switches {
        // To a client of HTTP/1.0 the end of the connection is the end of a
        // body without a length.
        let ends = exchange.version != Version::HTTP_10
            || head.headers.contains_key(header::CONTENT_LENGTH);
        let keeps = ends && !is_last(exchange);
        head.headers.insert(header::CONNECTION, persistence(keeps));
    }
}

/// What a response says of its connection.
pub(crate) fn persistence(keeps: bool) -> HeaderValue {
    HeaderValue::from_static(if keeps { "keep-alive" } else { "close" })
}

/// Whether the connection is to end with this response.
pub(crate) fn is_last(exchange: &Exchange) -> bool {
    let server = &exchange.server;
    exchange.closes
        || server.is_draining()
        || exchange.connection.served() + 1 >= server.limits.keepalive_requests
}

/// The endpoint switched protocols: once the client has its 101, bytes pass
/// both ways.
async fn switch(
    exchange: Box<Exchange>,
    head: Parts,
    line: Line,
) -> Result<Response<Download>, Failed> {
    let Some((endpoint, early)) = line.into_tunnel().await else {
        return Err((exchange, Cause::UpstreamReset));
    };
    let connection = exchange.connection.clone();
    connection.switch_to(Box::new(Tunnel {
        endpoint,
        early,
        exchange,
    }));
    Ok(Response::from_parts(head, Download::Nothing))
}
