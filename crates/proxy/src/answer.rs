//! Answers that the gateway writes itself.

use bytes::Bytes;
use http::{Method, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::cause::Cause;
use crate::exchange::Exchange;
use crate::problem;
use crate::server::Server;

/// Answers a request with a problem, unless an answer is under way or nobody
/// is there to read one; notes status and cause.
pub(crate) async fn answer(
    server: &Server,
    session: &mut Session,
    exchange: &mut Exchange,
    cause: Cause,
) -> pingora::Result<()> {
    exchange.cause = Some(cause);
    let begun = session
        .response_written()
        .is_some_and(|head| !head.status.is_informational() || head.status == 101);
    if begun {
        // What is missing shows the client that the answer is broken.
        return Ok(());
    }
    let answer = cause.answer();
    exchange.status = answer.status;
    if cause == Cause::ClientGone {
        return Ok(());
    }
    let route = exchange.route.clone();
    let id = exchange.id().clone();
    let body = problem::body(&answer, id.as_str(), route.as_ref().map(|route| &*route.id));
    let mut head = ResponseHeader::build(answer.status, Some(5))?;
    head.insert_header(header::CONTENT_TYPE, problem::CONTENT_TYPE)?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    head.insert_header("X-Request-Id", id.value())?;
    if cause == Cause::MethodNotAllowed {
        head.insert_header(
            header::ALLOW,
            "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        )?;
    }
    let body_done = session.is_body_done();
    if !body_done && let Some(connection) = &exchange.connection {
        connection.linger();
    }
    if !cause.keeps_connection() || !body_done || server.is_draining() {
        session.set_keepalive(None);
    }
    let has_body = session.req_header().method != Method::HEAD;
    session
        .write_response_header(Box::new(head), !has_body)
        .await?;
    if has_body {
        session
            .write_response_body(Some(Bytes::from(body)), true)
            .await?;
    }
    session.as_downstream_mut().finish_body().await
}
