//! A listener with a bound on its connections, and connections with a bound on their patience.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// More than the probes and people of one gateway need; the next ones wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// How long a connection may go without a byte of an answer. Every answer is made from memory, so a connection that gets none has
/// asked for none, or does not read it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The listener.
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Bounded {
        Bounded {
            listener,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            timer: Box::pin(tokio::time::sleep(PATIENCE)),
            _place: place,
        };
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    timer: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn out_of_time<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            return self.out_of_time(cx);
        }
        self.timer.as_mut().reset(Instant::now() + PATIENCE);
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        // Asked first: bytes that drip in must not put it off.
        if connection.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut connection.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let written = Pin::new(&mut connection.stream).poll_write(cx, buf);
        connection.wrote(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let written = Pin::new(&mut connection.stream).poll_write_vectored(cx, bufs);
        connection.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn pair() -> (Bounded, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("a connection");
        (Bounded::new(listener), client)
    }

    #[tokio::test]
    async fn bytes_that_drip_in_do_not_put_the_end_off_and_an_answer_does() {
        let (mut listener, mut client) = pair().await;
        let (mut connection, _) = listener.accept().await;
        tokio::time::pause();
        tokio::time::advance(PATIENCE / 2).await;
        connection.write_all(b"answer").await.expect("written");
        tokio::time::advance(PATIENCE * 3 / 4).await;
        client.write_all(b"a").await.expect("written");
        connection.read_exact(&mut [0]).await.expect("still open");
        tokio::time::advance(PATIENCE / 2).await;
        client.write_all(b"a").await.expect("written");
        let ended = connection.read_exact(&mut [0]).await;
        assert_eq!(
            ended.expect_err("over").kind(),
            io::ErrorKind::TimedOut,
            "no answer for too long"
        );
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_is_gone() {
        let (mut listener, _client) = pair().await;
        let (connection, _) = listener.accept().await;
        assert_eq!(listener.places.available_permits(), CONNECTIONS - 1);
        drop(connection);
        assert_eq!(listener.places.available_permits(), CONNECTIONS);
    }
}
