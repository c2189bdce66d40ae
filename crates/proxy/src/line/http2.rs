//! HTTP/2 to an endpoint: many requests share a connection.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::AbortHandle;

use super::{LineFailure, failure_of};
use crate::buffers::Buffers;
use crate::upload::Outgoing;
use crate::wire::Wire;

/// The most requests on one connection. Servers allow 100 to 256 by default. The
/// next request opens another connection.
const MOST_STREAMS: usize = 100;

/// The least window for all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// How often an endpoint with a request under way is pinged, and how long its answer
/// may take. Only this finds a host that vanished.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that requests share. It ends when nobody holds it.
#[derive(Debug)]
pub(crate) struct Trunk {
    sender: SendRequest<Outgoing>,
    streams: AtomicUsize,
    driver: AbortHandle,
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Trunk {
    /// Puts the engine on a new connection.
    pub(crate) async fn open(wire: Wire, buffers: Buffers) -> Result<Arc<Trunk>, LineFailure> {
        let window = u32::try_from(buffers.endpoint).unwrap_or(u32::MAX);
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(window)
            .initial_connection_window_size(window.max(CONNECTION_WINDOW_BYTES))
            .max_send_buf_size(buffers.endpoint)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let handshake = builder.handshake(TokioIo::new(wire)).await;
        let (sender, driver) = handshake.map_err(|_| LineFailure::Unsent)?;
        let driver = tokio::spawn(async move {
            // Requests that wait for an answer are told how the connection ends.
            let _ = driver.await;
        });
        Ok(Arc::new(Trunk {
            sender,
            streams: AtomicUsize::new(0),
            driver: driver.abort_handle(),
        }))
    }

    /// Whether its endpoint takes no more requests on it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether nobody uses it.
    pub(crate) fn is_idle(&self) -> bool {
        self.streams.load(Relaxed) == 0
    }

    /// A stream for a request, if there is room for one more.
    pub(crate) fn stream(self: &Arc<Self>, reused: bool) -> Option<Stream> {
        if self.is_closed() || self.streams.fetch_add(1, Relaxed) >= MOST_STREAMS {
            self.streams.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Stream {
            trunk: Arc::clone(self),
            reused,
        })
    }
}

/// A request's part of a shared connection.
#[derive(Debug)]
pub(crate) struct Stream {
    trunk: Arc<Trunk>,
    /// Whether its connection has served a request before.
    pub(crate) reused: bool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.trunk.streams.fetch_sub(1, Relaxed);
    }
}

impl Stream {
    pub(super) async fn send<E>(
        &mut self,
        request: Request<Outgoing>,
        mut ended: impl FnMut(&mut Context<'_>) -> Poll<E>,
    ) -> Result<Result<Response<Incoming>, LineFailure>, E> {
        let mut sender = self.trunk.sender.clone();
        let mut answer = pin!(sender.try_send_request(request));
        let answered = std::future::poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => ended(cx).map(Err),
        });
        Ok(answered.await?.map_err(|mut failed| {
            if failed.take_message().is_some() {
                return LineFailure::Unsent;
            }
            failure_of(failed.error())
        }))
    }
}

/// Why a stream failed. RFC 9113 section 8.7 says which requests the endpoint has
/// not looked at.
pub(super) fn failure_in(error: &h2::Error) -> LineFailure {
    match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) => LineFailure::Unsent,
        Some(h2::Reason::NO_ERROR) if error.is_go_away() && error.is_remote() => {
            LineFailure::Unsent
        }
        Some(h2::Reason::PROTOCOL_ERROR | h2::Reason::FRAME_SIZE_ERROR) if error.is_library() => {
            LineFailure::Malformed
        }
        _ => LineFailure::Ended,
    }
}
