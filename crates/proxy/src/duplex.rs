//! A connection to an endpoint that can be written to while it writes.
//!
//! pingora's half of an exchange that faces the endpoint does not read while
//! it waits to write. An endpoint that answers while it still reads (an echo,
//! a WebSocket under load) fills the sockets between and then both wait for
//! the other, until a timeout ends it. So for exchanges where that can happen
//! the socket is wrapped: a write that must wait reads ahead meanwhile, into a
//! buffer with a bound.
//!
//! pingora pools connections by their file descriptor, which it cannot see
//! here; so such a connection serves one exchange. That is little beside a
//! body of this size.

use std::collections::VecDeque;
use std::io;
use std::net;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use crate::out::Out;

/// Smaller bodies fit into the sockets' buffers: an endpoint that takes none
/// of one cannot make its writer wait.
pub(crate) const FROM_BYTES: u64 = 64 << 10;

/// A waiting writer is woken when a third of the send buffer is free. The
/// endpoint must be able to send as much as it reads until then.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
const AHEAD_BYTES: usize = 1 << 20;

/// Makes such connections.
#[derive(Debug)]
pub(crate) struct DuplexConnect;

#[async_trait]
impl L4Connect for DuplexConnect {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "not an IP address");
        };
        match connect(*address).await {
            Ok(socket) => {
                let duplex = Duplex::new(socket);
                Ok(Stream::from(VirtualSocketStream::new(Box::new(duplex))))
            }
            Err(error) => Error::e_because(type_of(&error), "connecting to an endpoint", error),
        }
    }
}

async fn connect(address: net::SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        net::SocketAddr::V4(_) => TcpSocket::new_v4(),
        net::SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.connect(address).await
}

/// As pingora names the errors of its own connections.
fn type_of(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            ErrorType::ConnectError
        }
        // Descriptors, memory, ports: nothing the endpoint did.
        _ => ErrorType::InternalError,
    }
}

struct Duplex {
    socket: TcpStream,
    out: Out,
    ahead: VecDeque<u8>,
    /// How reading ahead ended, told once what is ahead has been read.
    end: Option<io::Result<()>>,
}

impl Duplex {
    fn new(socket: TcpStream) -> Duplex {
        Duplex {
            socket,
            out: Out::default(),
            ahead: VecDeque::new(),
            end: None,
        }
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let mut piece = [0; 8192];
        while self.ahead.len() < AHEAD_BYTES && self.end.is_none() {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buf) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => self.end = Some(Err(error)),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => self.end = Some(Ok(())),
                Poll::Ready(Ok(())) => self.ahead.extend(buf.filled()),
            }
        }
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let duplex = self.get_mut();
        if !duplex.ahead.is_empty() {
            let (piece, _) = duplex.ahead.as_slices();
            let taken = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..taken]);
            duplex.ahead.drain(..taken);
            return Poll::Ready(Ok(()));
        }
        match duplex.end.take() {
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(())) => {
                duplex.end = Some(Ok(()));
                Poll::Ready(Ok(()))
            }
            None => Pin::new(&mut duplex.socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let duplex = self.get_mut();
        let written = duplex.out.poll_write(Pin::new(&mut duplex.socket), cx, buf);
        if written.is_pending() {
            duplex.read_ahead(cx);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let duplex = self.get_mut();
        let flushed = duplex.out.poll_flush(Pin::new(&mut duplex.socket), cx);
        if flushed.is_pending() {
            duplex.read_ahead(cx);
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

impl VirtualSocket for Duplex {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.socket.set_nodelay(true),
            // No peer asks for another.
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Duplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duplex")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_writer_that_never_reads_does_not_block_an_echo() {
        // Within what is read ahead and the sockets hold.
        const BYTES: usize = 1 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let echo = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("accept");
            let mut buf = vec![0; 65536];
            loop {
                match socket.read(&mut buf).await.expect("read") {
                    0 => return,
                    read => socket.write_all(&buf[..read]).await.expect("write"),
                }
            }
        });
        let mut duplex = Duplex::new(connect(address).await.expect("connect"));
        let sent: Vec<u8> = (0..BYTES).map(|index| (index % 251) as u8).collect();
        duplex.write_all(&sent).await.expect("write");
        duplex.flush().await.expect("flush");
        let mut got = vec![0; BYTES];
        duplex.read_exact(&mut got).await.expect("read");
        assert!(got == sent, "in order, none lost");
        duplex.shutdown().await.expect("shutdown");
        assert_eq!(duplex.read(&mut [0]).await.expect("read"), 0);
        echo.await.expect("echo");
    }
}
