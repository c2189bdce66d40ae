//! A request's body on its way from the client to the endpoint of a try.
//!
//! The body streams. While it is small, the bytes that have passed are kept, so
//! that another try can send them again. The upload notes whether it waits for the
//! client or for the endpoint, since a client that stops sending and an endpoint
//! that stops taking are two faults.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::Instant;

use crate::base64::{Decoder, Malformed};
use crate::cause::Cause;
use crate::connection::Shared;
use crate::grpc::Messages;
use crate::mirror::Copy;
use crate::pace::{self, Late, Pace};

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadRules {
    /// The most bytes of it.
    pub(crate) bytes: u64,
    /// The most bytes that are kept for another try.
    pub(crate) kept_bytes: usize,
    /// How slow the client may be.
    pub(crate) pace: pace::Rules,
    /// How long the endpoint may take nothing.
    pub(crate) endpoint_timeout: Duration,
    /// Whether it has messages that are to be counted.
    pub(crate) has_messages: bool,
}

/// The body of one request, through all its tries.
#[derive(Debug)]
pub(crate) struct Upload {
    rules: UploadRules,
    length: Option<u64>,
    version: Version,
    connection: Shared,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    incoming: Incoming,
    /// A copy of all bytes that have passed, unless they are too many. The pieces
    /// themselves are not kept: a piece of one byte would hold the whole buffer of its
    /// read.
    kept: Option<Vec<u8>>,
    trailers: Option<HeaderMap>,
    bytes: u64,
    /// The most bytes that there may be.
    most_bytes: u64,
    waits: Waits,
    /// How slow the client is.
    pace: Pace,
    messages: Messages,
    failure: Option<Cause>,
    exchange: Option<Waker>,
    /// Decodes the client's bytes into those that are sent.
    decoder: Option<Decoder>,
    /// Copies of the request that wait for the whole body.
    copies: Vec<Copy>,
    /// The first frame, if it came with the head.
    first: Option<Option<Result<Frame<Bytes>, hyper::Error>>>,
}

/// Who is waited for.
#[derive(Clone, Copy, Debug)]
enum Waits {
    /// Neither: no try has begun to send.
    Nobody,
    Client,
    Endpoint(Instant),
    /// It is all sent, since then.
    Done(Instant),
}

/// What a try waits for while its request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// Nothing with a deadline of its own.
    Nothing,
    /// The upload, which fails for this cause at this moment.
    Upload(Instant, Cause),
    /// The endpoint's answer, since this moment.
    Answer(Instant),
}

impl Upload {
    pub(crate) fn new(
        incoming: Incoming,
        length: Option<u64>,
        version: Version,
        rules: UploadRules,
        connection: Shared,
    ) -> Arc<Upload> {
        Arc::new(Upload {
            rules,
            length,
            version,
            connection,
            state: Mutex::new(State {
                incoming,
                kept: Some(Vec::new()),
                trailers: None,
                bytes: 0,
                most_bytes: rules.bytes,
                waits: Waits::Nobody,
                pace: Pace::new(rules.pace),
                messages: Messages::default(),
                failure: None,
                exchange: None,
                decoder: None,
                copies: Vec::new(),
                first: None,
            }),
        })
    }

    /// Decodes the body on its way. Its length is unknown then.
    pub(crate) fn decode(&mut self, decoder: Decoder) {
        self.length = None;
        self.state().decoder = Some(decoder);
    }

    /// Takes the part of the body that came with the head, so that both are sent in one
    /// write: a second write would wake the endpoint again. Does not wait.
    pub(crate) async fn look(&self) {
        let mut has_looked = false;
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            match Pin::new(&mut state.incoming).poll_frame(cx) {
                Poll::Ready(frame) => state.first = Some(frame),
                Poll::Pending if has_looked => {}
                Poll::Pending => {
                    // The engine reads it once it knows that somebody waits.
                    has_looked = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The body as one try sends it, from its first byte.
    pub(crate) fn sending(self: &Arc<Self>) -> Sending {
        Sending {
            upload: Arc::clone(self),
            sent: 0,
            sent_trailers: false,
        }
    }

    /// Whether another try can send it.
    pub(crate) fn is_at_hand(&self) -> bool {
        let state = self.state();
        // What mirrors want kept may be longer.
        let is_short = || self.length.unwrap_or(state.bytes) <= self.rules.kept_bytes as u64;
        state.kept.is_some() && is_short()
    }

    /// Has a copy sent once the whole body has come, if the body is not too long for it.
    pub(crate) fn copy(&self, copy: Copy) {
        let mut state = self.state();
        if self.length.is_some_and(|length| length > copy.most_bytes()) {
            return copy.drop_too_long();
        }
        match state.waits {
            Waits::Done(_) => state.send_copies(vec![copy]),
            _ => state.copies.push(copy),
        }
    }

    /// Lets it have so many bytes at most.
    pub(crate) fn limit(&self, bytes: u64) {
        let mut state = self.state();
        state.most_bytes = state.most_bytes.min(bytes);
    }

    /// Bytes that have come from the client.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// The messages that have come, if they are counted.
    pub(crate) fn messages(&self) -> Messages {
        self.state().messages
    }

    /// Why it ended before its end.
    pub(crate) fn failure(&self) -> Option<Cause> {
        self.state().failure
    }

    /// Whether the client has sent all of it.
    pub(crate) fn is_done(&self) -> bool {
        self.sent_at().is_some()
    }

    /// Since when all of it is sent.
    pub(crate) fn sent_at(&self) -> Option<Instant> {
        match self.state().waits {
            Waits::Done(since) => Some(since),
            _ => None,
        }
    }

    /// What is waited for now. The task is woken when that changes.
    pub(crate) fn awaited(&self, cx: &Context<'_>) -> Awaited {
        let mut state = self.state();
        match &mut state.exchange {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.exchange = Some(cx.waker().clone()),
        }
        match state.waits {
            Waits::Nobody => Awaited::Nothing,
            Waits::Done(since) => Awaited::Answer(since),
            Waits::Endpoint(since) => Awaited::Upload(
                since + self.rules.endpoint_timeout,
                Cause::UpstreamWriteTimeout,
            ),
            Waits::Client => {
                let (due, late) = state.pace.due();
                Awaited::Upload(due, cause_of(late))
            }
        }
    }

    /// Throws away what the client still sends, until all of it has come.
    pub(crate) async fn drain(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            state.kept = None;
            state.copies.clear();
            state.first = None;
            loop {
                match Pin::new(&mut state.incoming).poll_frame(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Whether a body that has ended came to its last byte.
    fn is_whole(&self, incoming: &Incoming) -> bool {
        match self.version {
            // A reset may look like an end.
            Version::HTTP_2 => incoming.is_end_stream(),
            _ => self.connection.is_whole(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cause_of(late: Late) -> Cause {
    match late {
        Late::Silent => Cause::BodyTimeout,
        Late::TooSlow => Cause::BodyTooSlow,
    }
}

impl State {
    fn wait_for(&mut self, waits: Waits) {
        match waits {
            Waits::Client => _ = self.pace.due(),
            _ => self.pace.moved(0),
        }
        self.waits = waits;
        if let (Waits::Done(_), false) = (waits, self.copies.is_empty()) {
            let copies = std::mem::take(&mut self.copies);
            self.send_copies(copies);
        }
        if let Some(exchange) = &self.exchange {
            exchange.wake_by_ref();
        }
    }

    /// Keeps a piece of a body of this length, if it is known, for another try or for copies.
    fn keep(&mut self, piece: &[u8], length: Option<u64>, most: usize) {
        let bytes = length.unwrap_or(self.bytes);
        let too_long = self.copies.extract_if(.., |copy| bytes > copy.most_bytes());
        too_long.for_each(Copy::drop_too_long);
        let is_short = bytes <= most as u64 || !self.copies.is_empty();
        match &mut self.kept {
            Some(kept) if is_short => kept.extend_from_slice(piece),
            kept => *kept = None,
        }
    }

    /// Sends copies with the whole body.
    fn send_copies(&self, copies: Vec<Copy>) {
        if let Some(kept) = &self.kept {
            let body = Bytes::copy_from_slice(kept);
            for copy in copies {
                copy.send(body.clone());
            }
        }
    }

    fn decode(&mut self, piece: Bytes) -> Result<Bytes, Malformed> {
        match &mut self.decoder {
            Some(decoder) => decoder.decode(&piece),
            None => Ok(piece),
        }
    }

    fn fail(&mut self, cause: Cause) -> Unsent {
        self.failure = Some(cause);
        self.wait_for(Waits::Nobody);
        Unsent
    }
}

/// The body could not be sent to its end; [`Upload::failure`] says why.
#[derive(Clone, Copy, Debug, Error)]
#[error("the request's body ended before its end")]
pub(crate) struct Unsent;

/// A request's body as the HTTP engine takes it.
#[derive(Debug)]
pub(crate) struct Sending {
    upload: Arc<Upload>,
    sent: usize,
    sent_trailers: bool,
}

impl Sending {
    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
        state: &mut State,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsent>>> {
        let frame = match state.first.take() {
            Some(frame) => Poll::Ready(frame),
            None => Pin::new(&mut state.incoming).poll_frame(cx),
        };
        let frame = match frame {
            Poll::Pending => {
                if !matches!(state.waits, Waits::Client) {
                    state.wait_for(Waits::Client);
                }
                return Poll::Pending;
            }
            Poll::Ready(None) if self.upload.is_whole(&state.incoming) => {
                if !state.decoder.as_ref().is_none_or(Decoder::is_whole) {
                    return Poll::Ready(Some(Err(state.fail(Cause::MalformedBody))));
                }
                state.wait_for(Waits::Done(Instant::now()));
                return Poll::Ready(None);
            }
            Poll::Ready(None | Some(Err(_))) => {
                let refused = self.upload.connection.body_refused();
                return Poll::Ready(Some(Err(state.fail(match refused {
                    true => Cause::MalformedBody,
                    false => Cause::ClientGone,
                }))));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let piece = match frame.into_data() {
            Ok(piece) => piece,
            Err(frame) => {
                state.trailers = frame.trailers_ref().cloned();
                self.sent_trailers = true;
                state.wait_for(Waits::Done(Instant::now()));
                return Poll::Ready(Some(Ok(frame)));
            }
        };
        state.bytes += piece.len() as u64;
        state.pace.moved(piece.len());
        if state.bytes > state.most_bytes {
            return Poll::Ready(Some(Err(state.fail(Cause::BodyTooLarge))));
        }
        let piece = match state.decode(piece) {
            Ok(piece) => piece,
            Err(Malformed) => {
                return Poll::Ready(Some(Err(state.fail(Cause::MalformedBody))));
            }
        };
        if self.upload.rules.has_messages {
            state.messages.pass(&piece);
        }
        state.keep(&piece, self.upload.length, self.upload.rules.kept_bytes);
        self.sent += piece.len();
        let now = Instant::now();
        state.wait_for(match self.upload.length {
            Some(length) if state.bytes == length => Waits::Done(now),
            _ => Waits::Endpoint(now),
        });
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Unsent;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsent>>> {
        let sending = self.get_mut();
        let upload = Arc::clone(&sending.upload);
        let mut state = upload.state();
        if state.failure.is_some() {
            return Poll::Ready(Some(Err(Unsent)));
        }
        let again = state
            .kept
            .as_ref()
            .and_then(|kept| kept.get(sending.sent..));
        if let Some(again) = again.filter(|again| !again.is_empty()) {
            sending.sent += again.len();
            let again = Bytes::copy_from_slice(again);
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        if !matches!(state.waits, Waits::Done(_)) {
            return sending.poll_incoming(cx, &mut state);
        }
        let trailers = state.trailers.as_ref();
        let again = trailers.filter(|_| !sending.sent_trailers).cloned();
        sending.sent_trailers = true;
        Poll::Ready(again.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.upload.length == Some(self.sent as u64)
    }

    fn size_hint(&self) -> SizeHint {
        match self.upload.length {
            Some(length) => SizeHint::with_exact(length - self.sent as u64),
            None => SizeHint::default(),
        }
    }
}

/// What a try sends after its head.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Nothing,
    Upload(Sending),
    /// The body of a request of the gateway's own, until it is sent.
    Own(Bytes),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Unsent;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsent>>> {
        match self.get_mut() {
            Outgoing::Nothing => Poll::Ready(None),
            Outgoing::Upload(sending) => Pin::new(sending).poll_frame(cx),
            Outgoing::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Outgoing::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Nothing => true,
            Outgoing::Upload(sending) => sending.is_end_stream(),
            Outgoing::Own(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Nothing => SizeHint::with_exact(0),
            Outgoing::Upload(sending) => sending.size_hint(),
            Outgoing::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
