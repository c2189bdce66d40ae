//! One client connection, as its socket, its task and its requests share it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::connections::Connections;
use crate::deadline::Timer;
use crate::edge::Heading;
use crate::forwarded::{PeerName, Scheme};
use crate::listener::Listener;
use crate::opening::Secured;
use crate::proxy_header::Introduction;
use crate::tls::ClientCertificate;
use crate::tunnel::Tunnel;
use crate::websocket::Opening;

/// What the connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Between requests, or reading a request's head.
    Head = 0,
    /// A head was handed to the HTTP engine, which has not made a request of it yet.
    Handed = 1,
    /// A request is under way.
    Exchange = 2,
    /// The protocol was switched; bytes pass both ways until either side ends.
    Tunnel = 3,
    /// The answer is sent, and what the client still sends is dropped.
    Closing = 4,
}

const NEVER: u64 = u64::MAX;

/// How long a drain waits for the opening of a new connection, and then for its
/// first request.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The client, or the proxy that it comes through.
    pub(crate) client: SocketAddr,
    /// Where it connected to.
    pub(crate) local: SocketAddr,
}

#[cfg(test)]
impl Ends {
    /// The ends of a connection from this client to port 80 of this host.
    pub(crate) fn of(client: IpAddr) -> Ends {
        Ends {
            client: (client, 4711).into(),
            local: ([127, 0, 0, 1], 80).into(),
        }
    }
}

/// The state of one client connection.
///
/// Only the connection's own task writes here; the set of connections only
/// reads. So relaxed atomics are enough, and no lock is ever contended.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    /// The client, or the proxy that it comes through.
    pub(crate) peer: PeerName,
    pub(crate) listener: Arc<Listener>,
    ends: Ends,
    /// What the connection was opened on, if it is TLS.
    secured: Option<Arc<Secured>>,
    opened: Instant,
    stage: AtomicU8,
    /// Whether a byte of the head that is being read has come.
    head_begun: AtomicBool,
    served: AtomicU32,
    /// How many requests, and rests of uploads, are under way.
    under_way: AtomicUsize,
    must_close: AtomicBool,
    body_refused: AtomicBool,
    /// Whether the request under way has come to its last byte.
    is_whole: AtomicBool,
    has_interim: AtomicBool,
    switches: AtomicBool,
    rests: AtomicBool,
    /// Whether an exchange has ended since somebody asked.
    ended: AtomicBool,
    lingers: AtomicBool,
    /// When the request under way has to end, in nanoseconds since `opened`.
    cut_at: AtomicU64,
    /// The task, to be woken when something outside changes.
    task: AtomicWaker,
    slots: Mutex<Slots>,
    connections: Weak<Connections>,
    /// Of a stream: the connection that it is a part of.
    parent: Option<Shared>,
}

/// What one part of the connection leaves for another.
#[derive(Debug, Default)]
struct Slots {
    /// From the edge, for the request that comes next.
    heading: Option<Heading>,
    /// From the exchange, for the edge: interim answers, ready to be sent.
    interim: Vec<u8>,
    /// From the exchange, for the connection's task: what follows a 101.
    tunnel: Option<Box<Tunnel>>,
    /// Of a stream, for its exchange: what a 200 is followed by.
    opening: Option<Opening>,
    /// The timer of the last exchange, for the next one, since making a timer costs
    /// more than keeping it.
    timer: Timer,
    /// For the exchange: why its client was cut.
    cut: Option<Cause>,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        ends: Ends,
        listener: Arc<Listener>,
        secured: Option<Arc<Secured>>,
        connections: Weak<Connections>,
    ) -> Connection {
        let peer = PeerName::new(ends.client.ip());
        Connection::with(id, (peer, ends), listener, secured, connections, None)
    }

    /// A stream of this connection. The stream has a state of its own, but the
    /// connection counts what the client is owed and what was served.
    pub(crate) fn stream(self: &Arc<Self>) -> Shared {
        let (listener, secured) = (self.listener.clone(), self.secured.clone());
        let parent = Some(Arc::clone(self));
        let peer = (self.peer.clone(), self.ends);
        let stream = Connection::with(self.id, peer, listener, secured, Weak::new(), parent);
        Arc::new(stream)
    }

    fn with(
        id: u64,
        (peer, ends): (PeerName, Ends),
        listener: Arc<Listener>,
        secured: Option<Arc<Secured>>,
        connections: Weak<Connections>,
        parent: Option<Shared>,
    ) -> Connection {
        Connection {
            id,
            peer,
            ends,
            listener,
            secured,
            opened: Instant::now(),
            stage: AtomicU8::new(Stage::Head as u8),
            head_begun: AtomicBool::new(false),
            served: AtomicU32::new(0),
            under_way: AtomicUsize::new(0),
            must_close: AtomicBool::new(false),
            body_refused: AtomicBool::new(false),
            is_whole: AtomicBool::new(true),
            has_interim: AtomicBool::new(false),
            switches: AtomicBool::new(false),
            rests: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            cut_at: AtomicU64::new(NEVER),
            task: AtomicWaker::new(),
            slots: Mutex::default(),
            connections,
            parent,
        }
    }

    /// The connection itself, also for a stream.
    fn whole_connection(&self) -> &Connection {
        self.parent.as_deref().unwrap_or(self)
    }

    /// What an endpoint is told of a request's client. The port of a client behind a
    /// proxy is unknown.
    pub(crate) fn introduction(&self, client: IpAddr) -> Introduction {
        let port = match client == self.peer.address {
            true => self.ends.client.port(),
            false => 0,
        };
        Introduction::Client {
            source: SocketAddr::new(client, port),
            destination: self.ends.local,
        }
    }

    /// The scheme of the requests on it.
    pub(crate) fn scheme(&self) -> Scheme {
        match self.secured {
            None => Scheme::Http,
            Some(_) => Scheme::Https,
        }
    }

    /// Whether a request for this host may come over it. On TLS, if the listener
    /// says so, the certificate that the client has seen must be for the host.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let secured = self.secured.as_ref();
        secured
            .and_then(|secured| secured.binds_to.as_ref())
            .is_none_or(|certified| certified.names.cover(host))
    }

    /// The certificate that the client showed.
    pub(crate) fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.secured.as_ref()?.client.as_ref()
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Head,
            1 => Stage::Handed,
            2 => Stage::Exchange,
            3 => Stage::Tunnel,
            _ => Stage::Closing,
        }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
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

    /// The edge passes a whole head on.
    pub(crate) fn hand(&self, heading: Heading) {
        self.slots().heading = Some(heading);
        self.enter(Stage::Handed);
    }

    /// The engine has made a request of the head.
    pub(crate) fn begin_exchange(&self) -> Option<Heading> {
        self.enter(Stage::Exchange);
        self.slots().heading.take()
    }

    /// The exchange is over; the connection may serve another.
    pub(crate) fn end_exchange(&self, timer: Timer) {
        self.slots().timer = timer;
        self.whole_connection().served.fetch_add(1, Relaxed);
        self.cut_at.store(NEVER, Relaxed);
        self.ended.store(true, Relaxed);
        if self.stage() == Stage::Exchange {
            self.head_begun.store(false, Relaxed);
            self.enter(Stage::Head);
        }
    }

    /// The timer of the exchange before.
    pub(crate) fn take_timer(&self) -> Timer {
        std::mem::take(&mut self.slots().timer)
    }

    /// Whether an exchange has ended since this was asked last.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed) && self.ended.swap(false, Relaxed)
    }

    /// Sets when the request under way is cut because its client takes nothing.
    pub(crate) fn cut_at(&self, at: Option<Instant>) {
        let at = at.map_or(NEVER, |at| {
            u64::try_from(at.saturating_duration_since(self.opened).as_nanos()).unwrap_or(NEVER)
        });
        self.cut_at.store(at, Relaxed);
    }

    /// When the request under way has to end.
    pub(crate) fn cut_due(&self) -> Option<Instant> {
        let at = self.cut_at.load(Relaxed);
        (at != NEVER).then(|| self.opened + Duration::from_nanos(at))
    }

    /// Notes that the request under way was cut while bytes waited for its client.
    pub(crate) fn cut(&self, cause: Cause) {
        self.slots().cut = Some(cause);
    }

    /// Why the request was cut, if it was.
    pub(crate) fn cut_cause(&self) -> Option<Cause> {
        self.slots().cut
    }

    /// How many requests were served.
    pub(crate) fn served(&self) -> u32 {
        self.whole_connection().served.load(Relaxed)
    }

    /// Notes that the body is malformed.
    pub(crate) fn refuse_body(&self) {
        self.body_refused.store(true, Relaxed);
    }

    /// Says whether the request under way has come to its last byte.
    pub(crate) fn whole(&self, is_whole: bool) {
        self.is_whole.store(is_whole, Relaxed);
    }

    /// Whether the request under way has come to its last byte. The engine cannot
    /// say: for it a body whose connection ends has ended well.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole.load(Relaxed)
    }

    pub(crate) fn body_refused(&self) -> bool {
        self.body_refused.load(Relaxed)
    }

    /// Whether the client should get time to read the answer before the socket is
    /// closed. The client may still be sending, and closing a socket with unread
    /// bytes resets the connection, so that the answer is lost.
    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    pub(crate) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    /// Whether the client has been silent for so long that the HTTP engine is to be
    /// dropped.
    pub(crate) fn rests(&self) -> bool {
        self.rests.load(Relaxed)
    }

    pub(crate) fn rest(&self, rests: bool) {
        if rests {
            drop(self.take_timer());
        }
        self.rests.store(rests, Relaxed);
    }

    /// Sends an interim answer before whatever is sent next.
    pub(crate) fn send_interim(&self, bytes: &[u8]) {
        self.slots().interim.extend_from_slice(bytes);
        self.has_interim.store(true, Relaxed);
        self.task.wake();
    }

    /// Whether there are interim answers to send.
    pub(crate) fn has_interim(&self) -> bool {
        self.has_interim.load(Relaxed)
    }

    /// The interim answers to send.
    pub(crate) fn take_interim(&self) -> Vec<u8> {
        self.has_interim.store(false, Relaxed);
        std::mem::take(&mut self.slots().interim)
    }

    /// Leaves the tunnel that follows the 101.
    pub(crate) fn switch_to(&self, tunnel: Box<Tunnel>) {
        self.slots().tunnel = Some(tunnel);
    }

    /// Of a stream: the client asks for a WebSocket.
    pub(crate) fn may_switch(&self, opening: Opening) {
        self.switches.store(true, Relaxed);
        self.slots().opening = Some(opening);
    }

    /// Whether the client asks for a WebSocket on a stream. Such a client takes any
    /// success for the switch.
    pub(crate) fn switches(&self) -> bool {
        self.switches.load(Relaxed)
    }

    /// What a stream that asks for a WebSocket waits for.
    pub(crate) fn take_opening(&self) -> Option<Opening> {
        self.slots().opening.take()
    }

    pub(crate) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.slots().tunnel.take()
    }

    /// Asks the connection to end as soon as it is between two requests. The
    /// connection itself decides when that is, so that no request is lost between
    /// the decision and the close.
    pub(crate) fn ask_to_close(&self) {
        self.must_close.store(true, Relaxed);
        self.task.wake();
    }

    /// Wakes the task, to look at what has changed outside.
    pub(crate) fn wake(&self) {
        self.task.wake();
    }

    pub(crate) fn must_close(&self) -> bool {
        self.must_close.load(Relaxed)
    }

    /// The task to wake when something outside changes.
    pub(crate) fn waits(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Counts something that the client is owed until the guard is dropped.
    pub(crate) fn owe(self: &Arc<Self>) -> Owed {
        let connection = self.parent.as_ref().unwrap_or(self);
        connection.under_way.fetch_add(1, Relaxed);
        Owed(Arc::clone(connection))
    }

    /// Whether closing now would lose no answer, since the connection is between
    /// requests. A new connection has a moment to send its first request.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.stage() == Stage::Head
            && !self.head_begun()
            && self.under_way.load(Relaxed) == 0
            && (self.served() > 0 || now.duration_since(self.opened) > FIRST_REQUEST)
    }

    /// Requests under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.load(Relaxed) > 0
    }

    /// What the client is owed: requests, tunnels, ends of uploads.
    pub(crate) fn owed(&self) -> usize {
        let under_way = self.under_way.load(Relaxed);
        let reading = self.stage() == Stage::Head && self.head_begun();
        if under_way == 0 && reading {
            return 1;
        }
        under_way
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.upgrade() {
            connections.release(self.id, Some(self.peer.address), std::thread::panicking());
        }
    }
}

/// Something that a client is owed, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Owed(Shared);

impl Drop for Owed {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Relaxed) == 1 {
            // Idle from now on.
            self.0.task.wake();
        }
    }
}

/// A connection as its holders share it.
pub(crate) type Shared = Arc<Connection>;
