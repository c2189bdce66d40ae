//! A request's body as it arrives: to its end and no further.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::chunks::{ChunkScan, Chunks};
use super::{Edge, Framing, Reading};

/// How much of a body is still to come.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Until the last chunk.
    Chunks(ChunkScan),
}

impl Body {
    pub(super) fn new(framing: Framing) -> Body {
        match framing {
            Framing::Length(bytes) => Body::Length(bytes),
            Framing::Chunked => Body::Chunks(ChunkScan::default()),
        }
    }

    /// How many of the bytes belong to the body, and whether the body ends with
    /// them; `None` if they are malformed.
    fn take(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        match self {
            Body::Length(left) => {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= taken as u64;
                Some((taken, *left == 0))
            }
            Body::Chunks(scan) => match scan.scan(bytes) {
                Chunks::Open => Some((bytes.len(), false)),
                Chunks::Ended(at) => Some((at, true)),
                Chunks::Malformed => None,
            },
        }
    }
}

impl Edge {
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.whole.is_empty() {
            // The rest of the head comes first.
            return self.poll_head(cx, buf);
        }
        let before = buf.filled().len();
        ready!(self.poll_fill(cx, buf))?;
        let Reading::Body(body) = &mut self.reading else {
            return Poll::Ready(Ok(()));
        };
        let Some((taken, ended)) = body.take(&buf.filled()[before..]) else {
            buf.set_filled(before);
            self.connection.refuse_body();
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        self.hold_back(&buf.filled()[before + taken..]);
        buf.set_filled(before + taken);
        if ended {
            self.connection.whole(true);
            self.reading = Reading::Head;
        }
        Poll::Ready(Ok(()))
    }
}
