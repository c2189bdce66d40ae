//! The ports of a gateway. All of them are taken before anything else starts, so that a taken port is the only thing that a
//! failed start tells of.

use anyhow::Context as _;
use pailou_config::Settings;
use pailou_proxy::{Bound, Certificates, Listener, Proxy};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::listeners;

/// Every port that the settings name, bound and not yet served.
pub(crate) struct Ports {
    pub(crate) data: Vec<Bound>,
    pub(crate) admin: Option<TcpListener>,
    pub(crate) probes: Option<TcpListener>,
}

impl Ports {
    /// Takes them. `workers` is the runtime that will serve those for data.
    ///
    /// # Errors
    /// A port is in use, or may not be used. The message names address and listener.
    pub(crate) async fn take(
        settings: &Settings,
        certificates: &Certificates,
        workers: &Handle,
    ) -> anyhow::Result<Ports> {
        let data = bind_data(settings, certificates, workers).await?;
        let admin = listeners::bind("admin", settings.admin.address).await?;
        let probes = listeners::bind("probes", settings.probes.address).await?;
        for bound in &data {
            listeners::announce("data", bound.local_addr());
        }
        Ok(Ports {
            data,
            admin,
            probes,
        })
    }
}

/// Sockets belong to the runtime that they are bound on, so the data listeners are bound on the workers.
async fn bind_data(
    settings: &Settings,
    certificates: &Certificates,
    workers: &Handle,
) -> anyhow::Result<Vec<Bound>> {
    let addresses: Vec<_> = settings
        .listeners
        .iter()
        .map(|listener| listener.address)
        .collect();
    let bound = workers
        .spawn(async move { Proxy::bind(&addresses) })
        .await
        .context("the workers ended")??;
    let listeners = Listener::all(&settings.listeners, certificates);
    let bound = bound.into_iter().zip(listeners);
    Ok(bound
        .map(|(bound, listener)| bound.with(listener))
        .collect())
}
