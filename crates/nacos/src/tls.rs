//! TLS to the servers: the authorities that the client believes, its own certificate, and errors in words that help.

mod first;
mod problem;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use self::first::FirstBytes;
pub(crate) use self::problem::TlsError;
use crate::network::ByteStream;

/// How TLS is spoken to the servers, where it is: over HTTP to addresses with `https://`, over gRPC by
/// [`ClientOptions::grpc_tls`](crate::ClientOptions::grpc_tls).
///
/// The files are PEM, and read for each new connection: a renewed certificate needs no restart. The versions are TLS
/// 1.2 and 1.3. Certificates are always verified; a server with a certificate of its own making is believed when that
/// certificate is the CA file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificates of the authorities that are believed. The system's when there is none.
    pub ca_file: Option<PathBuf>,
    /// Who the client is, for servers that ask for it.
    pub identity: Option<TlsIdentity>,
    /// The name that the servers' certificates are for, where it is not the host of their addresses.
    pub server_name: Option<String>,
}

/// The client's own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate, followed by those that lead to its authority.
    pub cert_file: PathBuf,
    /// Its private key, not encrypted.
    pub key_file: PathBuf,
}

/// What is spoken inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

impl TlsOptions {
    /// Makes a TLS stream of a byte stream to this host.
    pub(crate) async fn secure(
        &self,
        stream: Box<dyn ByteStream>,
        host: &str,
        protocol: Protocol,
    ) -> Result<Box<dyn ByteStream>, TlsError> {
        let expected = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(expected.to_owned())
            .map_err(|_| TlsError(format!("{expected}: no name that a certificate can have")))?;
        let options = self.clone();
        // The files may lie on a slow disk, and the system's authorities are many.
        let config = tokio::task::spawn_blocking(move || options.config(protocol))
            .await
            .map_err(|error| TlsError(error.to_string()))??;
        let judge = Arc::new(problem::Judge::new(self));
        let connector = TlsConnector::from(Arc::new(config));
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(FirstBytes::secured(stream, judge))),
            Err(error) => Err(judge.handshake(&error)),
        }
    }

    fn config(&self, protocol: Protocol) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?
            .with_root_certificates(self.authorities()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(TlsIdentity {
                cert_file,
                key_file,
            }) => builder
                .with_client_auth_cert(certificates(cert_file)?, key(key_file)?)
                .map_err(|error| {
                    let (cert, key) = (cert_file.display(), key_file.display());
                    TlsError(format!("{cert} does not go with {key}: {error}"))
                })?,
        };
        config.alpn_protocols = vec![match protocol {
            Protocol::Grpc => b"h2".to_vec(),
            Protocol::Http => b"http/1.1".to_vec(),
        }];
        Ok(config)
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        if let Some(path) = &self.ca_file {
            for certificate in certificates(path)? {
                store
                    .add(certificate)
                    .map_err(|error| TlsError(format!("{}: {error}", path.display())))?;
            }
            return Ok(store);
        }
        let found = rustls_native_certs::load_native_certs()
            .map_err(|error| TlsError(format!("the system's CA certificates: {error}")))?;
        // Systems ship some that are too old to be read.
        let (usable, _) = store.add_parsable_certificates(found);
        if usable == 0 {
            return Err(TlsError(
                "the system has no CA certificates; name a CA file".to_owned(),
            ));
        }
        Ok(store)
    }
}

/// A plain stream, which says so when TLS is what the server speaks.
pub(crate) fn plain(stream: Box<dyn ByteStream>) -> Box<dyn ByteStream> {
    Box::new(FirstBytes::plain(stream))
}

/// Whether a server answers a TLS client as only a TLS server does; its certificate does not matter.
pub(crate) async fn is_spoken(stream: Box<dyn ByteStream>) -> bool {
    let options = TlsOptions::default();
    let Ok(name) = ServerName::try_from("localhost") else {
        return false;
    };
    let provider = Arc::new(ring::default_provider());
    let Ok(builder) =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    else {
        return false;
    };
    // No authority is known, so that the handshake ends with the server's certificate.
    let config = builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(name, stream).await {
        Ok(_) => true,
        Err(error) => problem::Judge::new(&options).is_tls(&error),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, "certificate", error))?;
    if found.is_empty() {
        return Err(unreadable(path, "certificate", pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| unreadable(path, "private key without a password", error))
}

fn unreadable(path: &Path, what: &str, error: pem::Error) -> TlsError {
    let path = path.display();
    TlsError(match error {
        pem::Error::NoItemsFound => format!("{path}: there is no PEM {what} in it"),
        pem::Error::Io(error) => format!("{path}: cannot be read: {error}"),
        error => format!("{path}: {error}"),
    })
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
