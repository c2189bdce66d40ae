//! Answers that the gateway writes itself: a step's, or a problem.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use pailou_filters::{Answer, ErrorShape, Wish};

use crate::cause::{self, Cause};
use crate::download::Download;
use crate::exchange::Exchange;
use crate::failed_tries;
use crate::grpc;
use crate::problem::Said;
use crate::request_id::X_REQUEST_ID;
use crate::respond::{is_last, say_persistence};
use crate::rewrite;

/// The methods that the gateway knows. Other methods are passed on unchanged, except
/// CONNECT and TRACE.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// A step's answer in the endpoint's place, as changed by the steps before that step.
pub(crate) fn step(exchange: &mut Exchange, mut said: Answer) -> Response<Download> {
    match pass(exchange, &mut said) {
        // On a stream that asks for a WebSocket the client would take a success for one.
        Ok(()) if exchange.connection.switches() && said.status.is_success() => {
            problem(exchange, Cause::NotSwitched)
        }
        Ok(()) => write(exchange, said, true),
        Err(cause) => problem(exchange, cause),
    }
}

fn pass(exchange: &Exchange, said: &mut Answer) -> Result<(), Cause> {
    let Answer {
        status,
        headers,
        body,
    } = said;
    exchange.change_response(headers);
    for passed in exchange.passed.iter().rev() {
        let mut half = passed.response();
        // Steps see the length, as they would of an endpoint's answer.
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        rewrite::guarded(&passed.facts, status, headers, |head| {
            while let Some(wish) = half.run(head) {
                match wish {
                    Wish::Whole(step, most) if body.len() <= most => {
                        *body = step.rewrite(head, std::mem::take(body));
                        let length = body.len().into();
                        head.headers.insert(header::CONTENT_LENGTH, length);
                    }
                    Wish::Whole(..) => {}
                    Wish::Encode(mut encoder) => {
                        let encoded = encoder.whole(body);
                        *body = encoded.map_err(|_| Cause::Internal)?;
                    }
                    Wish::Copy(copying) => copying.keep(body.clone()),
                }
            }
            Ok(())
        })??;
    }
    // The answer says it for itself, where it has a length.
    headers.remove(header::CONTENT_LENGTH);
    Ok(())
}

/// A problem as the answer.
pub(crate) fn problem(exchange: &mut Exchange, cause: Cause) -> Response<Download> {
    exchange.cause = Some(cause);
    if cause == Cause::ClientGone {
        // The client is gone.
        exchange.status = 0;
        return Response::new(Download::Nothing);
    }
    let answer = cause.answer();
    if exchange.grpc {
        return write(
            exchange,
            grpc::refusal(cause, &answer),
            cause.keeps_connection(),
        );
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = body(exchange, &answer);
    let mut headers = HeaderMap::new();
    let kind = exchange.server.errors.content_type(shape(exchange));
    headers.insert(header::CONTENT_TYPE, kind);
    exchange.change_response(&mut headers);
    if cause == Cause::MethodNotAllowed {
        headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
    }
    if cause == Cause::Overloaded {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if let Some(location) = exchange.location.take() {
        headers.insert(header::LOCATION, location);
    }
    let said = Answer {
        status,
        headers,
        body,
    };
    write(exchange, said, cause.keeps_connection())
}

/// The body of an error, in the shape that the route or the settings ask for.
fn body(exchange: &Exchange, answer: &cause::Answer) -> Bytes {
    let said = Said {
        status: answer.status,
        cause: answer.cause,
        detail: answer.detail,
        request_id: exchange.request_id.as_str(),
        path: std::str::from_utf8(&exchange.path).unwrap_or_default(),
        method: exchange.method.as_str(),
        route: exchange.route.as_ref().map(|route| &*route.id),
    };
    exchange.server.errors.body(shape(exchange), &said).into()
}

/// The shape of errors that the route has for itself.
fn shape(exchange: &Exchange) -> Option<&ErrorShape> {
    exchange.route.as_ref()?.errors.as_ref()
}

/// The whole answer. With `keeps` the connection may serve another request.
fn write(exchange: &mut Exchange, said: Answer, keeps: bool) -> Response<Download> {
    let Answer {
        status,
        headers: mut fields,
        body,
    } = said;
    exchange.status = status.as_u16();
    exchange.account.answers_itself();
    let is_bodiless = rewrite::is_bodiless(status);
    // In gRPC the head of such an answer is its trailers.
    if !is_bodiless && !exchange.grpc {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    fields.insert(&X_REQUEST_ID, exchange.request_id.value());
    failed_tries::tell(exchange, false, &mut fields);
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
