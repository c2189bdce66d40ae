//! Connecting to an endpoint, by pingora's transport.

use std::io;
use std::net;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::{L4Connect, TransportConnector};
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream as TcpTransport;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::net::TcpSocket;

/// A writer hears of room when a third of the send buffer is free. In one that
/// grows to 4 MiB an endpoint that takes 30 KiB/s would seem to take nothing
/// for longer than a write may take.
const SEND_BUFFER_BYTES: u32 = 128 << 10;

/// Why a connection did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectFailure {
    /// The endpoint refused it, or the network says that there is no such host.
    Refused,
    /// It did not come about in time.
    TimedOut,
    /// No socket, no port, no descriptor: the endpoint has no part in it.
    Ours,
}

/// Makes connections to endpoints.
pub(crate) struct Transport {
    connector: TransportConnector,
}

impl Transport {
    pub(crate) fn new() -> Transport {
        Transport {
            connector: TransportConnector::new(None),
        }
    }

    /// A new connection.
    pub(crate) async fn connect(
        &self,
        address: net::SocketAddr,
        timeout: Duration,
    ) -> std::result::Result<Stream, ConnectFailure> {
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = Some(timeout);
        peer.options.total_connection_timeout = Some(timeout);
        peer.options.custom_l4 = Some(BOUNDED.clone());
        let connected = self.connector.new_stream(&peer).await;
        connected.map_err(|error| match error.etype() {
            ErrorType::ConnectTimedout => ConnectFailure::TimedOut,
            ErrorType::ConnectRefused | ErrorType::ConnectNoRoute | ErrorType::ConnectError => {
                ConnectFailure::Refused
            }
            _ => ConnectFailure::Ours,
        })
    }
}

static BOUNDED: LazyLock<Arc<Bounded>> = LazyLock::new(|| Arc::new(Bounded));

/// TCP with a bounded send buffer, and without delay.
#[derive(Debug)]
struct Bounded;

#[async_trait]
impl L4Connect for Bounded {
    async fn connect(&self, address: &SocketAddr) -> Result<TcpTransport> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "not an IP address");
        };
        match connect(*address).await {
            Ok(socket) => Ok(TcpTransport::from(socket)),
            Err(error) => Error::e_because(type_of(&error), "connecting to an endpoint", error),
        }
    }
}

async fn connect(address: net::SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = match address {
        net::SocketAddr::V4(_) => TcpSocket::new_v4(),
        net::SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    // An endpoint whose host vanished ends a silent tunnel.
    socket.set_keepalive(true)?;
    let socket = socket.connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
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
