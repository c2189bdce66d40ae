//! A response's body on its way to the client.

mod copies;
mod encoding;
mod stages;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pailou_filters::{Copying, Encoder};
use pailou_upstream::Outcome;
use thiserror::Error;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::exchange::Exchange;
use crate::grpc_web::Web;
use crate::line::{Line, LineFailure, failure_of};
use crate::panics::ToldOfPanic;
use crate::streams;
use crate::upload::{Awaited, Upload};
use encoding::Encoding;
use stages::Stages;

/// What the client is sent after a head.
#[derive(Debug)]
pub(crate) enum Download {
    Nothing,
    /// The gateway's own words.
    Own(Option<Bytes>),
    /// An endpoint's.
    Endpoint(Flow),
}

/// The body could not be sent to its end. The missing rest shows the client that
/// the answer is broken.
#[derive(Clone, Copy, Debug, Error)]
#[error("the response's body ended before its end")]
pub(crate) struct Broken;

/// The body of an endpoint's response. The exchange ends with it.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) exchange: Box<Exchange>,
    incoming: Incoming,
    /// Taken when the body has ended.
    line: Option<Line>,
    /// Whether the connection may serve another request.
    keeps: bool,
    /// Since when the endpoint is waited for.
    waits_since: Option<Instant>,
    broken: Option<Broken>,
    /// What steps do with the body as it passes.
    stages: Option<Box<Stages>>,
    /// How the client is answered, if it speaks gRPC-Web.
    web: Option<Box<Translated>>,
}

/// An answer of gRPC-Web.
#[derive(Debug)]
struct Translated {
    web: Web,
    /// The whole body, if the endpoint's answer has none.
    last: Option<Bytes>,
}

impl Flow {
    pub(crate) fn start(
        exchange: Box<Exchange>,
        incoming: Incoming,
        line: Line,
        keeps: bool,
    ) -> Flow {
        let mut flow = Flow {
            exchange,
            incoming,
            line: Some(line),
            keeps,
            waits_since: None,
            broken: None,
            stages: None,
            web: None,
        };
        // If an HTTP/2 endpoint sends anything after the head of such an answer, its
        // stream is faulty. The client does not wait for that.
        if flow.incoming.is_end_stream() || flow.exchange.method == Method::HEAD {
            flow.end();
        }
        flow
    }

    /// Makes the answer one of gRPC-Web, if it is one of gRPC.
    pub(crate) fn translate(&mut self, web: Web, headers: &mut HeaderMap) {
        let Some(last) = web.answer(headers, self.line.is_none()) else {
            return;
        };
        self.exchange.bytes_out += last.as_ref().map_or(0, Bytes::len) as u64;
        self.web = Some(Box::new(Translated { web, last }));
        self.exchange.account.calls();
    }

    fn take_last(&mut self) -> Option<Bytes> {
        self.web.as_mut()?.last.take()
    }

    /// The body that the client is sent.
    pub(crate) fn into_download(mut self) -> Download {
        if self.line.is_some() {
            return Download::Endpoint(self);
        }
        match self.take_last() {
            Some(last) => Download::Own(Some(last)),
            None => Download::Nothing,
        }
    }

    /// Whether all of the body has come.
    pub(crate) fn is_over(&self) -> bool {
        self.line.is_none()
    }

    /// Gives up the rest of the body, and with it the connection.
    pub(crate) fn leave(&mut self) {
        self.line = None;
        self.stages = None;
    }

    /// Lets a step take a copy of the body as it passes.
    pub(crate) fn copy(&mut self, copying: Box<dyn Copying>) {
        if let Some(encoding) = self.encoding() {
            encoding.copy(copying);
            return;
        }
        if self.line.is_none() {
            copying.keep(Bytes::new());
            return;
        }
        self.stages.get_or_insert_default().copies.add(copying);
    }

    /// Has a step encode the body as it passes. Only the first encoder acts: no step encodes a body that is encoded already.
    pub(crate) fn encode(&mut self, encoder: Encoder) {
        let encoding = &mut self.stages.get_or_insert_default().encoding;
        encoding.get_or_insert_with(|| Encoding::new(encoder));
    }

    fn encoding(&mut self) -> Option<&mut Encoding> {
        self.stages.as_mut()?.encoding.as_mut()
    }

    fn is_encoded(&self) -> bool {
        let stages = self.stages.as_ref();
        stages.is_some_and(|stages| stages.encoding.is_some())
    }

    /// The whole body, if it has at most `most` bytes.
    pub(crate) async fn collect(&mut self, most: usize) -> Result<Bytes, Cause> {
        let mut bytes = BytesMut::new();
        let expected = self.incoming.size_hint().lower();
        if expected > most as u64 && !self.is_encoded() {
            return Err(Cause::UpstreamTooLarge);
        }
        while !self.is_sent() {
            let frame = std::future::poll_fn(|cx| self.poll_frame(cx)).await;
            let frame = match frame {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(Broken)) => return Err(self.exchange.cause.unwrap_or(Cause::Internal)),
            };
            if let Ok(piece) = frame.into_data() {
                bytes.extend_from_slice(&piece);
            }
            if bytes.len() > most {
                return Err(Cause::UpstreamTooLarge);
            }
        }
        bytes.extend_from_slice(&self.take_last().unwrap_or_default());
        Ok(bytes.freeze())
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.waits_since = None;
                if let Some(piece) = frame.data_ref() {
                    self.exchange.account.passes(piece);
                }
                let frame = match &self.web {
                    Some(translated) => translated.web.frame(frame),
                    None => frame,
                };
                if !self.is_encoded() {
                    self.sends(&frame);
                }
                if let Some(stages) = &mut self.stages {
                    stages.copies.take(&frame);
                }
                if self.incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let cause = match failure_of(&error) {
                    LineFailure::Malformed => Cause::UpstreamMalformed,
                    _ => Cause::UpstreamReset,
                };
                Poll::Ready(Some(Err(self.fail(cause))))
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    /// Ready when the endpoint has sent nothing for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let route = self.exchange.route.as_ref();
        let gap = since + route.map_or(Duration::ZERO, |route| route.timeouts.read);
        let (due, cause) = match self.exchange.total_due {
            Some(total) if total < gap => (total, Cause::TotalTimeout),
            _ => (gap, Cause::ReadTimeout),
        };
        ready!(self.exchange.timer.poll_until(cx, due));
        Poll::Ready(cause)
    }

    /// Whether nothing more is to be sent.
    fn is_sent(&self) -> bool {
        let encoding = self.stages.as_ref().and_then(|it| it.encoding.as_ref());
        self.line.is_none() && encoding.is_none_or(Encoding::is_over)
    }

    fn sends(&mut self, frame: &Frame<Bytes>) {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.exchange.bytes_out += bytes as u64;
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.is_encoded() {
            true => self.poll_encoded(cx),
            false => self.poll_plain(cx),
        }
    }

    /// The next frame out of the encoder. When the endpoint pauses, all that it has sent is flushed.
    fn poll_encoded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let Some(encoding) = self.encoding() else {
                return Poll::Ready(None);
            };
            match encoding.next() {
                Ok(Some(frame)) => {
                    self.sends(&frame);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) if encoding.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(_) => return Poll::Ready(Some(Err(self.fail(Cause::Internal)))),
            }
            let polled = self.poll_plain(cx);
            let Some(encoding) = self.encoding() else {
                return Poll::Ready(None);
            };
            match polled {
                Poll::Ready(Some(Ok(frame))) => encoding.take(frame),
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Some(Err(broken))),
                Poll::Ready(None) => encoding.end(),
                Poll::Pending => {
                    let flushed = encoding.flush();
                    return match flushed {
                        Ok(Some(frame)) => {
                            self.sends(&frame);
                            Poll::Ready(Some(Ok(frame)))
                        }
                        Ok(None) => Poll::Pending,
                        Err(_) => Poll::Ready(Some(Err(self.fail(Cause::Internal)))),
                    };
                }
            }
        }
    }

    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(broken) = self.broken {
            return Poll::Ready(Some(Err(broken)));
        }
        if let Poll::Ready(frame) = self.poll_incoming(cx) {
            return self.pass(cx, frame);
        }
        if let Some(line) = &mut self.line {
            // The body is told how the connection ends.
            let _ = line.poll_drive(cx);
        }
        if let Poll::Ready(frame) = self.poll_incoming(cx) {
            return self.pass(cx, frame);
        }
        let cause = ready!(self.poll_late(cx));
        let broken = self.fail(cause);
        self.pass(cx, Some(Err(broken)))
    }

    /// Passes a frame on. When a body breaks, the engine drops what it has not
    /// written yet, so it gets the time to write that first.
    fn pass(
        &mut self,
        cx: &Context<'_>,
        frame: Option<Result<Frame<Bytes>, Broken>>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(Err(broken)) = frame {
            self.broken = Some(broken);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(frame)
    }

    fn fail(&mut self, cause: Cause) -> Broken {
        let outcome = match cause {
            Cause::UpstreamReset => Some(Outcome::Reset),
            Cause::UpstreamMalformed => Some(Outcome::Malformed),
            _ => None,
        };
        if let Some(outcome) = outcome
            && let Some(pick) = self.exchange.pick.take()
        {
            pick.report(outcome);
        }
        self.exchange.cause = Some(cause);
        self.exchange.account.upstream_ends();
        Broken
    }

    /// All of the response has come.
    fn end(&mut self) {
        let Some(line) = self.line.take() else {
            return;
        };
        if let Some(stages) = &mut self.stages {
            std::mem::take(&mut stages.copies).keep();
        }
        self.exchange.account.upstream_ends();
        match self.exchange.upload.clone() {
            // A stream ends with its answer; what is left of the upload goes on
            // for as long as the endpoint takes it.
            Some(upload) if !upload.is_done() && self.exchange.version == Version::HTTP_2 => {}
            Some(upload) if !upload.is_done() || !line.is_ready() => {
                let end = UploadEnd {
                    upload,
                    line,
                    keeps: self.keeps,
                    patience: self.exchange.server.limits.upstream_write_timeout,
                };
                let (server, connection) = (&self.exchange.server, &self.exchange.connection);
                let (server, owed) = (Arc::clone(server), connection.owe());
                let in_flight = self.exchange.in_flight.take();
                let told = ToldOfPanic::new("upload", &server.metrics);
                // It ends with the client's connection, or by its own limits.
                tokio::spawn(async move {
                    let _told = told;
                    if let Some(line) = end.run().await {
                        server.keep(line);
                    }
                    drop((owed, in_flight));
                });
            }
            _ if self.keeps => self.exchange.server.keep(line),
            _ => {}
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if self.line.is_some() && self.exchange.cause.is_none() {
            // The client went away, or was cut since it took too little.
            let cut = self.exchange.connection.cut_cause();
            self.exchange.cause = Some(cut.unwrap_or(Cause::ClientGone));
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = match self.get_mut() {
            Download::Nothing => Poll::Ready(None),
            Download::Own(bytes) => Poll::Ready(bytes.take().map(|it| Ok(Frame::data(it)))),
            Download::Endpoint(flow) => flow.poll_frame(cx),
        };
        streams::gave(match &frame {
            Poll::Ready(Some(Ok(frame))) => Some(frame.data_ref().map_or(0, Bytes::len)),
            _ => None,
        });
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Download::Nothing => true,
            Download::Own(bytes) => bytes.is_none(),
            Download::Endpoint(flow) => flow.is_sent(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Download::Nothing => SizeHint::with_exact(0),
            Download::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Download::Endpoint(flow) if flow.web.is_some() || flow.is_encoded() => {
                SizeHint::default()
            }
            Download::Endpoint(flow) => flow.incoming.size_hint(),
        }
    }
}

/// An upload whose endpoint has answered already.
///
/// It goes on for as long as the endpoint takes it. When the endpoint takes
/// nothing more, the rest is read and dropped, since many clients send the whole
/// request before they read.
struct UploadEnd {
    upload: Arc<Upload>,
    line: Line,
    keeps: bool,
    /// How long the endpoint may take for what it has been sent.
    patience: Duration,
}

impl UploadEnd {
    /// How long the endpoint may take nothing.
    const STALL: Duration = Duration::from_secs(2);
    /// How long the client may take to send a rest that is dropped.
    const DRAIN: Duration = Duration::from_secs(10);

    /// The connection, if it can serve another request.
    async fn run(self) -> Option<Line> {
        let UploadEnd {
            upload,
            mut line,
            keeps,
            patience,
        } = self;
        if !is_taken(&upload).await {
            drop(line);
            let _ = tokio::time::timeout(UploadEnd::DRAIN, upload.drain()).await;
            return None;
        }
        let sent = tokio::time::timeout(patience, line.finished()).await;
        (sent == Ok(true) && keeps).then_some(line)
    }
}

/// Waits until the endpoint has been sent all; false if it stops taking.
async fn is_taken(upload: &Upload) -> bool {
    let done = std::future::poll_fn(|cx| match upload.awaited(cx) {
        Awaited::Answer(_) => Poll::Ready(true),
        Awaited::Nothing | Awaited::Upload(..) if upload.failure().is_some() => Poll::Ready(false),
        Awaited::Nothing | Awaited::Upload(..) => Poll::Pending,
    });
    let stalled = async {
        loop {
            let before = upload.bytes();
            tokio::time::sleep(UploadEnd::STALL).await;
            if upload.bytes() == before {
                return false;
            }
        }
    };
    tokio::select! {
        done = done => done,
        stalled = stalled => stalled,
    }
}
