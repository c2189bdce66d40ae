//! What is on its way to an endpoint, between the three that move it.
//!
//! pingora puts bytes in and never waits; a task writes what the socket does
//! not take at once; the client's stream is not read while there is much of
//! it. So nobody who also has to read waits for an endpoint that is slow.

use std::io::{self, ErrorKind};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// From here on the client is not read. The pieces that pingora has by then
/// still come: five of at most 64 KiB.
const ENOUGH_BYTES: usize = 256 << 10;

/// Less waits for the flush, so that a head leaves with its body.
const FEW_BYTES: usize = 4096;

/// Bytes on their way to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Upload(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Neither written nor taken by the task.
    held: Vec<u8>,
    /// Whether the task is to take what is held.
    due: bool,
    /// Bytes that the task has taken and not written.
    writing: usize,
    finished: bool,
    /// Whether the endpoint has heard the end.
    done: bool,
    failure: Option<ErrorKind>,
    task: Option<Waker>,
    reader: Option<Waker>,
    client: Option<Waker>,
}

impl Upload {
    /// Takes bytes. They leave with the next flush, or when they are many.
    ///
    /// # Errors
    /// The one that ended the writing.
    pub(crate) fn put(&self, bytes: &[u8], socket: &TcpStream) -> io::Result<()> {
        let mut state = self.state();
        // After a failure nobody would take them.
        if state.failure.is_none() {
            state.held.extend_from_slice(bytes);
        }
        if state.held.len() > FEW_BYTES {
            state.send(socket);
        }
        state.failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Sends what is held.
    pub(crate) fn flush(&self, socket: &TcpStream) {
        self.state().send(socket);
    }

    /// Lets the endpoint hear the end, after the last byte; ready when it has,
    /// or when it is not going to.
    pub(crate) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.done || state.failure.is_some() {
            return Poll::Ready(());
        }
        state.finished = true;
        wake(&mut state.task);
        wait(&mut state.reader, cx)
    }

    /// Nothing more is written.
    pub(crate) fn abandon(&self) {
        self.state().fail(ErrorKind::NotConnected);
    }

    /// Ready when the client may be read.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.held.len() + state.writing < ENOUGH_BYTES {
            return Poll::Ready(());
        }
        wait(&mut state.client, cx)
    }

    /// Ready when the endpoint took nothing for too long. Another error of
    /// writing is for the writer alone: there may be an answer to read.
    pub(crate) fn poll_stalled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.failure == Some(ErrorKind::TimedOut) {
            return Poll::Ready(());
        }
        wait(&mut state.reader, cx)
    }

    /// Writes what is put in, until the end. Each write may take `patience`.
    pub(crate) async fn write(&self, mut socket: OwnedWriteHalf, patience: Duration) {
        let mut piece = Vec::new();
        while std::future::poll_fn(|cx| self.poll_take(cx, &mut piece)).await {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let failure = match tokio::time::timeout(patience, socket.write(rest)).await {
                    Ok(Ok(written @ 1..)) => {
                        rest = &rest[written..];
                        let mut state = self.state();
                        state.writing = state.writing.saturating_sub(written);
                        wake(&mut state.client);
                        continue;
                    }
                    Ok(Ok(0)) => ErrorKind::WriteZero,
                    Ok(Err(error)) => error.kind(),
                    Err(_) => ErrorKind::TimedOut,
                };
                return self.state().fail(failure);
            }
        }
        let _ = socket.shutdown().await;
        let mut state = self.state();
        state.done = true;
        wake(&mut state.reader);
    }

    /// Takes what is held in exchange for `piece`; false is the end.
    fn poll_take(&self, cx: &mut Context<'_>, piece: &mut Vec<u8>) -> Poll<bool> {
        let mut state = self.state();
        let due = mem::take(&mut state.due) || state.finished;
        if due && !state.held.is_empty() {
            piece.clear();
            mem::swap(piece, &mut state.held);
            state.writing = piece.len();
            return Poll::Ready(true);
        }
        if state.finished || state.failure.is_some() {
            return Poll::Ready(false);
        }
        wait(&mut state.task, cx).map(|()| true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes at once what the socket takes; the rest is for the task.
    fn send(&mut self, socket: &TcpStream) {
        if self.failure.is_some() || self.held.is_empty() || self.due {
            return;
        }
        if self.writing == 0 {
            match socket.try_write(&self.held) {
                Ok(written) => drop(self.held.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return self.fail(error.kind()),
            }
        }
        if !self.held.is_empty() {
            self.due = true;
            wake(&mut self.task);
        }
    }

    fn fail(&mut self, failure: ErrorKind) {
        self.failure = Some(failure);
        self.held = Vec::new();
        self.writing = 0;
        wake(&mut self.task);
        wake(&mut self.reader);
        wake(&mut self.client);
    }
}

fn wait(waiting: &mut Option<Waker>, cx: &Context<'_>) -> Poll<()> {
    match waiting {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waiting = Some(cx.waker().clone()),
    }
    Poll::Pending
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::net::tcp::OwnedReadHalf;

    use super::*;

    /// An upload, what its endpoint holds, and the socket that it is put into.
    async fn upload(patience: Duration) -> (Arc<Upload>, TcpStream, OwnedReadHalf) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let near = TcpStream::connect(address).await.expect("connect");
        let (far, _) = listener.accept().await.expect("accept");
        let (reading, writing) = near.into_split();
        let upload = Arc::new(Upload::default());
        let to_write = upload.clone();
        tokio::spawn(async move { to_write.write(writing, patience).await });
        (upload, far, reading)
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn every_byte_arrives_in_order_however_it_is_put_in() {
        let (upload, mut far, near) = upload(PATIENCE).await;
        let wanted: Vec<u8> = (0..20_usize << 20)
            .map(|index| (index * 31 % 251) as u8)
            .collect();
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.expect("read");
            got
        });
        let mut rest = &wanted[..];
        for size in (1..=65_536).step_by(997).cycle() {
            poll_fn(|cx| upload.poll_room(cx)).await;
            let (piece, left) = rest.split_at(size.min(rest.len()));
            upload.put(piece, near.as_ref()).expect("put");
            if size % 3 == 0 {
                upload.flush(near.as_ref());
            }
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        poll_fn(|cx| upload.poll_finish(cx)).await;
        assert!(reader.await.expect("reader") == wanted);
    }

    #[tokio::test]
    async fn an_endpoint_that_takes_nothing_is_waited_for_outside_and_not_for_ever() {
        let (upload, far, near) = upload(Duration::from_millis(200)).await;
        let mut put = 0;
        let full = poll_fn(|cx| {
            while upload.poll_room(cx).is_ready() {
                match upload.put(&[b'a'; 65_536], near.as_ref()) {
                    Ok(()) => put += 65_536,
                    Err(error) => return Poll::Ready(error.kind()),
                }
            }
            Poll::Pending
        });
        assert_eq!(full.await, ErrorKind::TimedOut);
        assert!(put > ENOUGH_BYTES, "the sockets took some: {put}");
        poll_fn(|cx| upload.poll_stalled(cx)).await;
        drop(far);
    }

    #[tokio::test]
    async fn an_endpoint_that_has_gone_is_an_error_of_writing_only() {
        let (upload, far, near) = upload(PATIENCE).await;
        drop(far);
        let refused = async {
            while upload.put(&[b'a'; 65_536], near.as_ref()).is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, refused)
            .await
            .expect("an error");
        poll_fn(|cx| upload.poll_room(cx)).await;
        let stalled = poll_fn(|cx| Poll::Ready(upload.poll_stalled(cx).is_ready()));
        assert!(!stalled.await);
    }

    #[tokio::test]
    async fn few_bytes_wait_for_the_flush() {
        let (upload, mut far, near) = upload(PATIENCE).await;
        upload.put(b"head", near.as_ref()).expect("put");
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let kind = far.try_read(&mut [0]).expect_err("nothing was sent").kind();
        assert_eq!(kind, ErrorKind::WouldBlock);
        upload.flush(near.as_ref());
        let mut got = [0; 4];
        far.read_exact(&mut got).await.expect("read");
        assert_eq!(&got, b"head");
    }
}
