//! One direction of a tunnel.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::farewell::Farewell;

/// Bytes of a direction that are on their way at once.
const BUFFER_BYTES: usize = 16 << 10;

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The sender sends nothing more, and the receiver was told: what comes the other way still passes.
    Half,
    /// The sender has left a WebSocket of which nothing more is awaited.
    Left,
    /// Both have said that their WebSocket is closed.
    Closed,
}

/// Where bytes come from, and where they go.
pub(super) struct Direction<'a, R, W> {
    pub(super) from: &'a mut R,
    pub(super) to: &'a mut W,
    /// Bytes that have passed.
    pub(super) moved: &'a AtomicU64,
    /// Of a WebSocket, how it ends when the gateway does.
    pub(super) farewell: Option<Farewell>,
}

impl<R, W> Direction<'_, R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    /// Passes bytes, `first` before all others, until the end.
    pub(super) async fn pass(mut self, first: &[u8]) -> io::Result<Ended> {
        self.hand_on(first).await?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            if self.farewell.as_ref().is_some_and(Farewell::is_over) {
                return Ok(Ended::Closed);
            }
            match self.read(&mut buffer).await? {
                None => self.hand_on(&[]).await?,
                Some(0) => {
                    self.to.shutdown().await?;
                    let is_last = self.farewell.as_ref().is_some_and(Farewell::is_last);
                    return Ok(if is_last { Ended::Left } else { Ended::Half });
                }
                Some(read) => self.hand_on(&buffer[..read]).await?,
            }
        }
    }

    /// What the sender sends; nothing if the gateway begins to end first.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(farewell) = &mut self.farewell else {
            return self.from.read(buffer).await.map(Some);
        };
        tokio::select! {
            biased;
            () = farewell.begins() => Ok(None),
            read = self.from.read(buffer) => read.map(Some),
        }
    }

    /// Passes on what may pass of these bytes, and a Close frame when it is time.
    async fn hand_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(farewell) = &mut self.farewell else {
            return self.write(bytes).await;
        };
        let (passes, stays) = bytes.split_at(farewell.admit(bytes));
        let close = farewell.close();
        farewell.swallow(stays);
        self.write(passes).await?;
        if let Some(close) = close {
            self.to.write_all(&close).await?;
            self.to.flush().await?;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.to.write_all(bytes).await?;
            self.to.flush().await?;
            self.moved.fetch_add(bytes.len() as u64, Relaxed);
        }
        Ok(())
    }
}
