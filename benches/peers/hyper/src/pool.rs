//! Connections to the origin: one list under a mutex; a connection comes back when the answer's body has ended.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Connection = SendRequest<Incoming>;

/// The connections that wait for a request.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Idle>);

struct Idle {
    origin: SocketAddr,
    connections: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(crate) fn new(origin: SocketAddr) -> Self {
        Self(Arc::new(Idle {
            origin,
            connections: Mutex::default(),
        }))
    }

    /// Sends a request over a kept connection, or a new one.
    pub(crate) async fn send(&self, request: Request<Incoming>) -> io::Result<Response<Pooled>> {
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await.map_err(io::Error::other)?;
        let response = connection.send_request(request).await;
        Ok(response
            .map_err(io::Error::other)?
            .map(|body| Pooled::new(body, connection, self.clone())))
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.0.origin).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(driver);
        Ok(sender)
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        while let Some(connection) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        let connections = self.0.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer's body, which gives its connection back when it has ended.
pub(crate) struct Pooled {
    body: Incoming,
    connection: Option<(Connection, Pool)>,
}

impl Pooled {
    fn new(body: Incoming, connection: Connection, pool: Pool) -> Self {
        let mut pooled = Self {
            body,
            connection: Some((connection, pool)),
        };
        pooled.give_back_at_end();
        pooled
    }

    fn give_back_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some((connection, pool)) = self.connection.take()
        {
            pool.idle().push(connection);
        }
    }
}

impl Body for Pooled {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.give_back_at_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
