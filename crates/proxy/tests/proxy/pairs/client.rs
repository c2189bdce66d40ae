//! A client, whatever it speaks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::request::Builder;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pailou_upstream::{Http, Transport};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::NAME;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is there already.
pub(super) fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed_unsync()
}

/// A body that comes piece by piece. It ends when the sender goes.
pub(super) fn pieces() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, pieces) = mpsc::channel(16);
    let frames = stream::unfold(pieces, |mut pieces| async {
        let frame: Frame<Bytes> = pieces.recv().await?;
        Some((Ok(frame), pieces))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// The authority that clients believe.
pub(super) struct Roots(Arc<RootCertStore>);

impl Roots {
    pub(super) fn of(file: &Path) -> Roots {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(file).expect("a certificate");
        roots.add(authority).expect("an authority");
        Roots(Arc::new(roots))
    }
}

/// A connection to the gateway. It ends when this is dropped.
pub(super) struct Client {
    spoken: Transport,
    sender: Sender,
    connection: JoinHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, spoken: Transport, roots: &Roots) -> Client {
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = match spoken.tls {
            false => handshake(stream, spoken.http).await,
            true => handshake(secure(stream, spoken.http, roots).await, spoken.http).await,
        };
        Client {
            spoken,
            sender,
            connection,
        }
    }

    /// A request as this version of HTTP names its target.
    pub(super) fn request(&self, method: Method, target: &str) -> Builder {
        let builder = Request::builder().method(method);
        match (self.spoken.http, self.spoken.tls) {
            (Http::Http1, _) => builder.uri(target).header("host", NAME),
            (Http::Http2, true) => builder.uri(format!("https://{NAME}{target}")),
            (Http::Http2, false) => builder.uri(format!("http://{NAME}{target}")),
        }
    }

    /// Sends a request; the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.expect("a connection that goes on");
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.expect("a connection that goes on");
                sender.send_request(request).await
            }
        };
        answer.expect("an answer")
    }

    /// Sends a request without a body; its whole answer.
    pub(super) async fn ask(&mut self, method: Method, target: &str) -> Answer {
        let request = self.request(method, target).body(whole(""));
        let answer = self.send(request.expect("a request")).await;
        Answer::of(answer).await
    }

    /// Sends one with this body.
    pub(super) async fn post(&mut self, target: &str, body: Body) -> Answer {
        let request = self.request(Method::POST, target).body(body);
        let answer = self.send(request.expect("a request")).await;
        Answer::of(answer).await
    }
}

/// An answer, to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Answer {
    pub(super) async fn of(response: Response<Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body");
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
        }
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The cause, of an answer of the gateway's.
    pub(super) fn cause(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).expect("a problem");
        problem["cause"].as_str().expect("a cause").to_owned()
    }
}

async fn handshake<S>(stream: S, http: Http) -> (Sender, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    match http {
        Http::Http1 => {
            let handshake = http1::handshake(stream).await;
            let (sender, connection) = handshake.expect("a handshake");
            (
                Sender::Http1(sender),
                tokio::spawn(async { drop(connection.await) }),
            )
        }
        Http::Http2 => {
            let handshake = http2::handshake(TokioExecutor::new(), stream).await;
            let (sender, connection) = handshake.expect("a handshake");
            (
                Sender::Http2(sender),
                tokio::spawn(async { drop(connection.await) }),
            )
        }
    }
}

async fn secure(
    stream: TcpStream,
    http: Http,
    roots: &Roots,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("versions");
    let mut config = builder
        .with_root_certificates(roots.0.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![match http {
        Http::Http1 => b"http/1.1".to_vec(),
        Http::Http2 => b"h2".to_vec(),
    }];
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(NAME).expect("a name");
    connector.connect(name, stream).await.expect("a handshake")
}
