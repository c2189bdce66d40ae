//! A client that may be slow, but only up to a limit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::deadline::Timer;

/// Writes to a client, none of which may take longer than a limit. With HTTP/1.1 the
/// edge does this.
pub(super) struct Patient<T> {
    inner: T,
    timeout: Duration,
    due: Option<Instant>,
    timer: Timer,
}

impl<T> Patient<T> {
    pub(super) fn new(inner: T, timeout: Duration) -> Patient<T> {
        Patient {
            inner,
            timeout,
            due: None,
            timer: Timer::default(),
        }
    }

    fn watch<U>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<U>>,
    ) -> Poll<io::Result<U>> {
        if outcome.is_ready() {
            self.due = None;
            return outcome;
        }
        let due = *self
            .due
            .get_or_insert_with(|| Instant::now() + self.timeout);
        ready!(self.timer.poll_until(cx, due));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let patient = self.get_mut();
        let written = Pin::new(&mut patient.inner).poll_write(cx, bytes);
        patient.watch(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let patient = self.get_mut();
        let flushed = Pin::new(&mut patient.inner).poll_flush(cx);
        patient.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let patient = self.get_mut();
        let ended = Pin::new(&mut patient.inner).poll_shutdown(cx);
        patient.watch(cx, ended)
    }
}
