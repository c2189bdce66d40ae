//! The client's socket as pingora reads and writes it.
//!
//! pingora 0.9.1 times each read of a head on its own, has no deadline for an
//! exchange and none for a client that stops reading. So every deadline on
//! the client's side, and those of the whole exchange, live here, behind one
//! timer per connection: while a request is under way pingora always polls
//! this stream to see whether the client has gone, and so the stream is where
//! time can run out.

mod body;
mod chunks;
mod head;
mod stream;

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pingora::protocols::{IO, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::cause::Cause;
use crate::connection::{Shared, Stage, Wait};
use crate::edge::chunks::ChunkScan;
use crate::edge::head::{Head, HeadScan};
use crate::out::Out;

/// How long a client may go on sending after an answer that ended its
/// request early, and may so read that answer.
const LINGER: Duration = Duration::from_secs(3);

/// pingora parses no more fields than this, and would answer 400. A lower limit
/// is kept once the head is parsed.
const MAX_FIELDS: usize = 256;

/// The limits on a client, and who hears of a head that broke them.
pub(crate) trait ClientRules: Send + Sync {
    /// Bytes of a whole head.
    fn head_bytes(&self) -> usize;
    /// Bytes of a request line.
    fn request_line_bytes(&self) -> usize;
    /// How long a head may take from its first byte.
    fn head_timeout(&self) -> Duration;
    /// How long a client may send nothing of its body.
    fn body_timeout(&self) -> Duration;
    /// How long a client may take nothing of what it is sent.
    fn write_timeout(&self) -> Duration;
    /// The bytes that answer a request whose head was refused. Called once
    /// per refusal, so it also keeps the count.
    fn refusal(&self, connection: &Shared, cause: Cause) -> Vec<u8>;
}

/// A client's connection under pingora.
pub(crate) struct Edge {
    /// Taken only when the stream is dropped.
    socket: Option<TcpStream>,
    out: Out,
    /// What was read past the end of a head, a chunk or a body. pingora is
    /// never given a byte that belongs to a later request.
    ahead: BytesMut,
    /// Whether a piece of a body was handed out since this stream last waited.
    gave: bool,
    timer: Pin<Box<Sleep>>,
    write_due: Option<Instant>,
    head: HeadScan,
    head_bytes: usize,
    chunks: ChunkScan,
    refused: bool,
    /// Whether the client was not read since the endpoint is slower.
    held_up: bool,
    connection: Shared,
    rules: Arc<dyn ClientRules>,
}

impl Edge {
    pub(crate) fn new(socket: TcpStream, connection: Shared, rules: Arc<dyn ClientRules>) -> Edge {
        let first = connection
            .due()
            .unwrap_or_else(|| connection.opened() + rules.head_timeout());
        Edge {
            socket: Some(socket),
            out: Out::default(),
            ahead: BytesMut::new(),
            gave: false,
            timer: Box::pin(tokio::time::sleep_until(first)),
            write_due: None,
            head: HeadScan::default(),
            head_bytes: 0,
            chunks: ChunkScan::default(),
            refused: false,
            held_up: false,
            connection,
            rules,
        }
    }

    /// The connection under a stream that pingora holds.
    pub(crate) fn connection_of(stream: &dyn IO) -> Option<&Shared> {
        stream
            .as_any()
            .downcast_ref::<Edge>()
            .map(|edge| &edge.connection)
    }

    /// The edge that pingora gives back.
    pub(crate) fn of(stream: Stream) -> Option<Box<Edge>> {
        stream.into_any().downcast().ok()
    }

    /// Waits between requests, taking nothing: says whether there is something
    /// to read, or else the client was silent for too long and the connection
    /// is to end. Cancel safe.
    pub(crate) async fn begun(&mut self) -> bool {
        poll_fn(|cx| self.poll_begun(cx)).await
    }

    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        // That the client has gone, or that the socket is broken, shows when
        // it is read.
        if !self.ahead.is_empty() || socket(&mut self.socket).poll_read_ready(cx).is_ready() {
            return Poll::Ready(true);
        }
        ready!(self.poll_due(cx));
        Poll::Ready(false)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.refused {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if !self.connection.head_begun() {
            self.head_bytes = 0;
            self.head = HeadScan::default();
            self.chunks = ChunkScan::default();
        } else if self.head_bytes > self.rules.head_bytes() {
            return self.refuse(Cause::HeadTooLarge);
        }
        let before = buf.filled().len();
        match self.poll_fill(cx, buf) {
            Poll::Ready(Ok(())) => self.take_head(buf, before),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if self.connection.head_begun() && self.connection.awaited() != Wait::Head {
                    let due = Instant::now() + self.rules.head_timeout();
                    self.connection.expect(Wait::Head, due);
                }
                match ready!(self.poll_due(cx)) {
                    // Silence between requests is no fault: the connection ends.
                    Wait::FirstByte => Poll::Ready(Ok(())),
                    _ => self.refuse(Cause::HeadTimeout),
                }
            }
        }
    }

    /// Looks at what has just been read of a head, and holds back what is not
    /// of it.
    fn take_head(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> Poll<io::Result<()>> {
        let read = &buf.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.connection.begin_head();
        let scanned = self.head.scan(read);
        if self.head.first_line_bytes() > self.rules.request_line_bytes() {
            return self.refuse(Cause::RequestLineTooLong);
        }
        if self.head.fields() > MAX_FIELDS {
            return self.refuse(Cause::HeadTooLarge);
        }
        match scanned {
            Head::Malformed => return self.refuse(Cause::MalformedHead),
            Head::Open => self.head_bytes += read.len(),
            Head::Ended(at) => {
                self.head_bytes += at;
                self.hold_back(buf, before + at);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with an error at `due`.
    fn poll_expired<T>(
        &mut self,
        cx: &mut Context<'_>,
        due: Instant,
        wait: Wait,
    ) -> Poll<io::Result<T>> {
        ready!(self.poll_until(cx, due));
        Poll::Ready(Err(self.expired(wait)))
    }

    /// What a read or a write that took too long ends with.
    fn expired(&self, wait: Wait) -> io::Error {
        self.connection.expire(wait);
        io::ErrorKind::TimedOut.into()
    }

    /// Reads what was held back, then the socket.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return socket(&mut self.socket).poll_read(cx, buf);
        }
        let taken = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..taken]);
        self.ahead.advance(taken);
        Poll::Ready(Ok(()))
    }

    /// Keeps what is in `buf` from `end` on for later.
    fn hold_back(&mut self, buf: &mut ReadBuf<'_>, end: usize) {
        let back = &buf.filled()[end..];
        if !back.is_empty() {
            // It comes before what was held back already.
            let later = mem::take(&mut self.ahead);
            self.ahead.extend_from_slice(back);
            self.ahead.extend_from_slice(&later);
            buf.set_filled(end);
        }
    }

    /// Waits for the client to go away, without taking a byte: what a client
    /// sends now is its next request.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        match socket(&mut self.socket).poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(_)) | Poll::Pending => self.poll_expiry(cx),
        }
    }

    /// Nothing came from the client, and so the exchange waits for its
    /// endpoint.
    fn poll_expiry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_sent(cx) {
            return Poll::Ready(error);
        }
        let wait = ready!(self.poll_due(cx));
        Poll::Ready(Err(self.expired(wait)))
    }

    /// Sends what is there of the answer, and is ready only when that fails.
    ///
    /// pingora flushes an answer of known length at its end only; the part
    /// that is here must not wait for the part that is not.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.out.is_empty()
            && let Poll::Ready(Err(error)) = self.out.poll_flush(socket(&mut self.socket), cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    /// Ready when what the connection waits for has not come in time.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Wait> {
        let Some(due) = self.connection.due() else {
            return Poll::Pending;
        };
        ready!(self.poll_until(cx, due));
        Poll::Ready(self.connection.awaited())
    }

    /// Ready at `due`. The timer is set again only when it fires early or is
    /// set too late: deadlines that move on with every request cost nothing.
    fn poll_until(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        if self.timer.deadline() > due {
            self.timer.as_mut().reset(due);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
    }

    /// Answers a request that has no head to speak of, past pingora, and
    /// fails the read.
    fn refuse(&mut self, cause: Cause) -> Poll<io::Result<()>> {
        self.answer_refusal(cause);
        Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
    }

    fn answer_refusal(&mut self, cause: Cause) {
        self.refused = true;
        self.connection.linger();
        let answer = self.rules.refusal(&self.connection, cause);
        // One try: a client whose socket is full right after it connected
        // reads nothing anyway.
        let _ = socket(&mut self.socket).get_mut().try_write(&answer);
    }

    /// After a write or a flush: times a client that takes nothing.
    fn watch_writes<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_pending() {
            let due = *self
                .write_due
                .get_or_insert_with(|| Instant::now() + self.rules.write_timeout());
            return match self.connection.total_due() {
                Some(total) if total < due => self.poll_expired(cx, total, Wait::Total),
                _ => self.poll_expired(cx, due, Wait::Write),
            };
        }
        if self.write_due.take().is_some() {
            self.connection.renew_gap();
        }
        outcome
    }
}

fn socket(socket: &mut Option<TcpStream>) -> Pin<&mut TcpStream> {
    Pin::new(socket.as_mut().expect("the socket is taken only on drop"))
}

impl AsyncRead for Edge {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let edge = self.get_mut();
        match edge.connection.stage() {
            Stage::Head => edge.poll_head(cx, buf),
            Stage::Exchange if edge.connection.body_done() => edge.poll_gone(cx),
            _ => edge.poll_body(cx, buf),
        }
    }
}

impl AsyncWrite for Edge {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let edge = self.get_mut();
        if edge.refused {
            return Poll::Ready(Ok(buf.len()));
        }
        if edge.connection.stage() == Stage::Head {
            // Before a request is under way pingora writes one thing only: its
            // own bare answer to a head that it could not parse.
            edge.answer_refusal(Cause::MalformedHead);
            return Poll::Ready(Ok(buf.len()));
        }
        let written = edge.out.poll_write(socket(&mut edge.socket), cx, buf);
        edge.watch_writes(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let edge = self.get_mut();
        let flushed = edge.out.poll_flush(socket(&mut edge.socket), cx);
        edge.watch_writes(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let edge = self.get_mut();
        let flushed = edge.out.poll_flush(socket(&mut edge.socket), cx);
        ready!(edge.watch_writes(cx, flushed))?;
        socket(&mut edge.socket).poll_shutdown(cx)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if !self.connection.lingers() {
            return;
        }
        let (Some(socket), Ok(runtime)) =
            (self.socket.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let connection = self.connection.clone();
        runtime.spawn(async move {
            connection.begin_closing();
            let _ = tokio::time::timeout(LINGER, drain(socket)).await;
        });
    }
}

/// Throws away what the client still sends, until it has read the answer and
/// closes.
async fn drain(mut socket: TcpStream) -> io::Result<()> {
    socket.shutdown().await?;
    let mut waste = [0; 4096];
    while socket.read(&mut waste).await? > 0 {}
    Ok(())
}
