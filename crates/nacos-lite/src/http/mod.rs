//! The HTTP half, under `/nacos`: what clients of version 1 and 3, and `curl`, need.

mod catalog;
mod client;
mod config;
mod health;
mod history;
mod instance;
mod login;
mod namespace;
mod params;
mod problem;
mod service;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    response::Response,
    routing::{any, get, post, put},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tower_service::Service;

use self::problem::Problem;
use crate::{core::Core, line::Line};

/// What a request may weigh: a config of 10 MiB with its encoding.
const MAX_BODY_BYTES: usize = 16 << 20;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// All paths. Without version 1, each path of it says that it is gone.
pub(crate) fn router(core: Arc<Core>, v1: bool) -> Router {
    let v1 = if v1 {
        version_1()
    } else {
        Router::new().route("/nacos/v1/{*path}", any(gone))
    };
    v1.merge(version_3())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(core)
}

fn version_1() -> Router<Arc<Core>> {
    let instance = get(instance::show)
        .post(instance::register)
        .put(instance::replace_edit)
        .patch(instance::merge_edit)
        .delete(instance::deregister);
    let of_services = get(service::version_1::show)
        .post(service::version_1::create)
        .put(service::version_1::define)
        .delete(service::version_1::remove);
    Router::new()
        .route("/nacos/v1/ns/instance", instance)
        .route("/nacos/v1/ns/instance/beat", put(instance::beat))
        .route("/nacos/v1/ns/instance/list", get(instance::list))
        .route("/nacos/v1/ns/service", of_services)
        .route("/nacos/v1/ns/service/list", get(service::list))
        .route(
            "/nacos/v1/cs/configs",
            get(config::show)
                .post(config::publish)
                .delete(config::remove),
        )
        .route("/nacos/v1/cs/configs/listener", post(config::listen))
        .route("/nacos/v1/cs/history", get(history::show))
        .route(
            "/nacos/v1/console/namespaces",
            get(namespace::version_1).post(namespace::create),
        )
        .route("/nacos/v1/auth/login", post(login::version_1))
        .route("/nacos/v1/auth/users/login", post(login::version_1))
        .route("/nacos/v1/ns/operator/metrics", get(health::metrics))
        .route("/nacos/v1/console/health/readiness", get(health::ok))
        .route("/nacos/v1/console/health/liveness", get(health::ok))
        .route("/nacos/v1/console/server/state", get(health::server_state))
}

/// The client API, and of the admin API what a client lacks there or an operator asks for.
fn version_3() -> Router<Arc<Core>> {
    let instance = post(client::register).delete(client::deregister);
    let of_services = get(service::version_3::show)
        .post(service::version_3::create)
        .put(service::version_3::define)
        .delete(service::version_3::remove);
    Router::new()
        .route("/nacos/v3/client/ns/instance", instance)
        .route("/nacos/v3/client/ns/instance/list", get(client::list))
        .route("/nacos/v3/client/cs/config", get(client::config))
        .route(
            "/nacos/v3/admin/cs/config",
            post(client::publish).delete(client::remove),
        )
        .route(
            "/nacos/v3/admin/core/namespace/list",
            get(namespace::version_3),
        )
        .route("/nacos/v3/admin/ns/instance", put(client::edit))
        .route("/nacos/v3/admin/ns/service", of_services)
        .route("/nacos/v3/admin/ns/service/list", get(catalog::services))
        .route("/nacos/v3/admin/cs/config/list", get(catalog::configs))
        .route("/nacos/v3/auth/user/login", post(login::version_3))
        .route(
            "/nacos/v3/admin/core/state/readiness",
            get(health::readiness),
        )
}

/// Serves one TCP connection until it ends.
pub(crate) async fn serve(stream: Line, core: Arc<Core>, router: Router) {
    core.while_hanging().await;
    let service = service_fn(|request: http::Request<Incoming>| {
        let (core, mut router) = (core.clone(), router.clone());
        async move {
            core.while_hanging().await;
            Ok::<_, Infallible>(
                router
                    .call(request)
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let done = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = done {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

async fn unknown_path(method: Method, uri: Uri) -> Response {
    Problem::NoSuchPath(method).at(uri.path())
}

async fn gone(uri: Uri) -> Response {
    Problem::Gone.at(uri.path())
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    Problem::WrongMethod(method).at(uri.path())
}
