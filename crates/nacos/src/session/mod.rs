//! The session of one namespace: it connects, stays connected, and tells the server what is wanted.

pub(crate) mod answers;
mod audit;
mod backoff;
mod http;
mod live;
mod pause;
mod replay;
mod retries;
mod stream;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use self::{backoff::Backoff, http::HttpEnd, live::End};
use crate::{
    core::Core, error::Error, options::ServerAddress, over_http::Http, restart::through_panics,
    state::Transport,
};

/// HTTP is tried after this many failed attempts at gRPC in a row, and after one at each server if there are more servers.
const GRPC_ATTEMPTS: usize = 2;

/// How long gRPC may take at a server that answers HTTP. Such a server answers at once or not at all.
const SOON: Duration = Duration::from_secs(1);

/// Runs until the client is closed. A panic costs the connection, and the session begins again.
pub(crate) async fn keep(core: Arc<Core>) {
    let panicked = |error: &str| {
        let namespace = &core.options.namespace;
        tracing::error!(
            namespace,
            error,
            "the Nacos session ended unexpectedly, and begins again"
        );
        core.disconnected(Some(&Error::Lost("the session ended unexpectedly".into())));
    };
    through_panics(|| run(core.clone()), panicked).await;
}

async fn run(core: Arc<Core>) {
    let servers = &core.options.servers;
    let mut random = fastrand::Rng::new();
    if servers.is_empty() {
        return core.disconnected(Some(&Error::Invalid("no Nacos server is named")));
    }
    let mut session = Session {
        core: &core,
        // A random start spreads many clients over the servers of a cluster.
        at: random.usize(..servers.len()),
        // Another one than that of any session before.
        epoch: core.connection.borrow().epoch,
        out_of_reach: 0,
        last: None,
    };
    let mut backoff = Backoff::new(servers.len());
    loop {
        let begun = Instant::now();
        let end = tokio::select! {
            end = session.connect_and_serve() => end,
            // Without a connection there is no server to say farewell to.
            () = closing_unconnected(&core) => End::Closed,
        };
        let server = &servers[session.at];
        session.at = (session.at + 1) % servers.len();
        let epoch = session.epoch;
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
                if core.options.log_connections {
                    tracing::warn!(namespace, %server, %error, "no connection to Nacos");
                }
            }
            End::Lost(error) => {
                core.counters.lost_connections.increment();
                core.disconnected(Some(error));
                let namespace = &core.options.namespace;
                if core.options.log_connections {
                    tracing::warn!(namespace, %server, epoch, %error, "the connection to Nacos was lost");
                }
            }
            End::Reset(hint) => {
                core.counters.lost_connections.increment();
                core.disconnected(None);
                session.at = position(servers, hint.as_ref()).unwrap_or(session.at);
                let (namespace, next) = (&core.options.namespace, &servers[session.at]);
                tracing::info!(namespace, %server, epoch, %next, "Nacos sent us to another server");
            }
        }
        backoff.lived(begun.elapsed(), !matches!(end, End::NeverConnected(_)));
        let failure = match &end {
            End::NeverConnected(error) => Some(error),
            _ => None,
        };
        let backoff = backoff.pause(&mut random);
        tokio::select! {
            next = pause::pause(&core, backoff, failure, &mut random) => {
                session.at = next.unwrap_or(session.at);
            }
            () = core.closing() => {}
        }
    }
}

/// Which server is next, and over which transport. What a server answers to decides, never what it says of itself.
struct Session<'a> {
    core: &'a Core,
    /// The server to try, then the one that is connected.
    at: usize,
    /// Number of the latest connection.
    epoch: u64,
    /// How many attempts at gRPC in a row found nothing to speak to.
    out_of_reach: usize,
    /// How the latest connection spoke.
    last: Option<Transport>,
}

impl<'a> Session<'a> {
    /// One attempt at one server, and the connection's life when it succeeds.
    async fn connect_and_serve(&mut self) -> End {
        // The transport that worked last is tried first, since each attempt at an unreachable gRPC port may take its whole time
        // limit.
        let is_over_http = matches!(self.last, Some(Transport::HttpV1 | Transport::HttpV3));
        if is_over_http && let Ok(http) = Http::find(self.core, self.server()).await {
            return self.serve_http(http).await;
        }
        let error = match live::prepare(self.core, self.server(), self.epoch + 1).await {
            Ok(prepared) => {
                self.connected(Transport::Grpc);
                return live::serve(self.core, prepared, std::future::pending()).await;
            }
            Err(error) => error,
        };
        self.out_of_reach = if http::is_out_of_reach(&error) {
            self.out_of_reach.saturating_add(1)
        } else {
            0
        };
        let is_blocked = self.out_of_reach >= GRPC_ATTEMPTS.max(self.core.options.servers.len());
        if is_blocked
            && !is_over_http
            && self.is_http_as_safe()
            && let Ok(http) = Http::find(self.core, self.server()).await
        {
            // A server that was frozen lets the attempts at gRPC time out and answers HTTP the moment that it goes on. It
            // speaks gRPC then as well.
            return match self.prepare_soon().await {
                Some(prepared) => {
                    self.connected(Transport::Grpc);
                    live::serve(self.core, prepared, std::future::pending()).await
                }
                None => self.serve_http(http).await,
            };
        }
        End::NeverConnected(error)
    }

    /// One more attempt at gRPC, at a server that has just answered over HTTP.
    async fn prepare_soon(&self) -> Option<live::Prepared<'a>> {
        let attempt = live::prepare(self.core, self.server(), self.epoch + 1);
        timeout(SOON, attempt).await.ok()?.ok()
    }

    /// Whether HTTP may take gRPC's place. Plain HTTP must not replace gRPC over TLS, since an attacker who cuts the one
    /// could then read the other.
    fn is_http_as_safe(&self) -> bool {
        let server = self.server();
        let grpc = self.core.network.grpc_address(server);
        server.is_https || grpc.is_none_or(|grpc| !grpc.is_https)
    }

    /// Serves over HTTP, and over gRPC from the moment that it is back.
    async fn serve_http(&mut self, http: Arc<Http>) -> End {
        self.connected(http.transport());
        let served = http::serve(self.core, http, self.server(), self.epoch);
        let (prepared, predecessor) = match served.await {
            HttpEnd::Ended(end) => return end,
            HttpEnd::Prepared(prepared, predecessor) => (prepared, predecessor),
        };
        self.at = position(&self.core.options.servers, Some(prepared.server)).unwrap_or(self.at);
        self.connected(Transport::Grpc);
        live::serve(self.core, *prepared, predecessor.retire(self.core)).await
    }

    /// Counts a new connection, and logs when its transport is not that of the connection before.
    fn connected(&mut self, transport: Transport) {
        self.epoch += 1;
        self.out_of_reach = 0;
        let former = self.last.replace(transport).unwrap_or(Transport::Grpc);
        if former != transport {
            self.core.counters.transport_changes.increment();
            let (from, to) = (former.as_str(), transport.as_str());
            let (namespace, server) = (&self.core.options.namespace, self.server());
            if self.core.options.log_connections {
                tracing::info!(namespace, %server, from, to, "the transport to Nacos changed");
            }
        }
    }

    fn server(&self) -> &'a ServerAddress {
        &self.core.options.servers[self.at]
    }
}

/// The configured server that a reset names. A server must not be able to send us to anyone else.
fn position(servers: &[ServerAddress], hint: Option<&ServerAddress>) -> Option<usize> {
    servers
        .iter()
        .position(|server| hint.is_some_and(|hint| server.is_same_place(hint)))
}

async fn closing_unconnected(core: &Core) {
    core.closing().await;
    let mut connection = core.connection.subscribe();
    // The sender is ours, so that the wait can only end with the value.
    let _ = connection
        .wait_for(|connection| !connection.connected)
        .await;
}
