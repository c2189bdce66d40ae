//! What follows a switch of protocols: bytes both ways, until either side ends.

mod patient;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::exchange::Exchange;
use crate::wire::Wire;
use patient::Patient;

/// Bytes of each direction that are on their way at once.
const BUFFER_BYTES: usize = 16 << 10;

/// The endpoint's side of a connection whose protocol was switched.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) endpoint: Wire,
    /// What the endpoint sent behind its answer.
    pub(crate) early: Bytes,
    pub(crate) exchange: Box<Exchange>,
}

impl Tunnel {
    /// Passes bytes until one side ends, or nothing has moved for too long.
    /// `read` is what the client has sent already.
    pub(crate) async fn run(self, client: impl AsyncRead + AsyncWrite, read: Bytes) {
        let Tunnel {
            endpoint,
            early,
            mut exchange,
        } = self;
        let idle_timeout = exchange.tunnel_idle_timeout();
        let moved = Moved::default();
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_endpoint, mut to_endpoint) = tokio::io::split(endpoint);
        let up = pass(&mut from_client, &mut to_endpoint, read, &moved.up);
        let down = pass(&mut from_endpoint, &mut to_client, early, &moved.down);
        tokio::select! {
            _ = up => {}
            _ = down => {}
            () = moved.stopped(idle_timeout) => {}
        }
        exchange.tunnelled(moved.up.load(Relaxed), moved.down.load(Relaxed));
    }

    /// The same over a stream of HTTP/2, as soon as it has been switched. It ends
    /// with the stream, and so with the client's connection.
    pub(crate) async fn run_over(self: Box<Self>, switching: OnUpgrade) {
        if let Ok(client) = switching.await {
            let client = TokioIo::new(client);
            let timeout = self.exchange.server.limits.write_timeout;
            self.run(Patient::new(client, timeout), Bytes::new()).await;
        }
    }
}

/// Bytes that have passed.
#[derive(Debug, Default)]
struct Moved {
    up: AtomicU64,
    down: AtomicU64,
}

impl Moved {
    /// Waits until nothing has passed for so long. It looks once in each such
    /// time, so it may take up to twice as long.
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

/// Passes bytes one way, `first` before all others, until the end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    first: Bytes,
    moved: &AtomicU64,
) -> io::Result<()> {
    if !first.is_empty() {
        to.write_all(&first).await?;
        to.flush().await?;
        moved.fetch_add(first.len() as u64, Relaxed);
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
        moved.fetch_add(read as u64, Relaxed);
    }
}
