//! A stream whose first bytes tell whether both sides speak the same.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::problem::{Judge, TlsError};
use crate::network::ByteStream;

/// How a record of TLS begins that refuses what is no TLS: an alert, of any version.
const ALERT: [u8; 2] = [0x15, 0x03];

/// Reads as the stream does, but for what a difference about TLS makes of it.
pub(super) struct FirstBytes<S> {
    stream: S,
    /// Present where the stream is encrypted.
    judge: Option<Arc<Judge>>,
    is_first: bool,
}

impl FirstBytes<TlsStream<Box<dyn ByteStream>>> {
    pub(super) fn secured(stream: TlsStream<Box<dyn ByteStream>>, judge: Arc<Judge>) -> Self {
        Self {
            stream,
            judge: Some(judge),
            is_first: true,
        }
    }
}

impl FirstBytes<Box<dyn ByteStream>> {
    pub(super) fn plain(stream: Box<dyn ByteStream>) -> Self {
        Self {
            stream,
            judge: None,
            is_first: true,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let is_first = std::mem::take(&mut self.is_first);
        let bytes = &buffer.filled()[before..];
        Poll::Ready(match (&self.judge, result) {
            (None, Ok(())) if is_first && bytes.starts_with(&ALERT) => {
                let problem = "the server speaks TLS on this port: turn TLS on for it".to_owned();
                Err(TlsError(problem).into())
            }
            (Some(judge), Ok(())) if is_first && bytes.is_empty() => {
                Err(judge.ended_unheard().into())
            }
            (Some(judge), Err(error)) => match judge.ended(&error) {
                Some(problem) => Err(problem.into()),
                None if is_first => Err(judge.ended_unheard().into()),
                None => Err(error),
            },
            (_, result) => result,
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FirstBytes<S> {
    /// If a write fails before anything was read, the reason may be in what is to be read: a server that refuses a client
    /// says so and closes. Since the server has closed, the read ends.
    fn after_write<T>(
        &mut self,
        context: &mut Context<'_>,
        result: io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if result.is_err() && self.is_first {
            let mut bytes = [0; ALERT.len()];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(self).poll_read(context, &mut buffer))?;
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.after_write(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        self.after_write(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        self.after_write(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
