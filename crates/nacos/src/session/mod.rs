//! The session of one namespace: connects, stays connected, and keeps the server told.

pub(crate) mod answers;
mod audit;
mod backoff;
mod live;
mod replay;
mod retries;
mod stream;

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use self::{backoff::Backoff, live::End};
use crate::{core::Core, error::Error, options::ServerAddress};

/// Runs until the client is closed.
pub(crate) async fn run(core: Arc<Core>) {
    let _alarm = Alarm(&core);
    let servers = &core.options.servers;
    let mut random = fastrand::Rng::new();
    // A random start spreads many clients over the servers of a cluster.
    let mut at = random.usize(..servers.len().max(1));
    let mut backoff = Backoff::new(servers.len());
    let mut epoch = 0;
    if servers.is_empty() {
        return core.disconnected(Some(&Error::Invalid("no Nacos server is named")));
    }
    loop {
        let server = &servers[at];
        let begun = Instant::now();
        let end = tokio::select! {
            end = live::connect_and_serve(&core, server, &mut epoch) => end,
            // While there is no connection, there is nothing to say farewell to.
            () = closing_unconnected(&core) => End::Closed,
        };
        at = (at + 1) % servers.len();
        match &end {
            End::Closed => {
                core.disconnected(None);
                tracing::debug!(
                    namespace = core.options.namespace,
                    "the Nacos session is closed"
                );
                return;
            }
            End::NeverConnected(error) => {
                core.counters.failed_connections.increment();
                core.disconnected(Some(error));
                let namespace = &core.options.namespace;
                tracing::warn!(namespace, %server, %error, "no connection to Nacos");
            }
            End::Lost(error) => {
                core.counters.lost_connections.increment();
                core.disconnected(Some(error));
                let namespace = &core.options.namespace;
                tracing::warn!(namespace, %server, epoch, %error, "the connection to Nacos was lost");
            }
            End::Reset(hint) => {
                core.counters.lost_connections.increment();
                core.disconnected(None);
                at = position(servers, hint.as_ref()).unwrap_or(at);
                let (namespace, next) = (&core.options.namespace, &servers[at]);
                tracing::info!(namespace, %server, epoch, %next, "Nacos sent us to another server");
            }
        }
        backoff.lived(begun.elapsed(), !matches!(end, End::NeverConnected(_)));
        tokio::select! {
            () = sleep(backoff.pause(&mut random)) => {}
            () = core.closing() => {}
        }
    }
}

/// The configured server that a reset names. A server must not be able to send us to anyone else.
fn position(servers: &[ServerAddress], hint: Option<&ServerAddress>) -> Option<usize> {
    servers.iter().position(|server| Some(server) == hint)
}

async fn closing_unconnected(core: &Core) {
    core.closing().await;
    let mut connection = core.connection.subscribe();
    // The sender is ours, so that the wait can only end with the value.
    let _ = connection
        .wait_for(|connection| !connection.connected)
        .await;
}

/// Tells when the session ends in a way that it should not.
struct Alarm<'a>(&'a Core);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let namespace = &self.0.options.namespace;
            tracing::error!(namespace, "the Nacos session ended unexpectedly");
            self.0
                .disconnected(Some(&Error::Lost("the session ended unexpectedly".into())));
        }
    }
}
