//! What requests are sent over: one gRPC connection that can never redial, or HTTP in its place.
//!
//! Over gRPC Nacos ties everything to the TCP connection: whom it pushes to, whose registrations end. A channel that
//! redials in silence would lose all of it unnoticed. So the HTTP/2 handshake is made here over one stream, and its end
//! is the connection's end. Over HTTP nothing is tied to a connection; the link lasts for as long as its server answers.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, body::Body, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::{
    core::Core,
    error::{Error, reason},
    network::{ByteStream, Owned},
    over_http::Http,
    state::Transport,
    wire::{self, Payload, Response, code},
};

/// Window for a connection and for a stream: a push of 50,000 instances must not wait for many round trips.
const WINDOW_BYTES: u32 = 16 << 20;

/// Room for acknowledgements that the server has not read yet.
const OUTGOING: usize = 1024;

/// A live connection, to be cloned by whoever sends requests.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    carrier: Carrier,
    /// The connection's number.
    pub(crate) epoch: u64,
    timeout: Duration,
    next_request: Arc<AtomicU64>,
    is_unregistered: watch::Sender<bool>,
    is_suspect: Arc<Notify>,
}

/// What takes a message to the server and brings the answer.
#[derive(Debug, Clone)]
enum Carrier {
    Grpc(Grpc<OneConnection>),
    Http(Arc<Http>),
}

/// A connection just made, with the parts that only its session may hold.
pub(crate) struct Opened {
    pub(crate) link: Link,
    /// Ends when the connection ends.
    pub(crate) driver: Owned<hyper::Result<()>>,
    /// What is sent on the stream: the set-up first, then acknowledgements.
    pub(crate) outgoing: mpsc::Sender<Payload>,
    /// The stream, once the server has sent its head: which many do only with their first message.
    pub(crate) incoming: Pin<Box<dyn Future<Output = Result<Streaming<Payload>, Status>> + Send>>,
}

#[derive(Debug, Clone)]
struct OneConnection(http2::SendRequest<Body>);

impl tower_service::Service<http::Request<Body>> for OneConnection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Makes an HTTP/2 connection of a byte stream and opens Nacos's stream on it.
pub(crate) async fn open(
    stream: Box<dyn ByteStream>,
    origin: http::Uri,
    core: &Core,
    epoch: u64,
) -> Result<Opened, Error> {
    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Error::Lost(format!("no HTTP/2 connection: {}", reason(&error))))?;
    let driver = Owned(tokio::spawn(driver));
    let grpc = Grpc::with_origin(OneConnection(sender), origin)
        .max_decoding_message_size(core.options.max_message_bytes);
    let (outgoing, acknowledgements) = mpsc::channel(OUTGOING);
    let mut for_stream = grpc.clone();
    let incoming = Box::pin(async move {
        for_stream.ready().await.map_err(not_ready)?;
        let requests = tonic::Request::new(ReceiverStream::new(acknowledgements));
        let path = PathAndQuery::from_static(wire::STREAM_PATH);
        for_stream
            .streaming(requests, path, ProstCodec::default())
            .await
            .map(tonic::Response::into_inner)
    });
    Ok(Opened {
        link: Link::new(Carrier::Grpc(grpc), core, epoch),
        driver,
        outgoing,
        incoming,
    })
}

impl Link {
    /// A link over HTTP.
    pub(crate) fn over_http(http: Arc<Http>, core: &Core, epoch: u64) -> Self {
        Self::new(Carrier::Http(http), core, epoch)
    }

    fn new(carrier: Carrier, core: &Core, epoch: u64) -> Self {
        Self {
            carrier,
            epoch,
            timeout: core.options.request_timeout,
            next_request: Arc::default(),
            is_unregistered: watch::Sender::default(),
            is_suspect: Arc::default(),
        }
    }

    /// How the server is spoken to.
    pub(crate) fn transport(&self) -> Transport {
        match &self.carrier {
            Carrier::Grpc(_) => Transport::Grpc,
            Carrier::Http(http) => http.transport(),
        }
    }

    /// Sends one request and judges the answer: only a success of the right type is one. Failures are counted, and an
    /// answer that the server does not know the connection ends it.
    pub(crate) async fn send<R: wire::Request>(
        &self,
        core: &Core,
        request: R,
        token: Option<&str>,
    ) -> Result<R::Response, Error> {
        let result = self.attempt(request, token).await;
        if let Err(error) = &result {
            count(core, error);
            if *error == Error::Unregistered {
                self.is_unregistered.send_replace(true);
            }
            self.suspect(error);
        }
        result
    }

    /// Takes note of a failure that may mean that no one is there. Over gRPC the connection itself tells.
    pub(crate) fn suspect(&self, error: &Error) {
        if matches!(self.carrier, Carrier::Http(_)) && is_silence(error) {
            self.is_suspect.notify_one();
        }
    }

    /// Returns when a failure means that the server may be gone.
    pub(crate) async fn suspected(&self) {
        self.is_suspect.notified().await;
    }

    /// Sends one request that may fail without harm to the session.
    pub(crate) async fn attempt<R: wire::Request>(
        &self,
        mut request: R,
        token: Option<&str>,
    ) -> Result<R::Response, Error> {
        request.set_request_id(self.next_request.fetch_add(1, Relaxed).to_string());
        let headers = token
            .map(|token| (wire::ACCESS_TOKEN.to_owned(), token.to_owned()))
            .into_iter()
            .collect();
        let payload = Payload::with_headers(&request, headers);
        let exchange = async {
            match &self.carrier {
                Carrier::Grpc(grpc) => unary(grpc.clone(), payload)
                    .await
                    .map_err(|status| of_status(R::KIND, &status)),
                Carrier::Http(http) => http.exchange(R::KIND, payload).await,
            }
        };
        match timeout(self.timeout, exchange).await {
            Ok(answer) => judge::<R>(&answer?),
            Err(_) => Err(Error::Timeout {
                operation: R::KIND,
                after: self.timeout,
            }),
        }
    }

    /// Returns when an answer said that the server does not know the connection.
    pub(crate) async fn unregistered(&self) {
        // The sender is ours, so that the wait can only end with the value.
        let _ = self.is_unregistered.subscribe().wait_for(|is| *is).await;
    }
}

/// Whether nothing came of a request, so that perhaps no one is there.
pub(crate) fn is_silence(error: &Error) -> bool {
    matches!(
        error,
        Error::NotConnected(_) | Error::Lost(_) | Error::Timeout { .. }
    )
}

async fn unary(mut grpc: Grpc<OneConnection>, payload: Payload) -> Result<Payload, Status> {
    grpc.ready().await.map_err(not_ready)?;
    let path = PathAndQuery::from_static(wire::UNARY_PATH);
    let answer = grpc
        .unary(
            tonic::Request::new(payload),
            path,
            ProstCodec::<Payload, Payload>::default(),
        )
        .await?;
    Ok(answer.into_inner())
}

fn not_ready(error: hyper::Error) -> Status {
    Status::unavailable(reason(&error))
}

fn of_status(operation: &'static str, status: &Status) -> Error {
    use tonic::Code::{Cancelled, DeadlineExceeded, Unavailable, Unknown};
    match status.code() {
        Unavailable | Cancelled | DeadlineExceeded | Unknown => Error::Lost(describe(status)),
        code => Error::Refused {
            operation,
            code: code as i32,
            message: describe(status),
        },
    }
}

pub(crate) fn describe(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => reason(cause),
        None if status.message().is_empty() => status.code().to_string(),
        None => status.message().to_owned(),
    }
}

/// What an answer means. A failure is never of the shape of a success, and an unreadable answer is a failure.
fn judge<R: wire::Request>(answer: &Payload) -> Result<R::Response, Error> {
    let operation = R::KIND;
    let is_own_kind = answer.kind() == <R::Response as wire::Message>::KIND;
    if !is_own_kind && answer.kind() != <wire::ErrorResponse as wire::Message>::KIND {
        let problem = format!("a {} came", answer.kind());
        return Err(Error::Malformed { operation, problem });
    }
    let response: R::Response = answer.decode_body().map_err(|error| Error::Malformed {
        operation,
        problem: error.to_string(),
    })?;
    if response.result_code() == code::SUCCESS {
        let problem = "an ErrorResponse that calls itself a success".to_owned();
        return if is_own_kind {
            Ok(response)
        } else {
            Err(Error::Malformed { operation, problem })
        };
    }
    let message = response.message().unwrap_or_default().to_owned();
    Err(match response.error_code() {
        code::UNREGISTERED => Error::Unregistered,
        code::FORBIDDEN => Error::Forbidden { operation, message },
        code::OVER_THRESHOLD => Error::Overloaded,
        // In the answer to a config query the same code says that there is no such config.
        code::STARTING_OR_NOT_FOUND if !is_own_kind => Error::Starting,
        code => Error::Refused {
            operation,
            code,
            message,
        },
    })
}

fn count(core: &Core, error: &Error) {
    let counters = &core.counters;
    match error {
        Error::Timeout { .. } => counters.timeouts.increment(),
        Error::Unregistered => counters.unregistered.increment(),
        Error::Forbidden { .. } => counters.forbidden.increment(),
        Error::Starting => counters.starting.increment(),
        Error::Overloaded => counters.overloaded.increment(),
        Error::Malformed { .. } => counters.malformed.increment(),
        Error::Refused {
            code: code::STARTING_OR_NOT_FOUND,
            ..
        } => {}
        Error::Refused { .. } => counters.refused.increment(),
        _ => {}
    }
}
