//! Whether the server is up: it is, since it answers.

use axum::Json;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Metrics {
    status: &'static str,
}

pub(super) async fn metrics() -> Json<Metrics> {
    Json(Metrics { status: "UP" })
}

pub(super) async fn ok() -> &'static str {
    "OK"
}

#[derive(Serialize)]
pub(super) struct Readiness {
    code: i32,
    message: &'static str,
    data: &'static str,
}

pub(super) async fn readiness() -> Json<Readiness> {
    Json(Readiness {
        code: 0,
        message: "success",
        data: "ok",
    })
}

/// The version is the one whose answers are followed; the build says what this really is.
#[derive(Serialize)]
pub(super) struct ServerState {
    version: &'static str,
    startup_mode: &'static str,
    standalone_mode: &'static str,
    function_mode: Option<&'static str>,
    build: &'static str,
}

pub(super) async fn server_state() -> Json<ServerState> {
    Json(ServerState {
        version: "3.1.0",
        startup_mode: "standalone",
        standalone_mode: "standalone",
        function_mode: None,
        build: concat!("pailou-nacos-lite ", env!("CARGO_PKG_VERSION")),
    })
}
