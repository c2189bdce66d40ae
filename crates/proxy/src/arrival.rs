//! A connection from its accept to its end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::cause::Cause;
use crate::connection::{Ends, Shared};
use crate::connections::Place;
use crate::edge::{Edge, Socket};
use crate::listener::Listener;
use crate::opening::{self, Unopened};
use crate::panics::ToldOfPanic;
use crate::problem::Shape;
use crate::request_id::RequestId;
use crate::server::Server;
use crate::{http1, http2};

/// A connection that was just accepted.
pub(crate) struct Arrival {
    pub(crate) server: Arc<Server>,
    pub(crate) listener: Arc<Listener>,
    /// Who connected; a balancer, if a PROXY header follows.
    pub(crate) peer: SocketAddr,
}

impl Arrival {
    /// Serves the connection until it ends.
    pub(crate) async fn serve(self, socket: TcpStream, place: Place) {
        let _open = self.server.metrics.connection_opened();
        let _panic = ToldOfPanic::new("connection", &self.server.metrics);
        let opened = match self.listener.has_opening() {
            false => self.claim(place, self.peer.ip(), &socket).map(|place| {
                let ends = ends(self.peer, &socket);
                let connection = place.open(self.listener.clone(), ends, None);
                connection.map(|connection| (Socket::Plain(socket), connection))
            }),
            true => {
                let limit = self.server.limits.handshake_timeout;
                // In a box, which goes when the connection is open: what an
                // opening needs would else be kept by each connection.
                let opened = Box::pin(self.open(socket, place));
                let opened = tokio::time::timeout(limit, opened).await;
                opened.unwrap_or(Err(Unopened::Timeout))
            }
        };
        match opened {
            Ok(Some((socket, connection))) => speak(self.server, socket, connection).await,
            Ok(None) => {}
            Err(unopened) => self.server.metrics.connection_refused(unopened.reason()),
        }
    }

    /// Counts the connection for its client.
    fn claim(
        &self,
        mut place: Place,
        client: IpAddr,
        socket: &TcpStream,
    ) -> Result<Place, Unopened> {
        match place.claim(client) {
            Ok(()) => Ok(place),
            Err(full) => {
                turn_away(&self.listener, &self.server.errors, socket);
                Err(Unopened::Full(full))
            }
        }
    }

    /// What comes before the first request. `None` if the connection is to end.
    async fn open(
        &self,
        mut socket: TcpStream,
        place: Place,
    ) -> Result<Option<(Socket, Shared)>, Unopened> {
        let client = opening::client(&self.listener, &mut socket, self.peer).await?;
        let place = self.claim(place, client.ip(), &socket)?;
        let ends = ends(client, &socket);
        let (socket, secured) = match &self.listener.tls {
            None => (Socket::Plain(socket), None),
            Some(watched) => {
                let (errors, metrics) = (&self.server.errors, &self.server.metrics);
                let (socket, secured) = opening::secure(watched, socket, errors, metrics).await?;
                (socket, Some(secured))
            }
        };
        let connection = place.open(self.listener.clone(), ends, secured);
        Ok(connection.map(|connection| (socket, connection)))
    }
}

/// The client, and the socket's own end.
fn ends(client: SocketAddr, socket: &TcpStream) -> Ends {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    Ends {
        client,
        local: socket.local_addr().unwrap_or(unknown),
    }
}

/// Serves requests in the version of HTTP that the client speaks.
async fn speak(server: Arc<Server>, socket: Socket, connection: Shared) {
    let mut edge = Edge::new(socket, connection.clone(), server.clone());
    match edge.begins_with_preface().await {
        // In a box: a connection of HTTP/1.1 has no room for HTTP/2's engine.
        true => Box::pin(http2::serve(server, edge, connection)).await,
        false => http1::serve(server, edge, connection).await,
    }
}

/// Tells a client why it is turned away, if that needs no handshake.
pub(crate) fn turn_away(listener: &Listener, errors: &Shape, socket: &TcpStream) {
    if listener.tls.is_none() {
        let answer = errors.bare(Cause::TooManyConnections, &RequestId::new());
        let _ = socket.try_write(&answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each idle connection has a task of this size.
    #[test]
    fn a_connection_is_small() {
        fn size<F: Future>(_: impl FnOnce(Arrival, TcpStream, Place) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(Arrival::serve);
        assert!(bytes <= 2500, "{bytes} bytes");
    }
}
