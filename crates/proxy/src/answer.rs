//! Answers that the gateway writes itself: a step's, or a problem.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use pailou_filters::{Answer, ResponseHead};

use crate::cause::Cause;
use crate::download::Download;
use crate::exchange::Exchange;
use crate::problem;
use crate::request_id::X_REQUEST_ID;
use crate::respond::{is_last, say_persistence};

/// What a step answered in the endpoint's place, as the steps before it change
/// it.
pub(crate) fn step(exchange: &mut Exchange, said: Answer) -> Response<Download> {
    // A fault in a step costs its request alone.
    let passed = catch_unwind(AssertUnwindSafe(|| pass(exchange, said)));
    match passed {
        Ok(said) => write(exchange, said, true),
        Err(_) => problem(exchange, Cause::Panic),
    }
}

fn pass(exchange: &Exchange, mut said: Answer) -> Answer {
    let Some(route) = exchange.route_with_steps() else {
        return said;
    };
    let mut head = ResponseHead {
        status: said.status,
        headers: &mut said.headers,
    };
    let mut half = route.chain.response(exchange.passed);
    while let Some((step, most)) = half.run(&mut head) {
        if said.body.len() <= most {
            said.body = step.rewrite(&mut head, said.body);
        }
    }
    said.status = head.status;
    said
}

/// A problem as the answer.
pub(crate) fn problem(exchange: &mut Exchange, cause: Cause) -> Response<Download> {
    exchange.cause = Some(cause);
    if cause == Cause::ClientGone {
        // Nobody is there to read it.
        exchange.status = 0;
        return Response::new(Download::Nothing);
    }
    let answer = cause.answer();
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let route = exchange.route.as_ref().map(|route| &*route.id);
    let body = problem::body(&answer, exchange.request_id.as_str(), route);
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(problem::CONTENT_TYPE),
    );
    if cause == Cause::MethodNotAllowed {
        let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(location) = exchange.location.take() {
        headers.insert(header::LOCATION, location);
    }
    let said = Answer {
        status,
        headers,
        body: Bytes::from(body),
    };
    write(exchange, said, cause.keeps_connection())
}

/// The whole answer. Its connection goes on where it can.
fn write(exchange: &mut Exchange, said: Answer, keeps: bool) -> Response<Download> {
    let Answer {
        status,
        headers: mut fields,
        body,
    } = said;
    exchange.status = status.as_u16();
    let is_bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !is_bodiless {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    fields.insert(X_REQUEST_ID, exchange.request_id.value());
    let upload = exchange.upload.as_ref();
    let is_sent = upload.is_none_or(|upload| upload.is_done());
    let keeps = keeps && is_sent && !is_last(exchange);
    say_persistence(exchange, &mut fields, keeps);
    if !keeps && (!is_sent || exchange.cause.is_some()) {
        // The client may still be sending.
        exchange.connection.linger();
    }
    let body = match is_bodiless || exchange.method == Method::HEAD || body.is_empty() {
        true => Download::Nothing,
        false => Download::Own(Some(body)),
    };
    exchange.bytes_out = http_body::Body::size_hint(&body).lower();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
