//! Requests of the gateway's own: what the gates of a route ask, and the copies that its mirrors send.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use pailou_filters::{Ask, AskError, Waiting};
use pailou_upstream::{Destination, Hint, Http, Outcome, Pick, Tried};
use tokio::time::Instant;

use crate::authority;
use crate::line::{Line, LineFailure, keeps};
use crate::server::Server;
use crate::transport::Remote;
use crate::upload::Outgoing;

/// How long it may take to make one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many endpoints and idle connections are tried.
const MOST_TRIES: u32 = 4;

/// Asks over the connections that requests take.
pub(crate) struct Asking<'a> {
    pub(crate) server: &'a Server,
    /// Whether what becomes of it says something about the endpoints.
    pub(crate) reports: bool,
}

/// The head of an answer, and what its body comes on.
pub(crate) struct Asked {
    pub(crate) head: Parts,
    body: Incoming,
    line: Line,
    /// Whether the connection may serve another request.
    keeps: bool,
    pick: Pick,
    began: Instant,
}

impl Ask for Asking<'_> {
    fn ask<'a>(
        &'a self,
        destination: &'a Destination,
        request: Request<Bytes>,
        max_bytes: usize,
    ) -> Waiting<'a, Result<Response<Bytes>, AskError>> {
        Box::pin(async move {
            let asked = self.head(destination, &request).await?;
            self.whole(asked, max_bytes).await
        })
    }
}

impl Asking<'_> {
    /// Sends a request, whose target is a path, and waits for the head of the answer.
    pub(crate) async fn head(
        &self,
        destination: &Destination,
        request: &Request<Bytes>,
    ) -> Result<Asked, AskError> {
        let mut tried = Tried::none();
        let mut failed = AskError::NoEndpoint;
        for _ in 0..MOST_TRIES {
            let Ok(pick) = destination.selection.pick(&Hint::after(&tried)) else {
                return Err(failed);
            };
            let remote = Remote::of(destination, &pick);
            let sent = sent(request, &remote);
            let Some(mut line) = self.line(remote, &pick).await else {
                tried.push(pick.address());
                failed = AskError::Refused;
                continue;
            };
            let began = Instant::now();
            // The caller keeps the deadline.
            let never = |_: &mut std::task::Context<'_>| Poll::<std::convert::Infallible>::Pending;
            let Ok(answer) = line.send(sent, never).await;
            match answer {
                Ok(answer) => {
                    let keeps = keeps(&answer);
                    let (head, body) = answer.into_parts();
                    return Ok(Asked {
                        head,
                        body,
                        line,
                        keeps,
                        pick,
                        began,
                    });
                }
                // An idle connection may be closed at any time.
                Err(failure) if line.is_reused() && failure != LineFailure::Malformed => {
                    failed = AskError::Broken;
                }
                Err(failure) => {
                    self.report(&pick, outcome(failure));
                    return Err(AskError::Broken);
                }
            }
        }
        Err(failed)
    }

    /// The answer with its body, which has `most` bytes at most.
    pub(crate) async fn whole(
        &self,
        mut asked: Asked,
        most: usize,
    ) -> Result<Response<Bytes>, AskError> {
        let mut bytes = BytesMut::new();
        let read = read(&mut asked, most, |piece| bytes.extend_from_slice(&piece)).await;
        if read == Err(AskError::Broken) {
            self.report(&asked.pick, Outcome::Reset);
        }
        read?;
        let status = asked.head.status.as_u16();
        let latency = asked.began.elapsed();
        self.report(&asked.pick, Outcome::Answered { status, latency });
        Ok(Response::from_parts(self.end(asked), bytes.freeze()))
    }

    /// Throws the body of an answer away; beyond `most` bytes the connection with it.
    pub(crate) async fn discard(&self, mut asked: Asked, most: usize) {
        if read(&mut asked, most, drop).await.is_ok() {
            self.end(asked);
        }
    }

    /// The body has ended: its connection may serve another request.
    fn end(&self, asked: Asked) -> Parts {
        if asked.keeps {
            self.server.keep(asked.line);
        }
        asked.head
    }

    /// A connection to the endpoint. A failure to connect is reported.
    async fn line(&self, remote: Remote, pick: &Pick) -> Option<Line> {
        let opened = self.server.line(remote, CONNECT_TIMEOUT).await;
        if let Some(outcome) = opened.as_ref().err().and_then(|failure| failure.outcome()) {
            self.report(pick, outcome);
        }
        opened.ok()
    }

    fn report(&self, pick: &Pick, outcome: Outcome) {
        if self.reports {
            pick.report(outcome);
        }
    }
}

/// The request as the remote's version of HTTP has it.
fn sent(request: &Request<Bytes>, remote: &Remote) -> Request<Outgoing> {
    let mut sent = Request::new(Outgoing::Own(request.body().clone()));
    *sent.method_mut() = request.method().clone();
    *sent.uri_mut() = request.uri().clone();
    *sent.headers_mut() = request.headers().clone();
    if remote.http == Http::Http2 {
        authority::name(&mut sent, remote);
    }
    sent
}

/// What it says about an endpoint that a new connection to it brought no answer.
fn outcome(failure: LineFailure) -> Outcome {
    match failure {
        LineFailure::Tls => Outcome::Tls,
        LineFailure::Malformed => Outcome::Malformed,
        LineFailure::Unsent | LineFailure::Ended | LineFailure::Body => Outcome::Reset,
    }
}

/// Reads a body to its end.
async fn read(asked: &mut Asked, most: usize, mut take: impl FnMut(Bytes)) -> Result<(), AskError> {
    let Asked { body, line, .. } = asked;
    let mut count = 0;
    loop {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            // The body is told how the connection ends.
            let _ = line.poll_drive(cx);
            Pin::new(&mut *body).poll_frame(cx)
        });
        match frame.await {
            None => return Ok(()),
            Some(Err(_)) => return Err(AskError::Broken),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    count += piece.len();
                    take(piece);
                }
            }
        }
        if count > most {
            return Err(AskError::TooLong);
        }
    }
}
