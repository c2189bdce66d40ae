//! What follows a switch of protocols: bytes both ways, until both sides have ended. Who ends its side may still read.

mod direction;
mod farewell;
mod frames;
mod patient;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::exchange::Exchange;
use crate::wire::Wire;
use direction::{Direction, Ended};
use farewell::{Farewell, To};
use patient::Patient;

/// How long it may take to write the end of a tunnel to a side that reads nothing.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long nothing may pass once one side has ended. Whoever left for good is not waited for as long as an open tunnel is.
const HALF_OPEN: Duration = Duration::from_secs(60);

/// The endpoint's side of a connection whose protocol was switched.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) endpoint: Wire,
    /// What the endpoint sent behind its answer.
    pub(crate) early: Bytes,
    pub(crate) exchange: Box<Exchange>,
}

impl Tunnel {
    /// Passes bytes until both sides have ended, or nothing has moved for too long.
    /// `read` is what the client has sent already. A WebSocket also ends when the
    /// gateway does.
    pub(crate) async fn run(self, client: impl AsyncRead + AsyncWrite, read: Bytes) {
        let Tunnel {
            endpoint,
            early,
            exchange,
        } = self;
        let idle_timeout = exchange.tunnel_idle_timeout();
        let stopping = exchange.stops_websocket();
        let passing = Passing {
            exchange,
            moved: Moved::default(),
        };
        let moved = &passing.moved;
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_endpoint, mut to_endpoint) = tokio::io::split(endpoint);
        let farewell = |to| stopping.clone().map(|stopping| Farewell::new(to, stopping));
        let up = Direction {
            from: &mut from_client,
            to: &mut to_endpoint,
            moved: &moved.up,
            farewell: farewell(To::Endpoint),
        };
        let down = Direction {
            from: &mut from_endpoint,
            to: &mut to_client,
            moved: &moved.down,
            farewell: farewell(To::Client),
        };
        tokio::select! {
            () = both(up.pass(&read), down.pass(&early), moved, HALF_OPEN.min(idle_timeout)) => {}
            () = moved.stopped(idle_timeout) => {}
            () = overdue(stopping) => {}
        }
        // Each side that does not know yet is told of the end.
        let told = async { tokio::join!(to_client.shutdown(), to_endpoint.shutdown()) };
        let _ = tokio::time::timeout(LAST_WORD, told).await;
    }

    /// The same over an HTTP/2 stream, once the stream has been switched. The tunnel
    /// ends with the stream, and so with the client's connection.
    pub(crate) async fn run_over(self: Box<Self>, switching: OnUpgrade) {
        if let Ok(client) = switching.await {
            let client = TokioIo::new(client);
            let timeout = self.exchange.server.limits.write_timeout;
            self.run(Patient::new(client, timeout), Bytes::new()).await;
        }
    }
}

/// Runs both directions until both have ended, or one has failed or left.
async fn both(
    up: impl Future<Output = io::Result<Ended>>,
    down: impl Future<Output = io::Result<Ended>>,
    moved: &Moved,
    half_open: Duration,
) {
    let (up, down) = (std::pin::pin!(up), std::pin::pin!(down));
    match select(up, down).await {
        Either::Left((Ok(ended), down)) => rest(ended, down, moved, half_open).await,
        Either::Right((Ok(ended), up)) => rest(ended, up, moved, half_open).await,
        Either::Left((Err(_), _)) | Either::Right((Err(_), _)) => {}
    }
}

/// Runs the direction that has not ended with the other one.
async fn rest(
    ended: Ended,
    other: impl Future<Output = io::Result<Ended>>,
    moved: &Moved,
    half_open: Duration,
) {
    match ended {
        Ended::Closed => drop(other.await),
        Ended::Half => tokio::select! {
            _ = other => {}
            () = moved.stopped(half_open) => {}
        },
        Ended::Left => {}
    }
}

async fn overdue(stopping: Option<watch::Receiver<bool>>) {
    match stopping {
        Some(stopping) => farewell::overdue(stopping).await,
        None => std::future::pending().await,
    }
}

/// A tunnel's request, and the bytes that are counted for it, also when it is cut.
#[derive(Debug)]
struct Passing {
    exchange: Box<Exchange>,
    moved: Moved,
}

impl Drop for Passing {
    fn drop(&mut self) {
        let Moved { up, down } = &self.moved;
        self.exchange
            .tunnelled(up.load(Relaxed), down.load(Relaxed));
    }
}

/// Bytes that have passed.
#[derive(Debug, Default)]
struct Moved {
    up: AtomicU64,
    down: AtomicU64,
}

impl Moved {
    /// Waits until nothing has passed for `idle_timeout`. It looks once in each such
    /// time, so the wait may be twice as long.
    async fn stopped(&self, idle_timeout: Duration) {
        let mut before = None;
        loop {
            let now = (self.up.load(Relaxed), self.down.load(Relaxed));
            if before == Some(now) {
                return;
            }
            before = Some(now);
            tokio::time::sleep(idle_timeout).await;
        }
    }
}
