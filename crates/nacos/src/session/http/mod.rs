//! A time of being served over HTTP: what gRPC does by pushes and by the connection's life, done by polls and beats.

mod beats;
mod configs;
mod services;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    live::{self, End, Prepared},
    replay::{self, Replay},
};
use crate::{
    core::Core,
    error::Error,
    link::Link,
    model::{Instance, ServiceName},
    options::ServerAddress,
    over_http::Http,
};

/// How long an own instance may take to be registered over gRPC before its registration over HTTP is left to expire.
const HAND_OVER: Duration = Duration::from_secs(10);

/// How often it is looked whether it has been.
const HAND_OVER_LOOK: Duration = Duration::from_millis(50);

/// The first pause before gRPC is tried again; it doubles up to the one of the options.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How often polls and beats look what is due.
const TICK: Duration = Duration::from_millis(200);

/// How it ended.
pub(super) enum HttpEnd<'a> {
    /// As a connection ends.
    Ended(End),
    /// A server can be reached over gRPC again; nothing was lost meanwhile.
    Prepared(Box<Prepared<'a>>, Predecessor),
}

/// What a time over HTTP leaves to its successor: own instances that were registered over HTTP.
pub(super) struct Predecessor {
    link: Link,
    instances: Vec<(ServiceName, Instance)>,
}

/// Serves over HTTP until the server is gone or gRPC is back.
pub(super) async fn serve<'a>(
    core: &'a Core,
    http: Arc<Http>,
    server: &ServerAddress,
    epoch: u64,
) -> HttpEnd<'a> {
    let link = Link::over_http(http.clone(), core, epoch);
    core.connected(link.clone(), server.to_string());
    core.login.server_arrived();
    let (namespace, transport) = (&core.options.namespace, link.transport().as_str());
    if core.options.log_connections {
        tracing::info!(namespace, %server, epoch, transport, "connected to Nacos");
    }
    tokio::select! {
        error = live::keep_alive(core, &link) => HttpEnd::Ended(End::Lost(error)),
        never = Replay::new(core, &link).run() => match never {},
        never = services::run(core, &link) => match never {},
        never = configs::run(core, &link, &http) => match never {},
        never = beats::run(core, &link, &http) => match never {},
        prepared = back_to_grpc(core, epoch + 1) => {
            let instances = core.desired.own_instances();
            HttpEnd::Prepared(Box::new(prepared), Predecessor { link, instances })
        }
        () = live::farewell(core) => HttpEnd::Ended(End::Closed),
    }
}

/// Tries gRPC again and again, at every server: soon at first, since a server that was frozen or started just now speaks it in
/// a moment, and then as often as the options say.
async fn back_to_grpc(core: &Core, epoch: u64) -> Prepared<'_> {
    let mut pause = FIRST_RETRY;
    loop {
        let longest = core.options.grpc_retry_interval;
        sleep(pause.min(longest)).await;
        pause = pause.saturating_mul(2).min(longest);
        for server in &core.options.servers {
            match live::prepare(core, server, epoch).await {
                Ok(prepared) => return prepared,
                Err(error) => tracing::debug!(%server, %error, "still no gRPC to Nacos"),
            }
        }
    }
}

impl Predecessor {
    /// Deregisters over HTTP what is registered over gRPC by now. In this order no one misses the instance.
    pub(super) async fn retire(self, core: &Core) -> Infallible {
        for (name, instance) in self.instances {
            let confirmed = async {
                while !core.desired.is_confirmed_or_gone(&name) {
                    sleep(HAND_OVER_LOOK).await;
                }
            };
            if timeout(HAND_OVER, confirmed).await.is_err() {
                continue;
            }
            if let Err(error) = replay::deregister(core, &self.link, &name, &instance).await {
                tracing::debug!(service = %name, %error, "an instance over HTTP is left to expire");
            }
        }
        std::future::pending().await
    }
}

/// Why the present attempt at gRPC counts as one at a port that cannot be reached: nothing, or nothing sensible, came.
/// A server that refuses is there and may only be starting.
pub(super) fn is_out_of_reach(error: &Error) -> bool {
    !matches!(
        error,
        Error::Starting | Error::Overloaded | Error::Forbidden { .. } | Error::Closed
    )
}
