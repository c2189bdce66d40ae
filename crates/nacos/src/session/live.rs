//! One connection, from the first byte to its end.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{audit, replay::Replay, stream::Reader};
use crate::{
    core::Core,
    error::Error,
    link::{self, Link, Opened},
    options::ServerAddress,
    wire::{ConnectionSetupRequest, HealthCheckRequest, Payload, ServerCheckRequest},
};

/// How long an announced acknowledgement of the set-up is waited for before asking.
const SET_UP_PATIENCE: Duration = Duration::from_secs(1);

/// First pause between two questions whether the connection is set up; it doubles.
const SET_UP_POLL: Duration = Duration::from_millis(5);

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How one connection, or the attempt to make it, ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client was closed.
    Closed,
    /// There was no connection.
    NeverConnected(Error),
    /// The connection died, or was given up as dead.
    Lost(Error),
    /// The server wants us to go elsewhere, perhaps there.
    Reset(Option<ServerAddress>),
}

/// Connects to the server and serves the connection until it ends.
pub(super) async fn connect_and_serve(core: &Core, server: &ServerAddress, epoch: &mut u64) -> End {
    let opened = match open(core, server, *epoch + 1).await {
        Ok(opened) => opened,
        Err(error) => return End::NeverConnected(error),
    };
    let Opened {
        link,
        mut driver,
        outgoing,
        incoming,
    } = opened;
    let is_set_up = watch::Sender::default();
    let acknowledged = is_set_up.subscribe();
    let setup = Payload::new(&setup_request(core));
    let reader = Reader {
        core,
        epoch: link.epoch,
        outgoing: outgoing.clone(),
        is_set_up,
    };
    let mut reading = pin!(reader.read(incoming));

    let set_up = async {
        let check = link.attempt(ServerCheckRequest::default(), None).await?;
        // The queue is empty and its reader is alive, or the reader tells.
        let _ = outgoing.try_send(setup);
        let patience = if check.support_ability_negotiation {
            SET_UP_PATIENCE
        } else {
            Duration::ZERO
        };
        await_set_up(core, &link, acknowledged, patience).await
    };
    let set_up = tokio::select! {
        end = &mut reading => return never_connected(end),
        result = set_up => result,
    };
    if let Err(error) = set_up {
        return End::NeverConnected(error);
    }

    *epoch = link.epoch;
    core.connected(link.clone(), server.to_string());
    core.login.server_arrived();
    let namespace = &core.options.namespace;
    tracing::info!(namespace, %server, epoch = link.epoch, "connected to Nacos");
    tokio::select! {
        end = &mut reading => end,
        result = &mut driver.0 => End::Lost(Error::Lost(match result {
            Ok(Err(error)) => error.to_string(),
            _ => "the connection was closed".into(),
        })),
        error = keep_alive(core, &link) => End::Lost(error),
        () = link.unregistered() => End::Lost(Error::Unregistered),
        never = Replay::new(core, &link).run() => match never {},
        never = audit::run(core, &link) => match never {},
        () = farewell(core) => End::Closed,
    }
}

async fn open(core: &Core, server: &ServerAddress, epoch: u64) -> Result<Opened, Error> {
    let limit = core.options.request_timeout;
    let port = core.options.grpc_port.or_else(|| server.grpc_port());
    let port = port.ok_or_else(|| {
        Error::NotConnected(format!("{server} has no gRPC port: its port + 1000"))
    })?;
    let at = ServerAddress {
        host: server.host.clone(),
        port,
    };
    let unreachable = |problem: String| Error::NotConnected(format!("{at}: {problem}"));
    let origin: http::Uri = format!("http://{at}")
        .parse()
        .map_err(|error: http::uri::InvalidUri| unreachable(error.to_string()))?;
    let opening = async {
        let stream = core
            .connector
            .connect(&at.host, port)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        link::open(stream, origin, core, epoch).await
    };
    timeout(limit, opening)
        .await
        .unwrap_or_else(|_| Err(unreachable(format!("no connection within {limit:?}"))))
}

fn setup_request(core: &Core) -> ConnectionSetupRequest {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    ConnectionSetupRequest {
        client_version: concat!("Nacos-Pailou-Client:v", env!("CARGO_PKG_VERSION")).to_owned(),
        tenant: core.tenant(),
        labels: BTreeMap::from([
            label("source", "sdk"),
            label("module", "naming"),
            label("AppName", &core.options.app_name),
        ]),
        // Empty, not absent: the server then says when it is through.
        ability_table: Some(BTreeMap::new()),
        ..Default::default()
    }
}

/// Waits until the server knows the connection: it says so where that was announced, and is asked otherwise.
async fn await_set_up(
    core: &Core,
    link: &Link,
    mut acknowledged: watch::Receiver<bool>,
    patience: Duration,
) -> Result<(), Error> {
    if let Ok(Ok(_)) = timeout(patience, acknowledged.wait_for(|is| *is)).await {
        return Ok(());
    }
    let asking = async {
        let mut pause = SET_UP_POLL;
        loop {
            match link.attempt(HealthCheckRequest::default(), None).await {
                Err(Error::Unregistered) => sleep(pause).await,
                result => return result.map(drop),
            }
            pause *= 2;
        }
    };
    timeout(core.options.request_timeout, asking)
        .await
        .unwrap_or(Err(Error::Unregistered))
}

fn never_connected(end: End) -> End {
    match end {
        End::Lost(error) => End::NeverConnected(error),
        End::Reset(_) => End::NeverConnected(Error::Overloaded),
        end => end,
    }
}

/// Asks again and again whether the server still knows us, which is also what keeps the server from dropping us.
/// Returns when the connection must be given up.
async fn keep_alive(core: &Core, link: &Link) -> Error {
    let period = core.options.health_check_interval;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // One question may get lost in a busy server's pause; two in a row mean that no one is there.
        if !is_alive(core, link).await
            && let Err(error @ (Error::Timeout { .. } | Error::Lost(_))) = check(core, link).await
        {
            return error;
        }
    }
}

async fn is_alive(core: &Core, link: &Link) -> bool {
    !matches!(
        check(core, link).await,
        Err(Error::Timeout { .. } | Error::Lost(_))
    )
}

async fn check(core: &Core, link: &Link) -> Result<(), Error> {
    link.send(core, HealthCheckRequest::default(), None)
        .await
        .map(drop)
}

/// When the client is closed: withdraws what it registered, and returns when that is done or takes too long.
async fn farewell(core: &Core) {
    core.closing().await;
    let leaving = core.desired.leave_all();
    let all_gone = async {
        for mut registration in leaving {
            // The sender lives as long as the registration does.
            let _ = registration.wait_for(|slot| slot.is_gone).await;
        }
    };
    if timeout(FAREWELL, all_gone).await.is_err() {
        tracing::warn!(
            namespace = core.options.namespace,
            "Nacos did not confirm the deregistration in time"
        );
    }
}
