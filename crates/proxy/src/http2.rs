//! HTTP/2 on a client's connection: hyper's server above the edge.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pailou_config::LimitSettings;
use tokio::time::Instant;

use crate::buffers::Buffers;
use crate::cause::Cause;
use crate::connection::Shared;
use crate::deadline::Timer;
use crate::edge::{Edge, Framing, Heading};
use crate::exchange;
use crate::server::Server;
use crate::streams::Streams;
use crate::tunnels::Tunnels;
use crate::websocket;

/// The least window for all streams of a connection. It bounds the memory that their
/// uploads hold together.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// How many streams a client may reset before they were accepted (CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// How many streams of a connection may break the protocol before it is cut.
const LOCAL_RESETS: usize = 100;

/// How often a client with a stream is pinged, and how long its answer may take.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The engine's settings. With `may_switch` a stream may become a WebSocket.
pub(crate) fn engine(
    limits: &LimitSettings,
    buffers: Buffers,
    may_switch: bool,
    streams: Streams,
) -> Builder<Streams> {
    let window = u32::try_from(buffers.client).unwrap_or(u32::MAX);
    let mut builder = Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(window.max(CONNECTION_WINDOW_BYTES))
        .max_send_buf_size(buffers.client)
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    if may_switch {
        builder.enable_connect_protocol();
    }
    builder
}

/// Serves one connection until it ends.
pub(crate) async fn serve(server: Arc<Server>, mut edge: Edge, connection: Shared) {
    edge.switch();
    let tunnels = Tunnels::new(&server.metrics);
    let service = service_fn(|mut request: Request<Incoming>| {
        let stream = connection.stream();
        if let Some(opening) = websocket::take(&mut request, &tunnels) {
            stream.may_switch(opening);
        }
        let heading = heading(&mut request);
        // The engine, its task and what watches the task each move the future on:
        // without a box some 100 KiB are copied for a request.
        Box::pin(exchange::serve(
            server.clone(),
            stream,
            Some(heading),
            request,
        ))
    });
    let engine = server.http2.serve_connection(TokioIo::new(edge), service);
    let mut engine = std::pin::pin!(engine);
    let mut end = End::new(&server, &connection);
    // How it ends was told to its streams.
    let _ = poll_fn(|cx| {
        let ended = engine.as_mut().poll(cx);
        if ended.is_pending() && end.poll_due(cx).is_ready() {
            engine.as_mut().graceful_shutdown();
            return engine.as_mut().poll(cx);
        }
        ended
    })
    .await;
}

/// When a connection is asked to end: the client has been silent for too long,
/// has had as many requests as it may have, or the gateway drains.
struct End<'a> {
    server: &'a Server,
    connection: &'a Shared,
    timer: Timer,
    idle_since: Option<Instant>,
    is_asked: bool,
}

impl<'a> End<'a> {
    fn new(server: &'a Server, connection: &'a Shared) -> End<'a> {
        End {
            server,
            connection,
            timer: Timer::default(),
            idle_since: None,
            is_asked: false,
        }
    }

    /// Ready once. The engine then tells the client, and goes on until the last stream
    /// has ended.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_asked {
            return Poll::Pending;
        }
        self.connection.waits(cx.waker());
        let limits = &self.server.limits;
        let must = self.server.is_draining()
            || self.connection.must_close()
            || self.connection.served() >= limits.keepalive_requests;
        if !must {
            if self.connection.is_busy() {
                self.idle_since = None;
                return Poll::Pending;
            }
            let since = *self.idle_since.get_or_insert_with(Instant::now);
            let due = since + limits.keepalive_timeout;
            std::task::ready!(self.timer.poll_until(cx, due));
        }
        self.is_asked = true;
        Poll::Ready(())
    }
}

/// What the exchange has to know of a head, and the head as it would have come
/// over HTTP/1.1.
fn heading(request: &mut Request<Incoming>) -> Heading {
    let target = match request.uri().path_and_query() {
        Some(target) => Bytes::copy_from_slice(target.as_str().as_bytes()),
        None => Bytes::new(),
    };
    let (framing, fault) = match framing(request) {
        Ok(framing) => (framing, None),
        Err(cause) => (Framing::Length(0), Some(cause)),
    };
    let fault = fault.or(name_host(request).err());
    let headers = request.headers_mut();
    join_cookies(headers);
    // An interim answer is not needed, since a stream's window holds the body back.
    headers.remove(header::EXPECT);
    let fields = headers.iter();
    let bytes: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    Heading {
        line_bytes: target.len() + request.method().as_str().len() + 10,
        bytes: bytes + target.len(),
        target,
        framing,
        expects_continue: false,
        knows_interim: false,
        fault,
    }
}

fn framing(request: &Request<Incoming>) -> Result<Framing, Cause> {
    let mut lengths = request.headers().get_all(header::CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) if request.body().is_end_stream() => 0,
        (None, _) => return Ok(Framing::Chunked),
        (Some(length), None) => {
            let text = length.to_str().map_err(|_| Cause::MalformedHead)?;
            text.parse().map_err(|_| Cause::MalformedHead)?
        }
        (Some(_), Some(_)) => return Err(Cause::MalformedHead),
    };
    Ok(Framing::Length(length))
}

/// `:authority` is the Host; both may be there if they agree (RFC 9113 section
/// 8.3.1).
fn name_host(request: &mut Request<Incoming>) -> Result<(), Cause> {
    let Some(authority) = request.uri().authority() else {
        return Ok(());
    };
    let value = HeaderValue::from_str(authority.as_str()).map_err(|_| Cause::MalformedHost)?;
    match request.headers().get(header::HOST) {
        Some(host) if !host.as_bytes().eq_ignore_ascii_case(value.as_bytes()) => {
            Err(Cause::MalformedHead)
        }
        Some(_) => Ok(()),
        None => {
            request.headers_mut().insert(header::HOST, value);
            Ok(())
        }
    }
}

/// Joins the cookies, which an HTTP/2 client may send in pieces. Servers of HTTP/1.1
/// expect one line (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let mut joined = Vec::new();
    for piece in headers.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(piece.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, joined);
    }
}
