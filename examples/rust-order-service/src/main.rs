//! A small order service: it registers itself in Nacos, reads its config live, and leaves when it is told to.
//!
//! | variable | default | what |
//! |---|---|---|
//! | `NACOS_SERVER_ADDR` | `127.0.0.1:8848` | the Nacos servers |
//! | `NACOS_GRPC_PORT` | HTTP port + 1000 | their gRPC port, where it is mapped elsewhere |
//! | `NACOS_NAMESPACE` | the public one | the namespace's id |
//! | `NACOS_USERNAME`, `NACOS_PASSWORD` | none | the account, where the servers ask for one |
//! | `NACOS_GROUP` | `DEFAULT_GROUP` | the group of the service and of its config |
//! | `NACOS_SERVICE_NAME` | `order-service` | the name to register under |
//! | `NACOS_SERVICE_IP` | `127.0.0.1` | the address that others reach it at |
//! | `NACOS_SERVICE_PORT` | `8002` | the port to listen on, and to register |
//!
//! It starts and serves while Nacos is down, and registers as soon as it can.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use pailou_nacos::{Client, ClientOptions, ConfigState, Credentials, Instance};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// The config that this service reads live.
const CONFIG: &str = "order-service.json";

/// How long it still answers after it left Nacos: a server tells the callers 0.6 s later.
const DRAIN: Duration = Duration::from_secs(1);

/// What the handlers share: the newest text of the config, `None` while there is none.
type Settings = Arc<Mutex<Option<String>>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let group = variable("NACOS_GROUP", "DEFAULT_GROUP");
    let service = variable("NACOS_SERVICE_NAME", "order-service");
    let ip = variable("NACOS_SERVICE_IP", "127.0.0.1");
    let port: u16 = variable("NACOS_SERVICE_PORT", "8002")
        .parse()
        .context("NACOS_SERVICE_PORT is not a port")?;
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("port {port}"))?;

    let mut options = ClientOptions::new(&variable("NACOS_SERVER_ADDR", "127.0.0.1:8848"))?;
    options.namespace = variable("NACOS_NAMESPACE", "");
    if let Ok(port) = std::env::var("NACOS_GRPC_PORT") {
        options.grpc_port = Some(port.parse().context("NACOS_GRPC_PORT is not a port")?);
    }
    if let Ok(user) = std::env::var("NACOS_USERNAME") {
        options.credentials = Some(Credentials::new(user, variable("NACOS_PASSWORD", "")));
    }
    let nacos = Client::connect(options);

    let settings = Settings::default();
    tokio::spawn(follow(nacos.clone(), group.clone(), settings.clone()));
    let app = Router::new()
        .route("/orders/{id}", get(order))
        .route("/config", get(config))
        .route("/health", get(async || "ok"))
        .with_state(settings);
    let (close, closed) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = closed.await;
    });
    let server = tokio::spawn(server.into_future());

    let mut instance = Instance::new(ip, port);
    instance
        .metadata
        .insert("version".into(), env!("CARGO_PKG_VERSION").into());
    instance.metadata.insert("framework".into(), "axum".into());
    let registration = nacos.keep_registered((group.as_str(), service.as_str()), instance)?;

    told_to_stop().await;
    // Out of Nacos first, and on answering until the callers know; then what is in flight is finished.
    match registration.deregister().await {
        Ok(()) => tokio::time::sleep(DRAIN).await,
        Err(error) => {
            tracing::warn!(%error, "not deregistered, the entry ends with the connection")
        }
    }
    drop(close);
    server.await??;
    nacos.close().await;
    Ok(())
}

async fn order(Path(id): Path<u64>) -> impl IntoResponse {
    line(&json!({ "id": id, "item": format!("item-{id}"), "served_by": "rust-order-service" }))
}

/// JSON that ends its line, so that a terminal's prompt stands on the next one.
fn line(answer: &Value) -> impl IntoResponse + use<> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, format!("{answer}\n"))
}

async fn config(State(settings): State<Settings>) -> impl IntoResponse {
    let text = settings
        .lock()
        .expect("no handler panics while it holds this")
        .clone();
    let value = text
        .as_deref()
        .map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
    line(&json!({ "data_id": CONFIG, "content": value }))
}

/// Keeps the newest text of the config, from its first publish on.
async fn follow(nacos: Client, group: String, settings: Settings) {
    let mut watch = nacos.watch_config((group.as_str(), CONFIG));
    loop {
        let text = match watch.changed().await {
            ConfigState::Present(config) => Some(config.content.clone()),
            ConfigState::Absent => None,
        };
        tracing::info!(data_id = CONFIG, present = text.is_some(), "config changed");
        *settings
            .lock()
            .expect("no handler panics while it holds this") = text;
    }
}

async fn told_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler can be set");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| default.to_owned())
}
