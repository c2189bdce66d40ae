//! The socket of a client, whatever is spoken on it.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::buffers::poll_piece;

/// A client's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Ready when a read would find something: bytes, the end, or an error.
    pub(super) fn poll_readable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Socket::Plain(socket) => socket.poll_read_ready(cx).map(drop),
            Socket::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                // Bytes that came may be deciphered already, and wait to be read.
                let is_here = session.process_new_packets().map_or(true, |state| {
                    state.plaintext_bytes_to_read() > 0 || state.peer_has_closed()
                });
                match is_here {
                    true => Poll::Ready(()),
                    false => socket.poll_read_ready(cx).map(drop),
                }
            }
        }
    }

    /// Writes what fits now. On TLS the next write, or the end, sends the rest.
    pub(super) fn try_write(self: Pin<&mut Self>, bytes: &[u8]) {
        match self.get_mut() {
            Socket::Plain(socket) => drop(socket.try_write(bytes)),
            Socket::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                let mut out = TryWrite(socket);
                let _ = session.writer().write_all(bytes);
                while session.wants_write() && session.write_tls(&mut out).is_ok() {}
            }
        }
    }

    /// The error that broke the socket, if there is one.
    pub(super) fn error(&self) -> Option<io::Error> {
        let socket = match self {
            Socket::Plain(socket) => socket,
            Socket::Tls(stream) => stream.get_ref().0,
        };
        socket.take_error().unwrap_or_else(Some)
    }

    /// On TLS, says that nothing more comes, if that fits into the socket now.
    pub(super) fn say_end(self: Pin<&mut Self>) {
        if let Socket::Tls(stream) = self.get_mut() {
            let (socket, session) = stream.get_mut();
            session.send_close_notify();
            let _ = session.write_tls(&mut TryWrite(socket));
        }
    }
}

/// Writes what fits without waiting.
struct TryWrite<'a>(&'a TcpStream);

impl Write for TryWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => poll_piece(socket, cx, buf),
            // A record at a time.
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
