//! The write buffer of a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes held back until a flush. A usual head and a small body leave in one
/// packet; a big body is never copied here.
const CAPACITY: usize = 4096;

/// Bytes written and not sent yet.
///
/// Unlike `BufWriter`, what is held and what does not fit leave in one system
/// call: a response head is never sent alone in front of its body.
#[derive(Debug, Default)]
pub(crate) struct Out {
    held: Vec<u8>,
    sent: usize,
}

impl Out {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn poll_write<W: AsyncWrite>(
        &mut self,
        mut socket: Pin<&mut W>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.held.len() + buf.len() <= CAPACITY {
                self.held.extend_from_slice(buf);
                return Poll::Ready(Ok(buf.len()));
            }
            let slices = [IoSlice::new(&self.held[self.sent..]), IoSlice::new(buf)];
            let written = ready!(socket.as_mut().poll_write_vectored(cx, &slices))?;
            match self.took(written)? {
                0 => {}
                of_buf => return Poll::Ready(Ok(of_buf)),
            }
        }
    }

    pub(crate) fn poll_flush<W: AsyncWrite>(
        &mut self,
        mut socket: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(socket.as_mut().poll_write(cx, &self.held[self.sent..]))?;
            self.took(written)?;
        }
        socket.poll_flush(cx)
    }

    /// Accounts for `written` bytes; says how many of them were not held here.
    fn took(&mut self, written: usize) -> io::Result<usize> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let left = self.held.len() - self.sent;
        if written < left {
            self.sent += written;
            return Ok(0);
        }
        self.held.clear();
        self.sent = 0;
        Ok(written - left)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    struct Buffered(Out, DuplexStream);

    impl AsyncWrite for Buffered {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            this.0.poll_write(Pin::new(&mut this.1), cx, buf)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            this.0.poll_flush(Pin::new(&mut this.1), cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().1).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn every_byte_arrives_in_order_through_a_narrow_pipe() {
        for sizes in [
            &[1, 1][..],
            &[100, 5000, 3],
            &[4096, 1],
            &[4000, 97, 20_000, 0, 4097],
        ] {
            let (near, mut far) = duplex(777);
            let wanted: Vec<u8> = (0..sizes.iter().sum::<usize>())
                .map(|index| (index % 251) as u8)
                .collect();
            let reader = tokio::spawn(async move {
                let mut got = Vec::new();
                far.read_to_end(&mut got).await.expect("read");
                got
            });
            let mut writer = Buffered(Out::default(), near);
            let mut rest = &wanted[..];
            for size in sizes {
                let (piece, left) = rest.split_at(*size);
                writer.write_all(piece).await.expect("write");
                rest = left;
            }
            writer.flush().await.expect("flush");
            drop(writer);
            assert_eq!(reader.await.expect("reader"), wanted, "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn a_small_write_waits_for_the_flush() {
        let (near, mut far) = duplex(100);
        let mut writer = Buffered(Out::default(), near);
        writer.write_all(b"head").await.expect("write");
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = far.read(&mut byte) => panic!("nothing was flushed"),
            () = tokio::task::yield_now() => {}
        }
        writer.flush().await.expect("flush");
        assert_eq!(far.read(&mut byte).await.expect("read"), 1);
    }
}
