//! How many bytes of a message the gateway holds while the other side takes
//! none: `limits.buffer_bytes` each way of a request.
//!
//! Such bytes wait to be written, or, on HTTP/2, to be read. The rest of the bound
//! is for pieces in between: the one that fills a queue, the one that is handed
//! over, the one that was read, and the one that TLS has encrypted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pailou_config::LimitSettings;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// The most bytes that are read at once. The HTTP engine allocates powers of two,
/// and doubles a buffer when a read fills it. One byte less never fills it.
/// A piece that is held keeps the whole buffer of its read.
const PIECE: u64 = (16 << 10) - 1;

/// Plain text that TLS takes before its records are written: one record.
pub(crate) const TLS_BYTES: usize = 16 << 10;

/// Pieces beside a queue, each counted as the power of two that it is read into.
const BESIDE: usize = 4 * (16 << 10);

/// Where a message is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    /// Bytes that wait for a client, and a client's window of HTTP/2. A request's
    /// head has room here.
    pub(crate) client: usize,
    /// The same for an endpoint, with room for a response's head. It is a piece less,
    /// so that a window on one side and a queue on the other stay within the bound.
    pub(crate) endpoint: usize,
}

impl Buffers {
    pub(crate) fn of(limits: &LimitSettings) -> Buffers {
        let client = limits.buffer_bytes - BESIDE;
        Buffers {
            client,
            endpoint: client - (16 << 10),
        }
    }
}

/// Reads at most a piece.
pub(crate) fn poll_piece(
    from: impl AsyncRead + Unpin,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    Pin::new(&mut from.take(PIECE)).poll_read(cx, buffer)
}
