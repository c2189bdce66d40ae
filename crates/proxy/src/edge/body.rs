//! A request's body as pingora reads it: piece by piece, to its end and no
//! further, and no faster than its endpoint takes it.

use std::io;
use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::chunks::{ChunkScan, Chunks};
use super::{Edge, socket};
use crate::connection::{Shared, Wait};

impl Edge {
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.poll_room(cx).is_pending() {
            self.held_up = true;
            self.gave = false;
            return self.poll_held_up(cx);
        }
        if mem::take(&mut self.held_up) && self.connection.awaited() == Wait::Body {
            let due = Instant::now() + self.rules.body_timeout();
            self.connection.expect(Wait::Body, due);
        }
        // pingora passes the pieces on through a queue of four. If the last one
        // fills it, nobody looks at this stream until the endpoint answers, and
        // no deadline and no leaving client is seen. So after each piece, of one
        // chunk at most, the half that empties the queue has its turn; two
        // pieces may come between its turns.
        if mem::take(&mut self.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let outcome = match self.ahead.is_empty() {
            true => self.poll_body_from_socket(cx, buf),
            false => Poll::Ready(self.take_body_ahead(buf)),
        };
        if outcome.is_pending() {
            return self.poll_expiry(cx);
        }
        self.gave = true;
        outcome
    }

    fn poll_body_from_socket(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(socket(&mut self.socket).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        let taken = of_body(&self.connection, &mut self.chunks, read)?;
        self.hold_back(buf, before + taken);
        Poll::Ready(Ok(()))
    }

    fn take_body_ahead(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let most = self.ahead.len().min(buf.remaining());
        let taken = of_body(&self.connection, &mut self.chunks, &self.ahead[..most])?;
        buf.put_slice(&self.ahead[..taken]);
        self.ahead.advance(taken);
        Ok(())
    }

    /// Waits for the endpoint to take what the client has sent. That is not the
    /// client's time, and the endpoint's is watched where it is written to.
    fn poll_held_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.awaited() != Wait::Body {
            return self.poll_expiry(cx);
        }
        if let Poll::Ready(error) = self.poll_sent(cx) {
            return Poll::Ready(error);
        }
        match self.connection.total_due() {
            Some(due) => self.poll_expired(cx, due, Wait::Total),
            None => Poll::Pending,
        }
    }
}

/// How many of the bytes are the next piece of the body.
fn of_body(connection: &Shared, chunks: &mut ChunkScan, bytes: &[u8]) -> io::Result<usize> {
    if !connection.is_chunked() {
        return Ok(connection.take_body(bytes.len()));
    }
    match chunks.scan(bytes) {
        Chunks::Open => Ok(bytes.len()),
        Chunks::Chunk(at) => Ok(at),
        Chunks::Ended(at) => {
            connection.end_chunks();
            Ok(at)
        }
        Chunks::Malformed => {
            connection.refuse_body();
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}
