//! The sample services of `pailou dev`: small HTTP servers that register themselves through the real client.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use pailou_nacos::{Client, ClientOptions, Instance, Registration};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What is started: service, the instance's name, its weight.
const SAMPLES: [(&str, &str, f64); 4] = [
    ("user-service", "user-1", 1.0),
    ("user-service", "user-2", 2.0),
    ("user-service", "user-3", 3.0),
    ("order-service", "order-1", 1.0),
];

/// One running sample: it serves and stays registered until this is dropped.
pub(crate) struct Sample {
    /// The service's name.
    pub(crate) service: &'static str,
    /// The instance's name, which each of its answers carries.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its weight in Nacos.
    pub(crate) weight: f64,
    _registration: Registration,
    _server: JoinSet<()>,
    // A connection holds one instance of a service, so each sample has a connection of its own.
    _client: Client,
}

/// Starts every sample on a free port and registers it with the Nacos server at `registry`.
pub(crate) async fn start(registry: SocketAddr) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(SAMPLES.len());
    for (service, name, weight) in SAMPLES {
        samples.push(
            start_one(registry, service, name, weight)
                .await
                .with_context(|| format!("sample {name}"))?,
        );
    }
    Ok(samples)
}

async fn start_one(
    registry: SocketAddr,
    service: &'static str,
    name: &'static str,
    weight: f64,
) -> anyhow::Result<Sample> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let app = Router::new().fallback(answer).with_state((service, name));
    let mut server = JoinSet::new();
    server.spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, sample = name, "a sample service stopped");
        }
    });
    let client = Client::connect(ClientOptions::new(&registry.to_string())?);
    let mut instance = Instance::new(address.ip().to_string(), address.port());
    instance.weight = weight;
    instance.metadata.insert("name".to_owned(), name.to_owned());
    let registration = client.register(service, instance).await?;
    Ok(Sample {
        service,
        name,
        address,
        weight,
        _registration: registration,
        _server: server,
        _client: client,
    })
}

async fn answer(
    State((service, name)): State<(&'static str, &'static str)>,
    request: Request,
) -> impl IntoResponse {
    let answer = json!({
        "service": service,
        "instance": name,
        "method": request.method().as_str(),
        "path": request.uri().path(),
    });
    // A line, so that a terminal's prompt stands on the next one.
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, format!("{answer}\n"))
}
