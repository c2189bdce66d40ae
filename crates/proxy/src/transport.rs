//! Connecting to an endpoint: TCP by pingora's transport, TLS by rustls over it.

use std::convert::Infallible;
use std::io;
use std::net::{self, IpAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pailou_upstream::{Destination, Http, Outcome, Pick};
use pingora::connectors::{L4Connect, TransportConnector};
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream as TcpTransport;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConnection;

use crate::buffers::TLS_BYTES;
use crate::connection::Connection;
use crate::proxy_header::Introduction;
use crate::upstream_tls::{UpstreamTls, explain};
use crate::wire::Wire;

/// The kernel reports room when a third of the send buffer is free. In a buffer that
/// grows to 4 MiB, an endpoint that takes 30 KiB/s would seem to take nothing for
/// longer than the write time-out.
const SEND_BUFFER_BYTES: u32 = 128 << 10;
/// HTTP/2 as TLS names it (RFC 7301).
const H2: &[u8] = b"h2";

/// The least time between two lines about TLS that failed.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Where a connection leads. Any connection to a remote can serve any request for that
/// remote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Remote {
    pub(crate) address: net::SocketAddr,
    /// The version of HTTP.
    pub(crate) http: Http,
    pub(crate) tls: Option<Secured>,
    /// What the endpoint is told first, in a PROXY header. A connection that was made for
    /// one client serves no other.
    pub(crate) introduction: Option<Box<Introduction>>,
}

impl Remote {
    /// The remote of a pick, with the protocol of the route, or else that of the endpoint.
    pub(crate) fn of(destination: &Destination, pick: &Pick) -> Remote {
        let transport = destination.transport(pick);
        Remote {
            address: pick.address_for(transport.http),
            http: transport.http,
            tls: transport.tls.then(|| Secured {
                profile: destination.upstream_tls,
                host: pick.host().cloned(),
            }),
            introduction: destination
                .proxy_protocol
                .then(|| Box::new(Introduction::Own)),
        }
    }

    /// The same, for a client's connection.
    pub(crate) fn for_client(self, connection: &Connection, client: IpAddr) -> Remote {
        let introduction = self
            .introduction
            .map(|_| Box::new(connection.introduction(client)));
        Remote {
            introduction,
            ..self
        }
    }

    /// The same endpoint, spoken to over HTTP/1.1.
    pub(crate) fn over_http1(self, pick: &Pick) -> Remote {
        Remote {
            address: pick.address_for(Http::Http1),
            http: Http::Http1,
            ..self
        }
    }
}

/// How a remote is spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Secured {
    /// The TLS settings, by their place.
    pub(crate) profile: usize,
    /// The host name that the endpoint registered.
    pub(crate) host: Option<Arc<str>>,
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectFailure {
    /// The endpoint refused it, or the network says that there is no such host.
    Refused,
    /// It was not made in time.
    TimedOut,
    /// TLS failed: a certificate is not accepted, or the endpoint does not speak TLS.
    Tls,
    /// The gateway has no socket, port or descriptor left. It is not about the endpoint.
    Ours,
}

impl ConnectFailure {
    /// What it says about the endpoint, if anything.
    pub(crate) fn outcome(self) -> Option<Outcome> {
        match self {
            ConnectFailure::Refused => Some(Outcome::Refused),
            ConnectFailure::TimedOut => Some(Outcome::ConnectTimeout),
            ConnectFailure::Tls => Some(Outcome::Tls),
            ConnectFailure::Ours => None,
        }
    }
}

/// Makes connections to endpoints.
pub(crate) struct Transport {
    connector: TransportConnector,
    tls: UpstreamTls,
    /// When a failure of TLS was last said.
    said: Mutex<Option<Instant>>,
}

impl Transport {
    pub(crate) fn new(tls: UpstreamTls) -> Transport {
        Transport {
            connector: TransportConnector::new(None),
            tls,
            said: Mutex::default(),
        }
    }

    /// A new connection, TLS included, within `timeout`.
    pub(crate) async fn connect(
        &self,
        remote: &Remote,
        timeout: Duration,
    ) -> std::result::Result<Wire, ConnectFailure> {
        let due = Instant::now() + timeout;
        let mut stream = self.tcp(remote.address, timeout).await?;
        if let Some(introduction) = &remote.introduction {
            let header = introduction.header();
            // It fits into the socket's buffer.
            let written = stream.write_all(&header).await;
            written.map_err(|_| ConnectFailure::Refused)?;
        }
        let Some(secured) = &remote.tls else {
            return Ok(Wire::Plain(stream));
        };
        let handshake = self.secure(remote, secured, stream);
        let shaken = tokio::time::timeout_at(due, handshake).await;
        let shaken = shaken.map_err(|_| ConnectFailure::TimedOut)?;
        shaken.map_err(|error| {
            self.say(remote.address, &error);
            ConnectFailure::Tls
        })
    }

    /// Takes up renewed files.
    pub(crate) async fn refresh(&self) -> Infallible {
        self.tls.refresh().await
    }

    async fn secure(
        &self,
        remote: &Remote,
        secured: &Secured,
        stream: Stream,
    ) -> std::result::Result<Wire, String> {
        let profile = self.tls.profile(secured.profile);
        let profile = profile.ok_or("the TLS settings that the route names do not exist")?;
        let mut config = profile.config().await.map_err(|fault| fault.to_string())?;
        if remote.http == Http::Http2 {
            Arc::make_mut(&mut config).alpn_protocols = vec![H2.to_vec()];
        }
        let name = profile.name(secured.host.as_deref(), remote.address.ip());
        let bound = |session: &mut ClientConnection| session.set_buffer_limit(Some(TLS_BYTES));
        let connected = TlsConnector::from(config).connect_with(name.clone(), stream, bound);
        match connected.await {
            Ok(stream) if remote.http == Http::Http2 && !speaks_http2(&stream) => {
                Err("the endpoint does not speak HTTP/2 over TLS (by ALPN)".to_owned())
            }
            Ok(stream) => Ok(Wire::Tls(Box::new(stream))),
            Err(error) => Err(explain(&error, profile.section(), &name)),
        }
    }

    /// Logs why TLS failed, at most every [`SAY_EVERY`], however many connections fail.
    pub(crate) fn say(&self, address: net::SocketAddr, error: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.is_none_or(|said| said + SAY_EVERY <= now) {
            *said = Some(now);
            tracing::warn!(%address, error, "TLS to an endpoint failed");
        } else {
            tracing::debug!(%address, error, "TLS to an endpoint failed");
        }
    }

    async fn tcp(
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

fn speaks_http2(stream: &TlsStream<Stream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
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
        // Descriptors, memory, ports: not the endpoint's fault.
        _ => ErrorType::InternalError,
    }
}
