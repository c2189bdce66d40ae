//! What goes to the client: interim answers in their place, and no waiting
//! for ever for a client that takes nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::{Edge, Socket, socket};
use crate::cause::Cause;
use crate::connection::Stage;

/// The state of writing.
#[derive(Debug)]
pub(super) struct Writes {
    /// Interim answers that are not out yet.
    interim: BytesMut,
    timeout: Duration,
    due: Option<Instant>,
}

impl Writes {
    pub(super) fn new(timeout: Duration) -> Writes {
        Writes {
            interim: BytesMut::new(),
            timeout,
            due: None,
        }
    }

    /// Writes what fits now of an answer that ends the connection.
    pub(super) fn last_word(&self, socket: Pin<&mut Socket>, answer: &[u8]) {
        socket.try_write(answer);
    }
}

impl Edge {
    /// Sends the interim answers, which come before anything else; ready when
    /// they are out.
    pub(super) fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.has_interim() && self.writes.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let more = self.connection.take_interim();
        self.writes.interim.extend_from_slice(&more);
        while !self.writes.interim.is_empty() {
            let written = ready!(socket(&mut self.socket).poll_write(cx, &self.writes.interim))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writes.interim.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the engine may write. Before a request came of a head the engine
    /// writes one thing only: its own bare answer to a head that it could not
    /// parse. The gateway's answer takes its place.
    fn may_write(&mut self) -> bool {
        if !self.refused && self.connection.stage() == Stage::Handed {
            self.refuse(Cause::MalformedHead);
        }
        !self.refused
    }

    /// After a write or a flush: times a client that takes nothing.
    fn watch_writes<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writes.due = None;
            return outcome;
        }
        let timeout = self.writes.timeout;
        let due = *self
            .writes
            .due
            .get_or_insert_with(|| Instant::now() + timeout);
        let cut_due = self.connection.cut_due().filter(|cut_due| *cut_due < due);
        ready!(self.timer.poll_until(cx, cut_due.unwrap_or(due)));
        if cut_due.is_some() {
            self.connection.cut();
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Edge {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let edge = self.get_mut();
        if !edge.may_write() {
            return Poll::Ready(Ok(bytes.len()));
        }
        edge.ending.answer();
        let written = match edge.poll_interim(cx) {
            Poll::Ready(Ok(())) => socket(&mut edge.socket).poll_write(cx, bytes),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        edge.watch_writes(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let edge = self.get_mut();
        if !edge.may_write() {
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        edge.ending.answer();
        let written = match edge.poll_interim(cx) {
            Poll::Ready(Ok(())) => socket(&mut edge.socket).poll_write_vectored(cx, pieces),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        edge.watch_writes(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket
            .as_ref()
            .is_some_and(|socket| socket.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let edge = self.get_mut();
        let flushed = match edge.poll_interim(cx) {
            Poll::Ready(Ok(())) => socket(&mut edge.socket).poll_flush(cx),
            other => other,
        };
        edge.watch_writes(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        socket(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
