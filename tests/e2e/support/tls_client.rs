//! A client that speaks TLS and HTTP/1.1, and believes one authority.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A client; sessions are resumed from one connection to the next.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
}

/// An answer, as far as the cases look.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The value of a header that the endpoint got, as its `/headers` tells it.
    pub(crate) fn got(&self, name: &str) -> Option<String> {
        let told: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let headers = told["headers"].as_array().expect("headers");
        let found = headers.iter().find(|field| field[0] == name)?;
        found[1].as_str().map(str::to_owned)
    }
}

impl TlsClient {
    /// Believes the authorities of a PEM file, and speaks TLS 1.2 and 1.3.
    pub(crate) fn new(authorities: &Path) -> TlsClient {
        TlsClient::with(authorities, &[&TLS13, &TLS12], None)
    }

    /// Speaks TLS 1.2 only.
    pub(crate) fn old(authorities: &Path) -> TlsClient {
        TlsClient::with(authorities, &[&TLS12], None)
    }

    /// Shows a certificate, by its file and the one of its key.
    pub(crate) fn known(authorities: &Path, cert: &Path, key: &Path) -> TlsClient {
        TlsClient::with(authorities, &[&TLS13, &TLS12], Some((cert, key)))
    }

    fn with(
        authorities: &Path,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<(&Path, &Path)>,
    ) -> TlsClient {
        let mut roots = RootCertStore::empty();
        for authority in chain(authorities) {
            roots.add(authority).expect("an authority");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder
                .with_client_auth_cert(
                    chain(cert),
                    PrivateKeyDer::from_pem_file(key).expect("a key"),
                )
                .expect("a pair"),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsClient {
            config: Arc::new(config),
        }
    }

    /// The same, for a client that would rather speak HTTP/2.
    pub(crate) fn offering_http2(&self) -> TlsClient {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsClient {
            config: Arc::new(config),
        }
    }

    /// Opens a connection for a host.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.secure(TcpStream::connect(address).await?, host).await
    }

    /// Speaks TLS on a connection that is there already.
    pub(crate) async fn secure(
        &self,
        socket: TcpStream,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).expect("a host");
        let connector = TlsConnector::from(self.config.clone());
        connector.connect(name, socket).await
    }

    /// One GET over a connection of its own.
    pub(crate) async fn get(
        &self,
        address: SocketAddr,
        host: &str,
        path: &str,
    ) -> io::Result<Answer> {
        let mut stream = self.connect(address, host).await?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        ask(&mut stream, head.as_bytes()).await
    }
}

/// Sends a request and reads its answer.
pub(crate) async fn ask(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    request: &[u8],
) -> io::Result<Answer> {
    stream.write_all(request).await?;
    stream.flush().await?;
    answer(stream).await
}

/// Reads an answer: its head, and a body with a length or in chunks.
pub(crate) async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut answer = Answer {
        status: head[9..12].parse().expect("a status"),
        head,
        body: String::new(),
    };
    let mut rest = bytes.split_off(end);
    let body = if answer.header("transfer-encoding") == Some("chunked") {
        chunks(stream, &mut rest).await?
    } else {
        let length = answer.header("content-length");
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        while rest.len() < length {
            read_more(stream, &mut rest).await?;
        }
        rest
    };
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

/// The body that comes in chunks without trailers, of which `rest` is there.
async fn chunks(
    stream: &mut (impl AsyncReadExt + Unpin),
    rest: &mut Vec<u8>,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
                break line;
            }
            read_more(stream, rest).await?;
        };
        let size = std::str::from_utf8(&rest[..line]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size");
        while rest.len() < line + 2 + size + 2 {
            read_more(stream, rest).await?;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest.drain(..line + 2 + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

/// One byte: what comes behind an answer belongs to the next one.
async fn read_more(
    stream: &mut (impl AsyncReadExt + Unpin),
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    bytes.push(stream.read_u8().await?);
    Ok(())
}

fn chain(file: &Path) -> Vec<CertificateDer<'static>> {
    let found = CertificateDer::pem_file_iter(file).expect("a file");
    found.collect::<Result<_, _>>().expect("certificates")
}
