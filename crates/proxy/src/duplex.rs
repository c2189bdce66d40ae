//! A connection to an endpoint that takes what it is given without waiting.
//!
//! pingora's half of an exchange that faces the endpoint does not read while
//! it waits to write. An endpoint that answers while it still reads (an echo,
//! a WebSocket under load) fills the sockets between, and then both wait for
//! the other until a timeout ends it. No buffer is large enough: a client
//! that reads slowly lets the two directions drift apart without a bound. So
//! for exchanges where that can happen the waiting is done elsewhere, by the
//! client's stream ([`Upload`]).
//!
//! pingora pools connections by their file descriptor, which it cannot see
//! here; so such a connection serves one exchange. That is little beside a
//! body of this size.

use std::io;
use std::net;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use crate::connection::{Shared, Wait};
use crate::upload::Upload;

/// Smaller bodies fit into the sockets' buffers: an endpoint that takes none
/// of one cannot make its writer wait.
pub(crate) const FROM_BYTES: u64 = 64 << 10;

/// A writer hears of room when a third of the send buffer is free. In one that
/// grows to 4 MiB an endpoint that takes 30 KiB/s would seem to take nothing
/// for longer than a write may take.
const SEND_BUFFER_BYTES: u32 = 128 << 10;

/// Makes such connections for one client.
#[derive(Debug)]
pub(crate) struct DuplexConnect {
    pub(crate) client: Shared,
    /// How long one write may take.
    pub(crate) write_timeout: Duration,
}

#[async_trait]
impl L4Connect for DuplexConnect {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "not an IP address");
        };
        match connect(*address).await {
            Ok(socket) => {
                let duplex = Duplex::new(socket, self.client.clone(), self.write_timeout);
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
    socket: OwnedReadHalf,
    upload: Arc<Upload>,
    writing: AbortHandle,
    client: Shared,
}

impl Duplex {
    fn new(socket: TcpStream, client: Shared, write_timeout: Duration) -> Duplex {
        let (socket, writing) = socket.into_split();
        let upload = Arc::new(Upload::default());
        client.begin_upload(upload.clone());
        let to_write = upload.clone();
        let task = tokio::spawn(async move { to_write.write(writing, write_timeout).await });
        Duplex {
            socket,
            upload,
            writing: task.abort_handle(),
            client,
        }
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.upload.abandon();
        self.writing.abort();
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let duplex = self.get_mut();
        if duplex.upload.poll_stalled(cx).is_ready() {
            duplex.client.expire(Wait::Upload);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut duplex.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let put = self.upload.put(buf, self.socket.as_ref());
        Poll::Ready(put.map(|()| buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.upload.flush(self.socket.as_ref());
        Poll::Ready(Ok(()))
    }

    /// Waits for the last byte to be taken: nothing is left behind that no
    /// request and no client is counted for.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.upload.poll_finish(cx).map(Ok)
    }
}

impl VirtualSocket for Duplex {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.socket.as_ref().set_nodelay(true),
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
