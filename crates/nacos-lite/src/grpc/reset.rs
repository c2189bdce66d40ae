//! A response body that can be cut off: the stream is reset, where ending it would be clean.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tonic::body::Body;

/// Tells a body to break off. A sender that is dropped unused means that it never will.
pub(super) struct ResetSignal(Option<oneshot::Receiver<()>>);

impl ResetSignal {
    pub(super) fn new() -> (oneshot::Sender<()>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(Some(receiver)))
    }

    pub(super) fn never() -> Self {
        Self(None)
    }
}

/// The body, and its end by force.
pub(super) struct Resettable {
    body: Body,
    signal: ResetSignal,
}

impl Resettable {
    pub(super) fn new(body: Body, signal: ResetSignal) -> Self {
        Self { body, signal }
    }
}

impl HttpBody for Resettable {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(receiver) = &mut self.signal.0 {
            match Pin::new(receiver).poll(context) {
                Poll::Ready(Ok(())) => {
                    return Poll::Ready(Some(Err("the stream is reset on command".into())));
                }
                Poll::Ready(Err(_)) => self.signal.0 = None,
                Poll::Pending => {}
            }
        }
        Pin::new(&mut self.body)
            .poll_frame(context)
            .map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
