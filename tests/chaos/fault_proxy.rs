//! A TCP proxy in user space that does to a connection what networks do.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that wait unaccepted. A black hole fills the queue, so it is small; a burst must fit, so it is not smaller.
const BACKLOG: u32 = 64;

/// A connection to loopback that takes this long was dropped, since the queue is full.
const DROPPED: Duration = Duration::from_millis(300);

/// What is done to the connections. It holds for those that exist, too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Each piece of an answer comes later by `by`, and by up to `jitter` more.
    Delay { by: Duration, jitter: Duration },
    /// Connections are accepted, and no byte passes either way. What was sent passes once this is taken back.
    Stall,
    /// A connection is reset once so many more bytes of answers have passed on it.
    ResetAt(u64),
    /// The way back is closed (FIN) once so many more bytes of answers have passed on it; the way there stays open.
    HalfCloseAt(u64),
    /// The packets of new connections are dropped, not refused, and no byte passes on those that exist.
    BlackHole,
}

/// A running proxy, and the handle that changes its fault.
pub(crate) struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy without a fault in front of this address. `seed` decides the jitter.
    pub(crate) fn start(to: SocketAddr, seed: u64) -> FaultProxy {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a free port");
        let listener = socket.listen(BACKLOG).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (fault, faults) = watch::channel(Fault::None);
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let task = tokio::spawn(accept(listener, to, faults, random));
        FaultProxy {
            address,
            fault,
            task,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the fault.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Random = Arc<Mutex<fastrand::Rng>>;

async fn accept(
    listener: TcpListener,
    to: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    random: Random,
) {
    let address = listener.local_addr().expect("an address");
    let mut fillers = HashSet::new();
    loop {
        if *faults.borrow_and_update() == Fault::BlackHole {
            let held = fill(address).await;
            fillers.extend(held.iter().filter_map(|held| held.local_addr().ok()));
            let is_over = |fault: &Fault| *fault != Fault::BlackHole;
            if faults.wait_for(is_over).await.is_err() {
                return;
            }
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            changed = faults.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok((stream, peer)) = accepted else {
            continue;
        };
        if !fillers.remove(&peer) {
            tokio::spawn(pass(stream, to, faults.clone(), Arc::clone(&random)));
        }
    }
}

/// Fills the queue of connections, so that the kernel drops the next ones.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(DROPPED, TcpStream::connect(address)).await {
        held.push(stream);
    }
    held
}

/// A connection was broken, by a peer or by the fault.
struct Reset;

async fn pass(client: TcpStream, to: SocketAddr, faults: watch::Receiver<Fault>, random: Random) {
    let Ok(server) = TcpStream::connect(to).await else {
        let _ = client.set_zero_linger();
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let mut there = Way {
        is_back: false,
        from: client_reads,
        to: server_writes,
        faults: faults.clone(),
        random: Arc::clone(&random),
    };
    let mut back = Way {
        is_back: true,
        from: server_reads,
        to: client_writes,
        faults,
        random,
    };
    let ended = tokio::try_join!(there.run(), back.run());
    if ended.is_err() {
        let _ = there.from.as_ref().set_zero_linger();
        let _ = back.from.as_ref().set_zero_linger();
    }
}

/// One way of a connection.
struct Way {
    is_back: bool,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    faults: watch::Receiver<Fault>,
    random: Random,
}

impl Way {
    /// Passes pieces on until the end, and closes this way.
    async fn run(&mut self) -> Result<(), Reset> {
        let mut piece = vec![0; 16 * 1024];
        let mut passed = 0;
        let mut counted = Fault::None;
        loop {
            let read = self.from.read(&mut piece).await.map_err(|_| Reset)?;
            let fault = self.until_passing().await?;
            if fault != counted {
                (counted, passed) = (fault, 0);
            }
            let mut allowed = read;
            match fault {
                Fault::Delay { by, jitter } if self.is_back => {
                    let share = self.random.lock().expect("a seed").f64();
                    tokio::time::sleep(by + jitter.mul_f64(share)).await;
                }
                Fault::ResetAt(most) | Fault::HalfCloseAt(most) if self.is_back => {
                    let left = usize::try_from(most - passed).unwrap_or(usize::MAX);
                    allowed = read.min(left);
                    passed += allowed as u64;
                }
                _ => {}
            }
            let written = self.to.write_all(&piece[..allowed]).await;
            written.map_err(|_| Reset)?;
            let is_cut = allowed < read;
            if is_cut && matches!(fault, Fault::ResetAt(_)) {
                return Err(Reset);
            }
            if is_cut || read == 0 {
                return self.to.shutdown().await.map_err(|_| Reset);
            }
        }
    }

    /// Waits while no byte may pass, and says which fault is in force then.
    async fn until_passing(&mut self) -> Result<Fault, Reset> {
        let passes = |fault: &Fault| !matches!(fault, Fault::Stall | Fault::BlackHole);
        let fault = self.faults.wait_for(passes).await.map_err(|_| Reset)?;
        Ok(*fault)
    }
}
