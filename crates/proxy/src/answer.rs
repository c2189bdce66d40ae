//! Answers that the gateway writes itself.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::cause::Cause;
use crate::download::Download;
use crate::exchange::Exchange;
use crate::problem;
use crate::request_id::X_REQUEST_ID;
use crate::respond::{is_last, persistence};

/// A problem as the response to a request. The exchange ends with it.
pub(crate) fn answer(mut exchange: Box<Exchange>, cause: Cause) -> Response<Download> {
    exchange.cause = Some(cause);
    if cause == Cause::ClientGone {
        // Nobody is there to read it.
        exchange.status = 0;
        return Response::new(Download::Nothing);
    }
    let answer = cause.answer();
    exchange.status = answer.status;
    let route = exchange.route.as_ref().map(|route| &*route.id);
    let body = problem::body(&answer, exchange.request_id.as_str(), route);
    let length = body.len();
    let body = match exchange.method == Method::HEAD {
        true => Download::Nothing,
        false => Download::Own(Some(Bytes::from(body))),
    };
    exchange.bytes_out = http_body::Body::size_hint(&body).lower();
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fields = response.headers_mut();
    fields.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(problem::CONTENT_TYPE),
    );
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    fields.insert(X_REQUEST_ID, exchange.request_id.value());
    if cause == Cause::MethodNotAllowed {
        let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        fields.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(location) = exchange.location.take() {
        fields.insert(header::LOCATION, location);
    }
    close(&exchange, cause, fields);
    response
}

/// Ends the connection with the answer where it cannot go on.
fn close(exchange: &Exchange, cause: Cause, fields: &mut HeaderMap) {
    let upload = exchange.upload.as_ref();
    let is_sent = upload.is_none_or(|upload| upload.is_done());
    let keeps = cause.keeps_connection() && is_sent && !is_last(exchange);
    fields.insert(header::CONNECTION, persistence(keeps));
    if !is_sent || !cause.keeps_connection() {
        // The client may still be sending.
        exchange.connection.linger();
    }
}
