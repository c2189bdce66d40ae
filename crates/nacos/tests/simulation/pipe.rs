//! The network: pipes that can end, break or freeze.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

use pailou_nacos::{ByteStream, Connecting, ConnectionState, Connector};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::watch,
    time::sleep,
};

use crate::nacos::Nacos;

/// The client's end of a connection, in the hands of whoever makes trouble.
#[derive(Debug, Clone)]
pub(crate) struct Pipe(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    io: Option<DuplexStream>,
    condition: Condition,
    readers: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Condition {
    Sound,
    Reset,
    Frozen,
}

impl Pipe {
    fn new(io: DuplexStream) -> Self {
        Self(Arc::new(Mutex::new(State {
            io: Some(io),
            condition: Condition::Sound,
            readers: Vec::new(),
        })))
    }

    /// Both ends see it: the client an error, the server the end.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.condition = Condition::Reset;
        state.io = None;
        state.readers.drain(..).for_each(Waker::wake);
    }

    /// No end sees it. The bytes under way are lost.
    pub(crate) fn freeze(&self) {
        self.state().condition = Condition::Frozen;
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.state().condition == Condition::Frozen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// What the client reads and writes.
struct End(Pipe);

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.0.state();
        // The news that the client is gone does not come through either.
        if state.condition != Condition::Frozen {
            state.io = None;
        }
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        match (state.condition, &mut state.io) {
            (Condition::Reset, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (Condition::Frozen, _) => Poll::Pending,
            (Condition::Sound, Some(io)) => {
                let result = Pin::new(io).poll_read(context, buffer);
                if result.is_pending() {
                    state.readers = vec![context.waker().clone()];
                }
                result
            }
            (Condition::Sound, None) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        match (state.condition, &mut state.io) {
            (Condition::Frozen, _) => Poll::Ready(Ok(bytes.len())),
            (Condition::Sound, Some(io)) => Pin::new(io).poll_write(context, bytes),
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        match (state.condition, &mut state.io) {
            (Condition::Sound, Some(io)) => Pin::new(io).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// How the client reaches the servers `s0` and `s1`.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) nacos: Nacos,
    /// The client's own account of its connections.
    pub(crate) states: Arc<OnceLock<watch::Receiver<ConnectionState>>>,
}

impl Connector for Network {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let server: usize = host.trim_start_matches('s').parse().expect("s0 or s1");
            let pause = self.nacos.state().dice.u64(1..4);
            sleep(Duration::from_millis(pause)).await;
            if self.nacos.state().is_down(server) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(1 << 18);
            let pipe = Pipe::new(ours);
            if port == 8848 {
                self.nacos.serve_http(server, theirs);
            } else {
                let epoch = self.states.get().map_or(0, |states| states.borrow().epoch);
                self.nacos
                    .serve_grpc(server, theirs, pipe.clone(), epoch + 1);
            }
            Ok(Box::new(End(pipe)) as Box<dyn ByteStream>)
        })
    }
}
