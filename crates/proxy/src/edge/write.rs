//! What goes to the client: interim answers in their place, and no waiting
//! for ever for a client that takes nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::{Edge, Socket, socket};
use crate::cause::Cause;
use crate::connection::Stage;
use crate::pace::{self, Pace};

/// The state of writing.
#[derive(Debug)]
pub(super) struct Writes {
    /// Interim answers that are not out yet.
    interim: BytesMut,
    pub(super) pace: Pace,
}

impl Writes {
    pub(super) fn new(pace: pace::Rules) -> Writes {
        Writes {
            interim: BytesMut::new(),
            pace: Pace::new(pace),
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

    /// After a write or a flush: times a client that takes nothing, or too little.
    fn watch_writes(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = outcome {
            self.writes.pace.moved(*written.as_ref().unwrap_or(&0));
            return Poll::Ready(written);
        }
        let (due, cause) = self.writes.pace.cut_due(&self.connection);
        ready!(self.timer.poll_until(cx, due));
        self.connection.cut(cause);
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
        edge.watch_writes(cx, flushed.map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        socket(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
