//! pingora's phases, each handed to the part that knows.

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version, header};
use pailou_filters::ResponseHead;
use pailou_telemetry::events::RequestDone;
use pailou_upstream::Outcome;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::answer::answer;
use crate::cause::Cause;
use crate::connection::{Stage, Wait};
use crate::exchange::Exchange;
use crate::heads::ResponseFields;
use crate::plan::plan;
use crate::request_id::RequestId;
use crate::server::Server;
use crate::{framing, hops, tries};

/// The proxy as pingora drives it.
pub(crate) struct Phases(pub(crate) Arc<Server>);

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new()
    }

    /// None: pingora would put a compression module, switched off, into every
    /// request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let planned = catch_unwind(AssertUnwindSafe(|| plan(&self.0, session, exchange)));
        match planned.unwrap_or(Err(Cause::Panic)) {
            Ok(()) => Ok(false),
            Err(cause) => {
                answer(&self.0, session, exchange, cause).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        match tries::peer(&self.0, exchange) {
            Ok(peer) => Ok(Box::new(peer)),
            Err(cause) => Err(failure(exchange, cause)),
        }
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let again = tries::connect_failed(exchange, &error);
        error.set_retry(again);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        client_reused: bool,
    ) -> Box<Error> {
        let again = tries::exchange_failed(&self.0, session, exchange, &error, client_reused);
        error.set_retry(again);
        error
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if exchange.has_body
            && let Some(connection) = &exchange.connection
            && !connection.body_done()
        {
            // From here on the client is read: also one that sends nothing
            // has to hear that it is slow.
            let due = tokio::time::Instant::now() + self.0.limits.body_timeout;
            connection.expect(Wait::Body, due);
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if !exchange.has_body {
            return Ok(());
        }
        let Some(connection) = exchange.connection.clone() else {
            return Ok(());
        };
        if connection.stage() != Stage::Exchange {
            return Ok(());
        }
        exchange.body_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
        if exchange.body_bytes > self.0.limits.body_bytes {
            return Err(failure(exchange, Cause::BodyTooLarge));
        }
        let now = tokio::time::Instant::now();
        if end_of_stream {
            connection.end_body();
        }
        if exchange.responded {
            connection.renew_gap();
        } else if !end_of_stream {
            connection.expect(Wait::Body, now + self.0.limits.body_timeout);
        } else if let Some(route) = &exchange.route {
            // The endpoint's time runs from the last byte it was sent; a
            // second try does not start it again.
            let due = *exchange
                .response_due
                .get_or_insert(now + route.timeouts.response);
            connection.expect(Wait::Response, due);
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if exchange.duplex && !exchange.websocket {
            head.insert_header(header::CONNECTION, "close")?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS && !exchange.websocket {
            // Nobody asked (RFC 9110 section 15.2.2): what follows has no framing that this client knows.
            return Err(failure(exchange, Cause::UpstreamMalformed));
        }
        let edited = catch_unwind(AssertUnwindSafe(|| self.respond(session, head, exchange)));
        edited.map_err(|_| failure(exchange, Cause::Panic))
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<std::time::Duration>> {
        if let Some(connection) = &exchange.connection {
            if end_of_stream {
                connection.end_response();
            } else {
                connection.renew_gap();
            }
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let cause = exchange
            .cause
            .unwrap_or_else(|| tries::cause_of(exchange, error));
        // A client that cannot be answered has gone; the cause stays.
        let _ = answer(&self.0, session, exchange, cause).await;
        FailToProxy {
            error_code: exchange.status,
            can_reuse_downstream: false,
        }
    }

    async fn logging(
        &self,
        session: &mut Session,
        _error: Option<&Error>,
        exchange: &mut Exchange,
    ) {
        exchange.pick = None;
        if exchange.has_body
            && !session.is_body_done()
            && let Some(connection) = &exchange.connection
        {
            connection.linger();
        }
        RequestDone {
            route: exchange.route.as_ref().map(|route| &*route.metrics),
            method: session.req_header().method.as_str(),
            path: std::str::from_utf8(&exchange.path).unwrap_or_default(),
            status: exchange.status,
            cause: exchange.cause.map(|cause| cause.answer().cause),
            request_id: exchange.request_id.as_ref().map_or("-", RequestId::as_str),
            client: exchange.client,
            upstream: exchange.upstream,
            tries: exchange.tries,
            duration: exchange.began.elapsed(),
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
        }
        .record(&self.0.metrics, &self.0.access_log);
    }

    /// Every failure is in the access log with its cause; a line of pingora's
    /// for each would let clients fill the disk.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl Phases {
    /// The head of the endpoint's answer has come.
    fn respond(&self, session: &mut Session, head: &mut ResponseHeader, exchange: &mut Exchange) {
        exchange.responded = true;
        exchange.status = head.status.as_u16();
        if let Some(pick) = &exchange.pick {
            pick.report(Outcome::Answered);
        }
        let Some(route) = exchange.route.clone() else {
            return;
        };
        if let Some(connection) = &exchange.connection {
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                connection.begin_tunnel();
            } else {
                connection.expect_pieces(route.timeouts.read, tokio::time::Instant::now());
                if framing::is_empty(head) {
                    connection.end_response();
                }
                hops::clean_response(head);
            }
        }
        if !route.chain.is_empty() {
            let status = head.status.as_u16();
            route.chain.response(&mut ResponseHead {
                status,
                headers: &mut ResponseFields(head),
            });
        }
        // Both inserts fail only beyond 32,768 fields.
        let _ = head.insert_header("X-Request-Id", exchange.id().value());
        if session.req_header().version == Version::HTTP_10 {
            // Chunks are unknown there: the body ends with the connection,
            // unless it has a length.
            if head.headers.contains_key(header::TRANSFER_ENCODING) {
                head.remove_header(&header::TRANSFER_ENCODING);
                session.set_keepalive(None);
            }
        }
        if self.0.is_draining() {
            session.set_keepalive(None);
        }
    }
}

/// An error that carries a cause through pingora.
fn failure(exchange: &mut Exchange, cause: Cause) -> Box<Error> {
    exchange.cause = Some(cause);
    Error::new_in(ErrorType::HTTPStatus(cause.answer().status))
}
