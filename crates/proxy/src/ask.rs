//! Requests of the gateway's own: what the gates of a route ask.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use pailou_filters::{Ask, AskError, Waiting};
use pailou_upstream::{Destination, Hint, Outcome, Pick, Tried};
use tokio::time::Instant;

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
}

impl Ask for Asking<'_> {
    fn ask<'a>(
        &'a self,
        destination: &'a Destination,
        request: Request<Bytes>,
        max_bytes: usize,
    ) -> Waiting<'a, Result<Response<Bytes>, AskError>> {
        Box::pin(self.try_all(destination, request, max_bytes))
    }
}

impl Asking<'_> {
    async fn try_all(
        &self,
        destination: &Destination,
        request: Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, AskError> {
        let mut tried = Tried::none();
        let mut failed = AskError::NoEndpoint;
        for _ in 0..MOST_TRIES {
            let Ok(pick) = destination.selection.pick(&Hint::after(&tried)) else {
                return Err(failed);
            };
            let Some(line) = self.line(Remote::of(destination, &pick), &pick).await else {
                tried.push(pick.address());
                failed = AskError::Refused;
                continue;
            };
            let (reused, asked) = (line.is_reused(), Instant::now());
            match self.send(line, &request, max_bytes).await {
                // An idle connection may be closed at any time.
                Err(AskError::Broken) if reused => failed = AskError::Broken,
                Err(AskError::Broken) => {
                    pick.report(Outcome::Reset);
                    return Err(AskError::Broken);
                }
                Err(error) => return Err(error),
                Ok(answer) => {
                    pick.report(Outcome::Answered {
                        status: answer.status().as_u16(),
                        latency: asked.elapsed(),
                    });
                    return Ok(answer);
                }
            }
        }
        Err(failed)
    }

    /// A connection to the endpoint. A failure to connect is reported.
    async fn line(&self, remote: Remote, pick: &Pick) -> Option<Line> {
        let opened = self.server.line(remote, CONNECT_TIMEOUT).await;
        if let Some(outcome) = opened.as_ref().err().and_then(|failure| failure.outcome()) {
            pick.report(outcome);
        }
        opened.ok()
    }

    async fn send(
        &self,
        mut line: Line,
        request: &Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, AskError> {
        let mut sent = Request::new(Outgoing::Own(request.body().clone()));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = request.uri().clone();
        *sent.headers_mut() = request.headers().clone();
        // The caller of the gate keeps the gate's deadline.
        let never = |_: &mut std::task::Context<'_>| Poll::<std::convert::Infallible>::Pending;
        let Ok(answer) = line.send(sent, never).await;
        let answer = answer.map_err(|_: LineFailure| AskError::Broken)?;
        let keeps = keeps(&answer);
        let (head, body) = answer.into_parts();
        let body = read(&mut line, body, max_bytes).await?;
        if keeps {
            self.server.keep(line);
        }
        Ok(Response::from_parts(head, body))
    }
}

/// Reads a body to its end.
async fn read(line: &mut Line, mut body: Incoming, max_bytes: usize) -> Result<Bytes, AskError> {
    let mut bytes = BytesMut::new();
    loop {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            // The body is told how the connection ends.
            let _ = line.poll_drive(cx);
            Pin::new(&mut body).poll_frame(cx)
        });
        match frame.await {
            None => return Ok(bytes.freeze()),
            Some(Err(_)) => return Err(AskError::Broken),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    bytes.extend_from_slice(&piece);
                }
            }
        }
        if bytes.len() > max_bytes {
            return Err(AskError::TooLong);
        }
    }
}
