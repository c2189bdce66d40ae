//! A client's connection as the HTTP engine reads and writes it.
//!
//! The edge stands in front of the engine. The engine sees only whole heads
//! whose framing has one meaning, and bodies of the announced length. It sees
//! no byte of a request before the request before it is done. The limits that
//! end a connection between requests are here too: the deadline for a head, the
//! longest silence of a client, the longest time that a client reads nothing.

mod body;
mod chunks;
mod ending;
mod head;
mod heading;
mod socket;
mod write;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

#[cfg(test)]
pub(crate) use chunks::{ChunkScan, Chunks};

pub(crate) use chunks::is_token_byte;
pub(crate) use heading::{Framing, Heading};
pub(crate) use socket::Socket;

use crate::cause::Cause;
use crate::connection::{Shared, Stage};
use crate::deadline::Timer;
use crate::server::Server;
use body::Body;
use ending::Ending;
pub(crate) use head::{Head, HeadScan};
use write::Writes;

/// After an answer that ended its request early, a client may go on sending
/// for this long, so that it gets to read the answer.
const LINGER: Duration = Duration::from_secs(3);

/// After this much silence the engine of a connection is dropped, to free its
/// memory.
const REST: Duration = Duration::from_secs(1);

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many bytes are read at once of a head that comes in pieces, and of what
/// a client sends before its turn.
const PIECE: usize = 4096;

/// A client's connection under the HTTP engine.
pub(crate) struct Edge {
    /// Taken only when the edge is dropped.
    socket: Option<Socket>,
    /// Bytes that were read beyond the end of a head or a body.
    ahead: BytesMut,
    /// Whether the last read took all that it had room for: there may be more.
    was_full: bool,
    /// The part that has come of a head that comes in pieces.
    partial: Vec<u8>,
    /// The part of such a head that the engine has not been given yet.
    whole: BytesMut,
    scan: HeadScan,
    reading: Reading,
    writes: Writes,
    timer: Timer,
    /// When the next head is due, or the silence before it is too long.
    head_due: Option<Instant>,
    silent_since: Option<Instant>,
    refused: bool,
    ending: Ending,
    connection: Shared,
    server: Arc<Server>,
}

/// What comes next from the client.
#[derive(Debug)]
enum Reading {
    /// A head, once the request under way is done.
    Head,
    /// The body of the request under way.
    Body(Body),
    /// Anything, since the protocol was switched.
    Anything,
}

/// How a wait for the next request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// There is something to read.
    Yes,
    /// The client was silent for too long, or the connection has to end.
    Never,
}

impl Edge {
    pub(crate) fn new(socket: Socket, connection: Shared, server: Arc<Server>) -> Edge {
        let first = connection.opened() + server.limits.header_timeout;
        Edge {
            socket: Some(socket),
            ahead: BytesMut::new(),
            was_full: false,
            partial: Vec::new(),
            whole: BytesMut::new(),
            scan: HeadScan::default(),
            reading: Reading::Head,
            writes: Writes::new(server.write_pace),
            timer: Timer::default(),
            head_due: Some(first),
            silent_since: None,
            refused: false,
            ending: Ending::default(),
            connection,
            server,
        }
    }

    /// Whether the client speaks HTTP/2 from its first byte (RFC 9113 section
    /// 3.4). What was read is kept.
    pub(crate) async fn begins_with_preface(&mut self) -> bool {
        poll_fn(|cx| self.poll_preface(cx)).await
    }

    fn poll_preface(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let known = self.ahead.len().min(PREFACE.len());
            if self.ahead[..known] != PREFACE[..known] {
                return Poll::Ready(false);
            }
            if known == PREFACE.len() {
                return Poll::Ready(true);
            }
            let mut piece = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut piece);
            match socket(&mut self.socket).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    self.ahead.extend_from_slice(piece.filled());
                }
                // The reader of a head finds out why.
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending if self.ahead.is_empty() => {
                    return self.poll_silence(cx).map(|()| false);
                }
                Poll::Pending => {
                    let due = self.connection.opened() + self.server.limits.header_timeout;
                    return self.timer.poll_until(cx, due).map(|()| false);
                }
            }
        }
    }

    /// Waits between requests, taking nothing. Cancel safe.
    pub(crate) async fn begun(&mut self) -> Begun {
        poll_fn(|cx| self.poll_begun(cx)).await
    }

    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Begun> {
        // The next read finds out whether the client has gone or the socket is
        // broken.
        if !self.ahead.is_empty() || socket(&mut self.socket).poll_readable(cx).is_ready() {
            self.connection.rest(false);
            return Poll::Ready(Begun::Yes);
        }
        if self.poll_silence(cx).is_ready() {
            return Poll::Ready(Begun::Never);
        }
        Poll::Pending
    }

    /// Ends the connection between requests.
    pub(crate) fn end(mut self) {
        socket(&mut self.socket).say_end();
    }

    /// From here on bytes pass unchanged, those that were read ahead first. The
    /// limits on answers no longer apply to what goes to the client.
    pub(crate) fn switch(&mut self) {
        self.reading = Reading::Anything;
        self.writes.pace.any_rate();
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.whole.is_empty() {
                let given = self.whole.len().min(buf.remaining());
                buf.put_slice(&self.whole.split_to(given));
                return Poll::Ready(Ok(()));
            }
            if self.refused {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            let read = match self.partial.is_empty() {
                true => self.poll_first_piece(cx, buf),
                false => self.poll_next_piece(cx),
            };
            match read {
                Poll::Ready(Ok(Piece::Given)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Piece::Kept)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_head_due(cx),
            }
        }
    }

    /// Reads what is there into the engine's own buffer: nearly always a whole
    /// head.
    fn poll_first_piece(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Piece>> {
        let before = buf.filled().len();
        ready!(self.poll_fill(cx, buf))?;
        let read = buf.filled().len() - before;
        if read == 0 {
            return Poll::Ready(Ok(Piece::Given));
        }
        if !self.connection.head_begun() {
            self.connection.begin_head();
            self.scan = HeadScan::default();
            self.head_due = None;
            self.silent_since = None;
            self.connection.rest(false);
        }
        let Some(end) = self.scan(&buf.filled()[before..])? else {
            self.partial.extend_from_slice(&buf.filled()[before..]);
            buf.set_filled(before);
            return Poll::Ready(Ok(Piece::Kept));
        };
        self.hold_back(&buf.filled()[before + end..]);
        buf.set_filled(before + end);
        let left = self.hand(&mut buf.filled_mut()[before..])?;
        buf.set_filled(before + left);
        Poll::Ready(Ok(Piece::Given))
    }

    fn poll_next_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(self.poll_fill(cx, &mut piece))?;
        let piece = piece.filled();
        if piece.is_empty() {
            // The client went away in the middle of a head.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let end = self.scan(piece)?;
        self.partial
            .extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        if let Some(end) = end {
            self.hold_back(&piece[end..]);
            let mut head = std::mem::take(&mut self.partial);
            let left = self.hand(&mut head)?;
            self.whole.extend_from_slice(&head[..left]);
        } else if self.partial.len() > self.server.limits.header_bytes {
            return Poll::Ready(Err(self.refuse(Cause::HeadTooLarge)));
        }
        Poll::Ready(Ok(Piece::Kept))
    }

    /// Follows a head; says where it ends, if it does.
    fn scan(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let scanned = self.scan.scan(bytes);
        let limits = &self.server.limits;
        if self.scan.first_line_bytes() > limits.request_line_bytes {
            return Err(self.refuse(Cause::RequestLineTooLong));
        }
        if self.scan.fields() > limits.header_count {
            return Err(self.refuse(Cause::HeadTooLarge));
        }
        match scanned {
            Head::Malformed => Err(self.refuse(Cause::MalformedHead)),
            Head::Open => Ok(None),
            Head::Ended(end) => Ok(Some(end)),
        }
    }

    /// Passes a whole head on; says how long it is now.
    fn hand(&mut self, head: &mut [u8]) -> io::Result<usize> {
        if head.len() > self.server.limits.header_bytes {
            return Err(self.refuse(Cause::HeadTooLarge));
        }
        let (heading, left) = Heading::take(head);
        self.reading = match (heading.fault, heading.framing) {
            // Nobody knows where the next request would begin.
            (Some(_), _) => Reading::Body(Body::new(Framing::Length(u64::MAX))),
            (None, Framing::Length(0)) => Reading::Head,
            (None, framing) => Reading::Body(Body::new(framing)),
        };
        self.connection.whole(matches!(self.reading, Reading::Head));
        self.ending.begin(heading.knows_interim);
        self.writes.pace.restart();
        self.connection.hand(heading);
        Ok(left)
    }

    /// Nothing more of a head has come: checks whether the head is late.
    fn poll_head_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.head_begun() {
            // Silence between requests is no fault: the connection ends.
            return self.poll_silence(cx).map(Ok);
        }
        let timeout = self.server.limits.header_timeout;
        let due = *self
            .head_due
            .get_or_insert_with(|| Instant::now() + timeout);
        ready!(self.timer.poll_until(cx, due));
        Poll::Ready(Err(self.refuse(Cause::HeadTimeout)))
    }

    /// Ready when the client has been silent for too long, or the connection
    /// has to end.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.waits(cx.waker());
        if self.connection.must_close() {
            return Poll::Ready(());
        }
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        let keepalive = self.server.limits.keepalive_timeout;
        let due = *self.head_due.get_or_insert_with(|| since + keepalive);
        let rest = since + REST;
        if rest < due && !self.connection.rests() {
            ready!(self.timer.poll_until(cx, rest));
            self.connection.rest(true);
        }
        self.timer.poll_until(cx, due)
    }

    /// Reads what was held back, then the socket.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            ready!(socket(&mut self.socket).poll_read(cx, buf))?;
            self.was_full = buf.remaining() == 0;
            return Poll::Ready(Ok(()));
        }
        let taken = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..taken]);
        self.ahead.advance(taken);
        if self.was_full && self.ahead.is_empty() && buf.remaining() > 0 {
            // The engine takes more at once after a read that was full. So the next
            // request comes with its body in one read, and goes on in one write. What
            // is wrong with the socket, the next read finds out.
            self.was_full = false;
            let _ = socket(&mut self.socket).poll_read(cx, buf);
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps bytes for later, in front of what was kept before.
    fn hold_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let later = std::mem::take(&mut self.ahead);
            self.ahead.extend_from_slice(bytes);
            self.ahead.extend_from_slice(&later);
        }
    }

    /// Answers a request without a usable head, and does not ask the engine.
    /// Returns the error for the engine's read.
    fn refuse(&mut self, cause: Cause) -> io::Error {
        self.refused = true;
        self.connection.linger();
        let answer = self.server.refusal(&self.connection, cause);
        // One try is enough: a client whose socket is full right after it
        // connected reads nothing anyway.
        self.writes.last_word(socket(&mut self.socket), &answer);
        io::ErrorKind::InvalidData.into()
    }
}

/// What became of a piece of a head.
enum Piece {
    Given,
    Kept,
}

fn socket(socket: &mut Option<Socket>) -> Pin<&mut Socket> {
    Pin::new(socket.as_mut().expect("the socket is taken only on drop"))
}

impl AsyncRead for Edge {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let edge = self.get_mut();
        if let Poll::Ready(Err(error)) = edge.poll_interim(cx) {
            return Poll::Ready(Err(error));
        }
        match &edge.reading {
            Reading::Anything => edge.poll_fill(cx, buf),
            Reading::Body(_) => edge.poll_body(cx, buf),
            Reading::Head => match edge.connection.stage() {
                Stage::Head => edge.poll_head(cx, buf),
                _ if !edge.whole.is_empty() => edge.poll_head(cx, buf),
                _ => edge.poll_gone(cx),
            },
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let half_read = matches!(self.reading, Reading::Body(_));
        if !half_read && !self.connection.lingers() {
            return;
        }
        let (Some(socket), Ok(runtime)) =
            (self.socket.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let connection = self.connection.clone();
        // It ends by its own limit, which a drain waits for.
        runtime.spawn(async move {
            connection.enter(Stage::Closing);
            let _ = tokio::time::timeout(LINGER, drain(socket)).await;
        });
    }
}

/// Drops what the client still sends, until the client has read the answer and
/// closes.
async fn drain(mut socket: Socket) -> io::Result<()> {
    socket.shutdown().await?;
    let mut waste = [0; PIECE];
    while socket.read(&mut waste).await? > 0 {}
    Ok(())
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("connection", &self.connection)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}
