//! The accept loop, and what a drain does.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_routing::TableCell;
use pailou_telemetry::tasks::{self, Tasks};
use pailou_telemetry::{AccessLog, Metrics, events};
use pailou_upstream::Services;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::arrival::{Arrival, turn_away};
use crate::listen::{BindError, Bound, bind};
use crate::listener::Listener;
use crate::opening::Unopened;
use crate::published_keys;
use crate::server::{ProxyOptions, Server};

/// The proxy's two steps: take the ports, then serve.
///
/// Between them the gateway finds out whether it can serve at all; clients
/// that connect meanwhile wait in the kernel's queue.
#[derive(Debug)]
pub struct Proxy;

impl Proxy {
    /// Listens on each address. Needs a tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be listened on, and why.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<Bound>, BindError> {
        bind(addresses)
    }

    /// Serves requests by the table that is in force when each comes in.
    ///
    /// Nothing is accepted before [`Serving::set_accepting`]. Tasks run on the
    /// current runtime.
    pub fn serve(
        bound: Vec<Bound>,
        options: ProxyOptions,
        table: TableCell,
        metrics: Metrics,
        access_log: AccessLog,
    ) -> Serving {
        let credentials = options.credentials.clone();
        let server = Server::new(options, table, metrics, access_log);
        let (phase, _) = watch::channel(Phase::Waiting);
        let local_addrs = bound.iter().map(Bound::local_addr).collect();
        let acceptors = bound
            .into_iter()
            .map(|bound| {
                let acceptor = Acceptor {
                    socket: bound.socket,
                    listener: Arc::new(bound.listener),
                    server: server.clone(),
                };
                tokio::spawn(acceptor.keep(phase.subscribe()))
            })
            .collect();
        let mut tasks = Tasks::new(&server.metrics);
        let swept = server.clone();
        tasks.keep("idle connections", move || {
            let swept = swept.clone();
            async move { swept.sweep().await }
        });
        let refreshed = server.clone();
        tasks.keep("files of upstream_tls", move || {
            let refreshed = refreshed.clone();
            async move { refreshed.transport.refresh().await }
        });
        if let Some(credentials) = credentials {
            let asking = server.clone();
            tasks.keep("published keys", move || {
                let (credentials, server) = (credentials.clone(), asking.clone());
                async move {
                    let follow = |follower| published_keys::follow(server.clone(), follower);
                    credentials.keep(published_keys::is_asked, follow).await
                }
            });
        }
        Serving {
            local_addrs,
            server,
            phase,
            acceptors,
            _tasks: tasks,
        }
    }
}

/// Whether connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Accepting,
    Stopped,
}

/// A proxy that is running. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Serving {
    local_addrs: Vec<SocketAddr>,
    server: Arc<Server>,
    phase: watch::Sender<Phase>,
    acceptors: Vec<JoinHandle<()>>,
    /// Closes connections to endpoints that nobody needs, takes up renewed files of
    /// TLS to them, and asks for the keys that services publish.
    _tasks: Tasks,
}

impl Serving {
    /// The addresses listened on, in the order they were asked for.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Asks the endpoints that routes want checked, until it is dropped. For a runtime that requests cannot starve.
    pub async fn check(&self, services: Arc<Services>) -> Infallible {
        self.server.clone().check(services).await
    }

    /// Begins to accept connections, or pauses: those that come meanwhile wait
    /// in the kernel's queue. Has no effect after [`Serving::stop_accepting`].
    pub fn set_accepting(&self, accepting: bool) {
        let next = if accepting {
            Phase::Accepting
        } else {
            Phase::Waiting
        };
        self.phase.send_if_modified(|phase| {
            let changes = *phase != Phase::Stopped && *phase != next;
            if changes {
                *phase = next;
            }
            changes
        });
    }

    /// From now on every answer asks its client to close the connection, so
    /// that clients leave by themselves. Everything is still served.
    pub fn begin_drain(&self) {
        self.server.drain();
    }

    /// Takes what is in the kernel's queue, then closes the listeners, and
    /// asks every client to close as [`Serving::begin_drain`] does. Requests
    /// under way go on. Both sides of a WebSocket get a Close frame; it ends when
    /// they have sent theirs, or after 5 s.
    pub fn stop_accepting(&self) {
        self.server.stop();
        self.phase.send_replace(Phase::Stopped);
    }

    /// Requests under way, WebSockets and other tunnels included.
    pub fn in_flight(&self) -> usize {
        self.server.connections.owed()
    }

    /// Open client connections, idle ones included.
    pub fn connections(&self) -> usize {
        self.server.connections.len()
    }

    /// Connections that ended with a panic in their task.
    pub fn panics(&self) -> u64 {
        self.server.connections.panics()
    }

    /// Completes when no client is owed anything any more. After
    /// [`Serving::stop_accepting`] it also closes the connections that are
    /// between requests; a connection that was just accepted has a second to
    /// send its first one. Copies of requests have a second, too.
    ///
    /// There is no deadline in it: put one around it. Cancel safe.
    pub async fn idle(&self) {
        /// A keep-alive connection falls idle without a notice.
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        let connections = &self.server.connections;
        loop {
            let stopped = *self.phase.borrow() == Phase::Stopped;
            let listening = !self.acceptors.iter().all(JoinHandle::is_finished);
            if stopped {
                connections.close_idle();
            }
            let left = if stopped {
                connections.unfinished()
            } else {
                connections.owed()
            };
            if left == 0 && !(stopped && listening) {
                self.server.copies.leave().await;
                return;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, connections.changed()).await;
        }
    }

    /// Cuts every connection that is left; says how many requests were under
    /// way.
    pub fn abort(&self) -> usize {
        self.stop_accepting();
        self.server.connections.close_all()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.acceptors.iter().for_each(JoinHandle::abort);
        self.server.connections.close_all();
    }
}

/// One listener's loop.
struct Acceptor {
    socket: TcpListener,
    listener: Arc<Listener>,
    server: Arc<Server>,
}

impl Acceptor {
    /// Runs until the phase says that it is over. The socket stays open when the
    /// loop panics, and clients wait in the kernel's queue until it goes on.
    async fn keep(self, phase: watch::Receiver<Phase>) {
        let metrics = self.server.metrics.clone();
        let panicked = move |error: &str| {
            let task = "accept";
            events::TaskEnded { task, error }.record(&metrics);
        };
        let acceptor = Arc::new(self);
        tasks::until_done(move || acceptor.clone().run(phase.clone()), panicked).await;
    }

    async fn run(self: Arc<Self>, mut phase: watch::Receiver<Phase>) {
        let mut trouble = Trouble::default();
        loop {
            let current = *phase.borrow_and_update();
            match current {
                Phase::Waiting => {
                    if phase.changed().await.is_err() {
                        return;
                    }
                }
                Phase::Accepting => tokio::select! {
                    changed = phase.changed() => if changed.is_err() { return },
                    accepted = self.socket.accept() => match accepted {
                        Ok((socket, peer)) => self.take(socket, peer),
                        Err(error) => trouble.wait(&error).await,
                    },
                },
                Phase::Stopped => {
                    self.take_queued().await;
                    return;
                }
            }
        }
    }

    /// What has connected already has been promised an answer; closing the
    /// listener would reset it.
    async fn take_queued(&self) {
        let queued = std::future::poll_fn(|cx| match self.socket.poll_accept(cx) {
            std::task::Poll::Ready(accepted) => std::task::Poll::Ready(accepted.ok()),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        });
        tokio::pin!(queued);
        while let Some((socket, peer)) = queued.as_mut().await {
            self.take(socket, peer);
        }
    }

    fn take(&self, socket: TcpStream, peer: SocketAddr) {
        let server = &self.server;
        // Only a hint: a connection without it is slower, not wrong.
        let _ = socket.set_nodelay(true);
        match server.connections.admit() {
            Ok(place) => {
                let id = place.id;
                let arrival = Arrival {
                    server: server.clone(),
                    listener: self.listener.clone(),
                    peer,
                };
                let task = tokio::spawn(arrival.serve(socket, place));
                server.connections.attach(id, task.abort_handle());
            }
            Err(full) => {
                let unopened = Unopened::Full(full);
                server.metrics.connection_refused(unopened.reason());
                turn_away(&self.listener, &self.server.errors, &socket);
            }
        }
    }
}

/// Errors of `accept`. Without descriptors it fails at once, again and again:
/// a wait between gives connections time to close.
#[derive(Default)]
struct Trouble {
    logged: Option<Instant>,
}

impl Trouble {
    async fn wait(&mut self, error: &io::Error) {
        const PAUSE: Duration = Duration::from_millis(50);
        const QUIET: Duration = Duration::from_secs(10);
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
        ) {
            return;
        }
        let now = Instant::now();
        if self
            .logged
            .is_none_or(|last| now.duration_since(last) > QUIET)
        {
            self.logged = Some(now);
            tracing::error!(%error, "connections cannot be accepted");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
