//! How the client reaches a server, over any byte stream.

use std::{future::Future, io, pin::Pin, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    options::{ClientOptions, ServerAddress},
    tls::{self, Protocol, TlsOptions},
};

/// A connected byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// A connection being made.
pub type Connecting<'a> =
    Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send + 'a>>;

/// Opens byte streams to servers: TCP ([`Tcp`]) outside of tests.
///
/// The gRPC session and the login both go through it, so that a test can run a whole client over in-memory pipes with
/// a paused clock.
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream to a server's HTTP or gRPC port. Dropping the future gives the attempt up.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a>;
}

/// Plain TCP without delay of small packets. Tries each address of a name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connector for Tcp {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}

/// Streams to the servers: by the connector, over TLS if the options say so.
#[derive(Clone)]
pub(crate) struct Network {
    connector: Arc<dyn Connector>,
    tls: TlsOptions,
    grpc_tls: Option<bool>,
    grpc_port: Option<u16>,
}

impl Network {
    pub(crate) fn new(connector: Arc<dyn Connector>, options: &ClientOptions) -> Self {
        Self {
            connector,
            tls: options.tls.clone(),
            grpc_tls: options.grpc_tls,
            grpc_port: options.grpc_port,
        }
    }

    /// A stream to a server's HTTP port.
    pub(crate) async fn http(&self, server: &ServerAddress) -> io::Result<Box<dyn ByteStream>> {
        let stream = self.tcp(server).await?;
        if !server.is_https {
            return Ok(tls::plain(stream));
        }
        Ok(self
            .tls
            .secure(stream, &server.host, Protocol::Http)
            .await?)
    }

    /// Where a server's gRPC is; `None` when its HTTP port has none that belongs to it.
    pub(crate) fn grpc_address(&self, server: &ServerAddress) -> Option<ServerAddress> {
        Some(ServerAddress {
            host: server.host.clone(),
            port: self.grpc_port.or_else(|| server.grpc_port())?,
            is_https: self.grpc_tls.unwrap_or(server.is_https),
        })
    }

    /// A stream to a gRPC port.
    pub(crate) async fn grpc(&self, at: &ServerAddress) -> io::Result<Box<dyn ByteStream>> {
        self.speak_grpc(self.tcp(at).await?, at).await
    }

    /// A stream as the connector gives it.
    pub(crate) async fn tcp(&self, at: &ServerAddress) -> io::Result<Box<dyn ByteStream>> {
        self.connector.connect(&at.host, at.port).await
    }

    /// Makes such a stream one for gRPC.
    pub(crate) async fn speak_grpc(
        &self,
        stream: Box<dyn ByteStream>,
        at: &ServerAddress,
    ) -> io::Result<Box<dyn ByteStream>> {
        if !at.is_https {
            return Ok(tls::plain(stream));
        }
        Ok(self.tls.secure(stream, &at.host, Protocol::Grpc).await?)
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct Owned<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
