//! The listeners for people and probes, apart from those for data.
//!
//! The probes listener is open on every interface, and an orchestrator kills a gateway whose probes do not answer. So no client may
//! keep others out: see [`places`]. Each connection has a short time for the head of its request, and carries one request.

mod places;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pailou_telemetry::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service as _;

use places::{Place, Places};

/// How long the head of a request may take. A probe sends it in one piece.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may take in all. Every answer comes from memory, except that of a registration, which waits. A
/// slow reader of the metrics of many routes needs the rest of the time.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long nothing is accepted after the process has run out of descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

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

/// Serves a router for as long as the tasks have their owner.
pub(crate) fn serve(
    name: &'static str,
    listener: Option<TcpListener>,
    router: Router,
    tasks: &mut Tasks,
) {
    let Some(listener) = listener else { return };
    let (listener, places) = (Arc::new(listener), Places::default());
    tasks.keep(name, move || {
        accept(name, Arc::clone(&listener), places.clone(), router.clone())
    });
}

async fn accept(
    name: &'static str,
    listener: Arc<TcpListener>,
    places: Places,
    router: Router,
) -> Infallible {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // That client went away before it was seen.
            Err(error) if is_of_client(error.kind()) => continue,
            Err(error) => {
                tracing::warn!(listener = name, %error, "a connection cannot be accepted");
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        let place = Arc::new(places.take(peer.ip().to_canonical()));
        let number = place.number();
        // It ends with its place, or after its lifetime.
        let task = tokio::spawn(converse(stream, place, router.clone()));
        Place::belongs_to(&places, number, task.abort_handle());
    }
}

fn is_of_client(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

/// Answers one request.
async fn converse(stream: TcpStream, place: Arc<Place>, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        place.asked();
        let answer = router.clone().call(request);
        async move {
            let mut answer: Response = answer.await?;
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong with one connection is its client's, who sees it.
    let _ = tokio::time::timeout(LIFETIME, connection).await;
}
