//! One request's line to an endpoint: a connection of its own, or a stream of a
//! shared one.

mod http1;
mod http2;

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::Incoming;

pub(crate) use http1::Connection;
pub(crate) use http2::{Stream, Trunk};

use crate::hops;
use crate::upload::Outgoing;
use crate::wire::{Wire, tls_error};

/// What carries a request to an endpoint, and its answer back.
#[derive(Debug)]
pub(crate) enum Line {
    /// HTTP/1.1: the connection is the request's until the answer has come.
    Connection(Connection),
    /// HTTP/2.
    Stream(Stream),
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFailure {
    /// Nothing of the request was sent, or the endpoint did not look at it.
    Unsent,
    /// The connection ended before the answer's head had come.
    Ended,
    /// The endpoint ended TLS with a reason, such as that it asks for a client
    /// certificate.
    Tls,
    /// What came is not HTTP.
    Malformed,
    /// The request's body ended before its end.
    Body,
}

impl Line {
    /// Whether its connection has served a request before.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Line::Connection(connection) => connection.reused,
            Line::Stream(stream) => stream.reused,
        }
    }

    /// From here on a task drives it.
    pub(crate) fn drive_elsewhere(&mut self) {
        match self {
            Line::Connection(connection) => connection.drive_elsewhere(),
            Line::Stream(_) => {}
        }
    }

    /// Sends a request and returns the head of its answer, unless `ended` gives a
    /// reason to give up first.
    pub(crate) async fn send<E>(
        &mut self,
        request: Request<Outgoing>,
        ended: impl FnMut(&mut Context<'_>) -> Poll<E>,
    ) -> Result<Result<Response<Incoming>, LineFailure>, E> {
        match self {
            Line::Connection(connection) => connection.send(request, ended).await,
            Line::Stream(stream) => stream.send(request, ended).await,
        }
    }

    /// Lets bytes move; ready when the connection has ended.
    pub(crate) fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Line::Connection(connection) => connection.poll_drive(cx),
            Line::Stream(_) => Poll::Pending,
        }
    }

    /// Whether request and response are known to be through.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Line::Connection(connection) => connection.is_ready(),
            Line::Stream(_) => true,
        }
    }

    /// Waits until request and response are through on a connection that a task
    /// drives; false if it has ended.
    pub(crate) async fn finished(&mut self) -> bool {
        match self {
            Line::Connection(connection) => connection.finished().await,
            Line::Stream(_) => true,
        }
    }

    /// The bare connection after its endpoint switched protocols, and what came
    /// behind its answer. `None` if a task drives it, or if it broke.
    pub(crate) async fn into_tunnel(self) -> Option<(Wire, Bytes)> {
        match self {
            Line::Connection(connection) => connection.into_tunnel().await,
            Line::Stream(_) => None,
        }
    }
}

/// Whether a connection may serve another request after this answer.
pub(crate) fn keeps<B>(answer: &Response<B>) -> bool {
    // The engine would from now on speak HTTP/1.0 with an endpoint of HTTP/1.0.
    answer.version() == Version::HTTP_11 && !hops::closes(answer.headers(), Version::HTTP_11)
}

/// Why the engine gave up.
pub(crate) fn failure_of(error: &hyper::Error) -> LineFailure {
    use std::error::Error;
    let source = error.source();
    if let Some(error) = source.and_then(|source| source.downcast_ref::<h2::Error>()) {
        return http2::failure_in(error);
    }
    if error.is_user() {
        LineFailure::Body
    } else if error.is_parse() {
        LineFailure::Malformed
    } else if let Some(error) = source.and_then(|source| source.downcast_ref()) {
        failure_in(error)
    } else {
        LineFailure::Ended
    }
}

fn failure_in(error: &io::Error) -> LineFailure {
    match error.kind() {
        _ if tls_error(error).is_some() => LineFailure::Tls,
        // What the engine says of chunks that are none.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => LineFailure::Malformed,
        _ => LineFailure::Ended,
    }
}
