//! One client connection, as its stream, its task and the phases of its
//! requests share it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::connections::Connections;
use crate::forwarded::PeerName;
use crate::upload::Upload;

/// What the connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Between requests, or reading a request's head.
    Head = 0,
    /// A request is under way.
    Exchange = 1,
    /// The protocol was switched; bytes pass both ways until either side ends.
    Tunnel = 2,
    /// The answer is out and what the client still sends is thrown away.
    Closing = 3,
}

/// What is being waited for, and so whose fault it is when it does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wait {
    /// Nothing with a deadline.
    Nothing = 0,
    /// The first byte of a request.
    FirstByte = 1,
    /// The rest of a request's head.
    Head = 2,
    /// The next piece of the request's body.
    Body = 3,
    /// The head of the response, over all tries.
    Response = 4,
    /// The next piece of the response's body.
    Gap = 5,
    /// The end of the exchange.
    Total = 6,
    /// The client taking what it is sent.
    Write = 7,
    /// The endpoint taking the request's body.
    Upload = 8,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// By its length; 0 is no body.
    Length(u64),
    /// In chunks.
    Chunked,
}

const NEVER: u64 = u64::MAX;
/// What is left of a body in chunks.
const UNKNOWN: u64 = u64::MAX;

/// The state of one client connection.
///
/// Everything is written by the connection's own task; the registry of
/// connections only looks. So relaxed atomics are enough, and no request
/// takes a lock.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) peer: PeerName,
    opened: Instant,
    stage: AtomicU8,
    /// Whether a byte of the head that is being read has come.
    head_begun: AtomicBool,
    served: AtomicU32,
    body_done: AtomicBool,
    body_refused: AtomicBool,
    /// Bytes of the body that the stream may still hand out.
    body_left: AtomicU64,
    /// Nanoseconds since `opened`.
    due: AtomicU64,
    awaited: AtomicU8,
    total_due: AtomicU64,
    gap: AtomicU64,
    expired: AtomicU8,
    lingers: AtomicBool,
    /// Where the bytes of the request under way go, if they may be many.
    upload: ArcSwapOption<Upload>,
    registry: Weak<Connections>,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        first_byte: Duration,
        registry: Weak<Connections>,
    ) -> Connection {
        let connection = Connection {
            id,
            peer: PeerName::new(peer.ip()),
            opened: Instant::now(),
            stage: AtomicU8::new(Stage::Head as u8),
            head_begun: AtomicBool::new(false),
            served: AtomicU32::new(0),
            body_done: AtomicBool::new(true),
            body_refused: AtomicBool::new(false),
            body_left: AtomicU64::new(0),
            due: AtomicU64::new(NEVER),
            awaited: AtomicU8::new(Wait::Nothing as u8),
            total_due: AtomicU64::new(NEVER),
            gap: AtomicU64::new(NEVER),
            expired: AtomicU8::new(Wait::Nothing as u8),
            lingers: AtomicBool::new(false),
            upload: ArcSwapOption::empty(),
            registry,
        };
        connection.expect(Wait::FirstByte, connection.opened + first_byte);
        connection
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Head,
            1 => Stage::Exchange,
            2 => Stage::Tunnel,
            _ => Stage::Closing,
        }
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    pub(crate) fn head_begun(&self) -> bool {
        self.head_begun.load(Relaxed)
    }

    /// Marks that the first byte of a head has come.
    pub(crate) fn begin_head(&self) {
        self.head_begun.store(true, Relaxed);
    }

    /// The head is read; a request is under way, with this body. No deadline
    /// is set yet.
    pub(crate) fn begin_exchange(&self, body: Body) {
        self.stage.store(Stage::Exchange as u8, Relaxed);
        let left = match body {
            Body::Length(bytes) => bytes,
            Body::Chunked => UNKNOWN,
        };
        self.body_left.store(left, Relaxed);
        self.body_done.store(left == 0, Relaxed);
        self.total_due.store(NEVER, Relaxed);
        self.gap.store(NEVER, Relaxed);
        self.expect_nothing();
    }

    /// Whether the whole request body has been read: the client has nothing
    /// to say until the response is out.
    pub(crate) fn body_done(&self) -> bool {
        self.body_done.load(Relaxed)
    }

    /// How many of the next `bytes` on the wire are the body's, unless it is in
    /// chunks.
    pub(crate) fn take_body(&self, bytes: usize) -> usize {
        if self.stage() != Stage::Exchange {
            return bytes;
        }
        let left = self.body_left.load(Relaxed);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes);
        self.body_left.store(left - taken as u64, Relaxed);
        taken
    }

    /// Whether a body in chunks is being read.
    pub(crate) fn is_chunked(&self) -> bool {
        self.stage() == Stage::Exchange && self.body_left.load(Relaxed) == UNKNOWN
    }

    /// The last chunk has been read.
    pub(crate) fn end_chunks(&self) {
        self.body_left.store(0, Relaxed);
    }

    /// What came of the body is not what it has to be.
    pub(crate) fn refuse_body(&self) {
        self.body_refused.store(true, Relaxed);
    }

    pub(crate) fn body_refused(&self) -> bool {
        self.body_refused.load(Relaxed)
    }

    pub(crate) fn end_body(&self) {
        self.body_done.store(true, Relaxed);
    }

    /// A try began whose bytes may be many: the client is read as fast as the
    /// endpoint takes them.
    pub(crate) fn begin_upload(&self, upload: Arc<Upload>) {
        self.upload.store(Some(upload));
    }

    /// Ready when the client may be read.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &*self.upload.load() {
            Some(upload) => upload.poll_room(cx),
            None => Poll::Ready(()),
        }
    }

    /// The whole answer has come. What the client still sends of its request is
    /// of no use to an endpoint that does not take it, and is thrown away.
    pub(crate) fn end_response(&self) {
        if self.stage() == Stage::Exchange
            && !self.body_done()
            && let Some(upload) = &*self.upload.load()
        {
            upload.abandon();
        }
    }

    /// The protocol has been switched; no deadline applies any more but the
    /// one for a client that takes nothing.
    pub(crate) fn begin_tunnel(&self) {
        self.stage.store(Stage::Tunnel as u8, Relaxed);
        self.total_due.store(NEVER, Relaxed);
        self.expect_nothing();
    }

    /// The exchange is over and the connection is kept for the next request.
    pub(crate) fn await_next(&self, until: Instant) {
        self.served.fetch_add(1, Relaxed);
        self.head_begun.store(false, Relaxed);
        self.total_due.store(NEVER, Relaxed);
        self.stage.store(Stage::Head as u8, Relaxed);
        self.expect(Wait::FirstByte, until);
    }

    pub(crate) fn begin_closing(&self) {
        self.stage.store(Stage::Closing as u8, Relaxed);
    }

    /// Whether the client should be given time to read the answer before the
    /// socket goes: it may still be sending, and closing on unread bytes
    /// resets the connection and destroys the answer.
    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    pub(crate) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    /// Sets the deadline for `wait`; the exchange's own end comes first if it
    /// is earlier.
    pub(crate) fn expect(&self, wait: Wait, at: Instant) {
        let at = self.since_opened(at);
        let total = self.total_due.load(Relaxed);
        let (at, wait) = if total < at {
            (total, Wait::Total)
        } else {
            (at, wait)
        };
        self.due.store(at, Relaxed);
        self.awaited.store(wait as u8, Relaxed);
    }

    pub(crate) fn expect_nothing(&self) {
        self.due.store(self.total_due.load(Relaxed), Relaxed);
        self.awaited.store(Wait::Total as u8, Relaxed);
    }

    /// Sets the end of the whole exchange.
    pub(crate) fn end_exchange_by(&self, at: Instant) {
        self.total_due.store(self.since_opened(at), Relaxed);
    }

    /// The end of the whole exchange, if it has one.
    pub(crate) fn total_due(&self) -> Option<Instant> {
        self.moment(self.total_due.load(Relaxed))
    }

    /// From now on each piece of the response has `gap` to come.
    pub(crate) fn expect_pieces(&self, gap: Duration, now: Instant) {
        self.gap
            .store(u64::try_from(gap.as_nanos()).unwrap_or(NEVER), Relaxed);
        self.expect(Wait::Gap, now + gap);
    }

    /// A piece of the response came, or the client took what it was sent:
    /// the upstream's time starts again.
    pub(crate) fn renew_gap(&self) {
        let gap = self.gap.load(Relaxed);
        if gap != NEVER && self.stage() == Stage::Exchange {
            self.expect(Wait::Gap, Instant::now() + Duration::from_nanos(gap));
        }
    }

    /// The moment until which to wait, if there is one.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.moment(self.due.load(Relaxed))
    }

    pub(crate) fn awaited(&self) -> Wait {
        wait_of(self.awaited.load(Relaxed))
    }

    /// Notes that what was waited for did not come in time.
    pub(crate) fn expire(&self, wait: Wait) {
        self.expired.store(wait as u8, Relaxed);
    }

    /// What did not come in time, if that is how the exchange ended.
    pub(crate) fn expired(&self) -> Option<Wait> {
        Some(wait_of(self.expired.load(Relaxed))).filter(|wait| *wait != Wait::Nothing)
    }

    /// Whether closing now would cost nobody an answer: between requests. A
    /// new connection has a moment to send its first one.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        const FIRST_REQUEST: Duration = Duration::from_secs(1);
        self.stage() == Stage::Head
            && !self.head_begun()
            && (self.served.load(Relaxed) > 0 || now.duration_since(self.opened) > FIRST_REQUEST)
    }

    /// Whether a client is owed something.
    pub(crate) fn is_busy(&self) -> bool {
        match self.stage() {
            Stage::Head => self.head_begun(),
            Stage::Exchange | Stage::Tunnel => true,
            Stage::Closing => false,
        }
    }

    fn moment(&self, since_opened: u64) -> Option<Instant> {
        (since_opened != NEVER).then(|| self.opened + Duration::from_nanos(since_opened))
    }

    fn since_opened(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.opened).as_nanos()).unwrap_or(NEVER)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.release(self.id, self.peer.address, std::thread::panicking());
        }
    }
}

fn wait_of(value: u8) -> Wait {
    match value {
        1 => Wait::FirstByte,
        2 => Wait::Head,
        3 => Wait::Body,
        4 => Wait::Response,
        5 => Wait::Gap,
        6 => Wait::Total,
        7 => Wait::Write,
        8 => Wait::Upload,
        _ => Wait::Nothing,
    }
}

/// A connection as its holders share it.
pub(crate) type Shared = Arc<Connection>;
