//! A client that sends nothing more while its request is under way.
//!
//! Either the client has gone away, or it has only ended its half of the
//! connection and waits for the answer (RFC 9293 section 3.6). TCP shows the
//! difference only when something is sent. So the edge sends an interim answer,
//! which every client of HTTP/1.1 has to ignore (RFC 9110 section 15.2). If the
//! client is gone, its kernel replies with a reset.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::{Edge, PIECE, socket};

/// How often a half-closed connection is checked.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How far the end of a client has come.
#[derive(Debug, Default)]
pub(super) struct Ending {
    knows_interim: bool,
    /// Whether a byte of the answer has been written.
    answered: bool,
    /// When the connection, which is half-closed, is checked next.
    look_at: Option<Instant>,
}

impl Ending {
    /// A request begins.
    pub(super) fn begin(&mut self, knows_interim: bool) {
        self.knows_interim = knows_interim;
        self.answered = false;
    }

    /// The answer begins: from now on no interim answer may be sent.
    pub(super) fn answer(&mut self) {
        self.answered = true;
    }
}

impl Edge {
    /// Waits for the client to go away. Bytes that come meanwhile belong to its
    /// next request, and are kept.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending.look_at.is_some() {
            return self.poll_broken(cx);
        }
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(socket(&mut self.socket).poll_read(cx, &mut piece))?;
        match piece.filled() {
            [] => {
                self.ending.look_at = Some(Instant::now() + LOOK_AGAIN);
                if self.ending.knows_interim && !self.ending.answered {
                    self.connection
                        .send_interim(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                self.poll_broken(cx)
            }
            early => {
                self.hold_back(early);
                Poll::Pending
            }
        }
    }

    /// Waits for the socket to break.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        while let Some(due) = self.ending.look_at {
            if let Some(error) = socket(&mut self.socket).error() {
                return Poll::Ready(Err(error));
            }
            ready!(self.timer.poll_until(cx, due));
            self.ending.look_at = Some(Instant::now() + LOOK_AGAIN);
        }
        Poll::Pending
    }
}
