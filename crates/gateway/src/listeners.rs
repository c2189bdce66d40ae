//! The listeners that people and probes use, apart from the one for data.
//!
//! The one for probes is open to every interface, so it is bounded like the one for data: in connections, and in how long each may go
//! without an answer. Half-sent requests would hold descriptors for good otherwise.

mod bounded;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;

use bounded::Bounded;

/// Binds an address, or takes none when it is `off`.
pub(crate) async fn bind(
    name: &'static str,
    address: Option<SocketAddr>,
) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (the {name} listener)"))?;
    announce(name, listener.local_addr()?);
    Ok(Some(listener))
}

/// Says where a listener is: with port 0, this is how one learns it.
pub(crate) fn announce(name: &'static str, address: SocketAddr) {
    tracing::info!(listener = name, %address, "listening");
}

/// Serves a router in the background until the process ends.
pub(crate) fn serve(name: &'static str, listener: Option<TcpListener>, router: Router) {
    let Some(listener) = listener else { return };
    tokio::spawn(async move {
        if let Err(error) = axum::serve(Bounded::new(listener), router).await {
            tracing::error!(listener = name, %error, "a listener ended");
        }
    });
}
