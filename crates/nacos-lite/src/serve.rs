//! Accepting connections, one task for each, that all end when told so.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{core::Core, faults::Settings, line::Line, ports, state::limits};

/// One of the two halves of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Http,
    Grpc,
}

impl Half {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Half::Http => "HTTP",
            Half::Grpc => "gRPC",
        }
    }

    fn is_blocked(self, faults: &Settings) -> bool {
        self == Half::Grpc && faults.block_grpc
    }
}

/// Pause before a port is tried again that could not be opened or accepted on.
const RETRY: Duration = Duration::from_millis(50);

/// Accepts on one port and serves every connection in its own task, until `stop` is true or closed. The listener, and
/// all connections, are closed when this returns.
pub(crate) async fn run<F>(
    half: Half,
    listener: TcpListener,
    core: Arc<Core>,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(Line, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let mut faults = core.faults.subscribe();
    let begun: Settings = faults.borrow_and_update().clone();
    let mut kills = begun.kills;
    let mut refuse = begun.refuse || half.is_blocked(&begun);
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            Ok(()) = faults.changed() => {
                let settings: Settings = faults.borrow_and_update().clone();
                let is_blocked = half.is_blocked(&settings);
                refuse = settings.refuse || is_blocked;
                if settings.kills != kills || is_blocked {
                    kills = settings.kills;
                    connections.shutdown().await;
                }
            }
            accepted = accept(&mut listener, refuse, half, address) => match accepted {
                // Beyond the bound a connection is closed at once.
                Ok((stream, peer)) if connections.len() < limits::CONNECTIONS => {
                    // Without it small messages wait for the acknowledgement of the one before; failing is harmless.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(Line::new(stream, core.clone()), peer));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot accept a connection");
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Returns once the registry is stopped or dropped.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that it was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for a connection; never gets one, and closes the port, while connections are to be refused.
async fn accept(
    listener: &mut Option<TcpListener>,
    refuse: bool,
    half: Half,
    address: SocketAddr,
) -> std::io::Result<(TcpStream, SocketAddr)> {
    if refuse {
        *listener = None;
        return std::future::pending().await;
    }
    match listener {
        Some(listener) => listener.accept().await,
        None => listener.insert(reopen(half, address).await).accept().await,
    }
}

/// Opens the port again that a fault has closed; nobody else should have it, so it is tried until it works.
async fn reopen(half: Half, address: SocketAddr) -> TcpListener {
    loop {
        match ports::listen(half.name(), address) {
            Ok(listener) => return listener,
            Err(error) => tracing::warn!(%error, "the port cannot be opened again yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
