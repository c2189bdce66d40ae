//! One connection, from the first byte to its end.

use std::{collections::BTreeMap, convert::Infallible, pin::Pin, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{audit, replay::Replay, stream::Reader};
use crate::{
    core::Core,
    error::Error,
    link::{self, Link, Opened},
    network::Owned,
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

/// A connection that is set up, and not used yet.
pub(super) struct Prepared<'a> {
    pub(super) server: &'a ServerAddress,
    link: Link,
    driver: Owned<hyper::Result<()>>,
    reading: Pin<Box<dyn Future<Output = End> + Send + 'a>>,
    /// Keeps our half of the stream open.
    _outgoing: mpsc::Sender<Payload>,
}

/// Connects to the server and sets the connection up.
pub(super) async fn prepare<'a>(
    core: &'a Core,
    server: &'a ServerAddress,
    epoch: u64,
) -> Result<Prepared<'a>, Error> {
    let Opened {
        link,
        driver,
        outgoing,
        incoming,
    } = open(core, server, epoch).await?;
    let is_set_up = watch::Sender::default();
    let acknowledged = is_set_up.subscribe();
    let setup = Payload::new(&setup_request(core));
    let reader = Reader {
        core,
        epoch,
        outgoing: outgoing.clone(),
        is_set_up,
    };
    let mut reading: Pin<Box<dyn Future<Output = End> + Send + 'a>> =
        Box::pin(reader.read(incoming));

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
    let result = tokio::select! {
        end = &mut reading => Err(why_never(end)),
        result = set_up => result,
    };
    result.map_err(|error| at_port(core, server, error))?;
    Ok(Prepared {
        server,
        link,
        driver,
        reading,
        _outgoing: outgoing,
    })
}

/// Serves a connection until it ends. The rest of the work for the connection before is done at the same time.
pub(super) async fn serve(
    core: &Core,
    prepared: Prepared<'_>,
    retiring: impl Future<Output = Infallible>,
) -> End {
    let Prepared {
        server,
        link,
        mut driver,
        mut reading,
        _outgoing,
    } = prepared;
    core.connected(link.clone(), server.to_string());
    core.login.server_arrived();
    let namespace = &core.options.namespace;
    if core.options.log_connections {
        tracing::info!(namespace, %server, epoch = link.epoch, "connected to Nacos");
    }
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
        never = retiring => match never {},
        () = farewell(core) => End::Closed,
    }
}

/// Adds the port to an error where something that is no Nacos answers, such as another server on that port.
fn at_port(core: &Core, server: &ServerAddress, error: Error) -> Error {
    match (&error, core.network.grpc_address(server)) {
        (Error::Refused { .. } | Error::Malformed { .. } | Error::Lost(_), Some(at)) => {
            Error::NotNacos {
                at: at.to_string(),
                problem: error.to_string(),
            }
        }
        _ => error,
    }
}

async fn open(core: &Core, server: &ServerAddress, epoch: u64) -> Result<Opened, Error> {
    let limit = core.options.request_timeout;
    let at = core.network.grpc_address(server).ok_or_else(|| {
        Error::NotConnected(format!("{server} has no gRPC port: its port + 1000"))
    })?;
    let unreachable = |problem: String| Error::NotConnected(format!("{at}: {problem}"));
    let origin: http::Uri = format!("http://{at}")
        .parse()
        .map_err(|error: http::uri::InvalidUri| unreachable(error.to_string()))?;
    let opening = async {
        let stream = core.network.grpc(&at).await;
        let stream = stream.map_err(|error| unreachable(error.to_string()))?;
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

fn why_never(end: End) -> Error {
    match end {
        End::NeverConnected(error) | End::Lost(error) => error,
        End::Reset(_) => Error::Overloaded,
        End::Closed => Error::Closed,
    }
}

/// Asks again and again whether the server still knows the connection, which also keeps the server from dropping it. Asks
/// at once when there is a doubt. Returns when the connection must be given up.
pub(super) async fn keep_alive(core: &Core, link: &Link) -> Error {
    let period = core.options.health_check_interval;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = link.suspected() => {}
        }
        // One question may get lost in a busy server's pause. Two in a row mean that the server is gone.
        if silence(core, link).await.is_some()
            && let Some(error) = silence(core, link).await
        {
            return error;
        }
    }
}

async fn silence(core: &Core, link: &Link) -> Option<Error> {
    check(core, link).await.err().filter(link::is_silence)
}

async fn check(core: &Core, link: &Link) -> Result<(), Error> {
    link.send(core, HealthCheckRequest::default(), None)
        .await
        .map(drop)
}

/// When the client is closed: withdraws what it registered, and returns when that is done or takes too long.
pub(super) async fn farewell(core: &Core) {
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
