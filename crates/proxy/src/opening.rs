//! What comes before the first request on a client's connection: the PROXY
//! header, then the TLS handshake.
//!
//! It runs in the connection's own task, within `limits.handshake_timeout`, so a
//! slow client delays no other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pailou_config::ProxyProtocol;
use pailou_telemetry::Metrics;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use crate::buffers::TLS_BYTES;
use crate::cause::Cause;
use crate::connections::Full;
use crate::edge::Socket;
use crate::listener::Listener;
use crate::problem::Shape;
use crate::proxy_header::{self, Found};
use crate::request_id::RequestId;
use crate::tls::{Certified, ClientCertificate, Watched};

/// Why a connection was closed before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// It took too long.
    Timeout,
    /// The connection needs a PROXY header, and none is believed from its peer.
    Stranger,
    /// The PROXY header is missing or malformed.
    ProxyHeader,
    /// The client spoke HTTP where TLS is spoken, and was told.
    PlainHttp,
    /// The TLS handshake failed.
    Handshake,
    /// The client's certificate has expired, or says too much.
    ClientCertificate,
    /// There are too many connections.
    Full(Full),
}

impl Unopened {
    /// The word in metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Unopened::Timeout => "handshake_timeout",
            Unopened::Stranger => "proxy_header_stranger",
            Unopened::ProxyHeader => "proxy_header",
            Unopened::PlainHttp => "plain_http",
            Unopened::Handshake => "tls_handshake",
            Unopened::ClientCertificate => "client_certificate",
            Unopened::Full(Full::Total) => "limit",
            Unopened::Full(Full::Client) => "limit_per_ip",
        }
    }
}

/// What a TLS connection was opened on.
#[derive(Debug)]
pub(crate) struct Secured {
    /// The certificate that must be for the host of each request. Without it any host
    /// will do.
    pub(crate) binds_to: Option<Arc<Certified>>,
    /// The certificate that the client showed.
    pub(crate) client: Option<ClientCertificate>,
}

/// Who the client is: the peer, or the client that a balancer names. Reads the PROXY
/// header from the socket and nothing more.
pub(crate) async fn client(
    listener: &Listener,
    socket: &mut TcpStream,
    peer: SocketAddr,
) -> Result<SocketAddr, Unopened> {
    let is_required = match listener.proxy_protocol {
        ProxyProtocol::Off => return Ok(peer),
        ProxyProtocol::Optional => false,
        ProxyProtocol::Required => true,
    };
    if !listener.believes(peer.ip()) {
        return match is_required {
            true => Err(Unopened::Stranger),
            false => Ok(peer),
        };
    }
    let mut bytes = [0; proxy_header::MAX_BYTES];
    loop {
        let seen = socket.peek(&mut bytes).await;
        let seen = seen.map_err(|_| Unopened::ProxyHeader)?;
        match proxy_header::find(&bytes[..seen]) {
            Found::Header {
                bytes: length,
                client,
            } => {
                let header = &mut bytes[..length];
                let taken = socket.read_exact(header).await;
                taken.map_err(|_| Unopened::ProxyHeader)?;
                return Ok(client.unwrap_or(peer));
            }
            Found::Nothing if !is_required => return Ok(peer),
            Found::Nothing | Found::Malformed => return Err(Unopened::ProxyHeader),
            // The client has gone.
            Found::Open if seen == 0 => return Err(Unopened::ProxyHeader),
            // The socket stays readable while nothing is taken from it, and a
            // header that comes in pieces is rare.
            Found::Open => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// The pause before the next look for the rest of a PROXY header.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The TLS handshake.
pub(crate) async fn secure(
    watched: &Watched,
    socket: TcpStream,
    errors: &Shape,
    metrics: &Metrics,
) -> Result<(Socket, Secured), Unopened> {
    if speaks_http(&socket).await {
        let answer = errors.bare(Cause::PlainHttp, &RequestId::new());
        let _ = socket.try_write(&answer);
        return Err(Unopened::PlainHttp);
    }
    let terms = watched.terms();
    let acceptor = TlsAcceptor::from(terms.config.clone());
    let bound = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BYTES));
    let stream = acceptor.accept_with(socket, bound).await;
    let stream = stream.map_err(|error| {
        tracing::debug!(%error, "a TLS handshake failed");
        Unopened::Handshake
    })?;
    let session = stream.get_ref().1;
    metrics.tls_handshake(
        session.protocol_version() == Some(ProtocolVersion::TLSv1_3),
        session.handshake_kind() == Some(HandshakeKind::Resumed),
    );
    let certified = terms.choice.find(session.server_name());
    let secured = Secured {
        binds_to: watched.checks_host().then(|| certified.clone()),
        client: client_certificate(session)?,
    };
    Ok((Socket::Tls(Box::new(stream)), secured))
}

/// Whether a client begins with a method and not with a handshake. Its bytes are read
/// then, since closing a socket with unread bytes would lose the answer.
async fn speaks_http(socket: &TcpStream) -> bool {
    let mut first = [0];
    let is_http = socket.peek(&mut first).await.is_ok() && first[0].is_ascii_uppercase();
    if is_http {
        let _ = socket.try_read(&mut [0; 4096]);
    }
    is_http
}

/// What the client's certificate says, if it showed one.
fn client_certificate(session: &ServerConnection) -> Result<Option<ClientCertificate>, Unopened> {
    let Some(leaf) = session.peer_certificates().and_then(|chain| chain.first()) else {
        return Ok(None);
    };
    match ClientCertificate::of(leaf) {
        Some(client) if !client.has_expired(SystemTime::now()) => Ok(Some(client)),
        _ => Err(Unopened::ClientCertificate),
    }
}
