//! Upstreams that say who they are: every answer carries the instance's name and echoes the request's number.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

/// A scripted HTTP/1.1 upstream on loopback.
///
/// | path (its end) | answer |
/// |---|---|
/// | `/echo` | the request's body |
/// | `/read` | the size of the request's body, once it has come |
/// | `/headers` | the request's head, as JSON |
/// | `/slow/{ms}` | 200 after that many milliseconds |
/// | `/status/{code}` | that status |
/// | `/events` | three server-sent events, 200 ms apart |
/// | `/big/{bytes}` | a body of that size |
/// | anything else | 200, `{name} {method} {path}` |
pub(crate) struct Upstream {
    name: Arc<str>,
    address: SocketAddr,
    served: Arc<AtomicU64>,
    active: Arc<AtomicUsize>,
    most_active: Arc<AtomicUsize>,
    task: JoinHandle<()>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Clone)]
struct Shared {
    name: Arc<str>,
    delay: Duration,
    served: Arc<AtomicU64>,
    active: Arc<AtomicUsize>,
    most_active: Arc<AtomicUsize>,
}

impl Upstream {
    /// Starts an upstream on a free port.
    pub(crate) fn start(name: &str) -> Upstream {
        Upstream::start_at(name, "127.0.0.1:0".parse().expect("an address"))
    }

    /// Starts one that takes its time for every answer.
    pub(crate) fn slow(name: &str, delay: Duration) -> Upstream {
        Upstream::start_with(name, "127.0.0.1:0".parse().expect("an address"), delay)
    }

    /// Starts an upstream on one address, for those that come back where they were.
    pub(crate) fn start_at(name: &str, address: SocketAddr) -> Upstream {
        Upstream::start_with(name, address, Duration::ZERO)
    }

    fn start_with(name: &str, address: SocketAddr, delay: Duration) -> Upstream {
        // A runtime of its own: dropping it closes every connection at once, as a killed process does.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("upstream-{name}"))
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Shared {
            name: name.into(),
            delay,
            served: Arc::default(),
            active: Arc::default(),
            most_active: Arc::default(),
        };
        let listener = listen(address);
        let address = listener.local_addr().expect("a bound address");
        let app = Router::new()
            .fallback(any(answer))
            .with_state(shared.clone());
        let task = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await.expect("an accept loop");
        });
        Upstream {
            name: shared.name,
            address,
            served: shared.served,
            active: shared.active,
            most_active: shared.most_active,
            task,
            runtime: Some(runtime),
        }
    }

    /// The name that its answers carry.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has got so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// How many requests it holds right now.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// The most requests that it held at once.
    pub(crate) fn most_active(&self) -> usize {
        self.most_active.load(Ordering::SeqCst)
    }

    /// Ends it as SIGKILL would: the port is closed and every connection breaks.
    pub(crate) fn kill(mut self) -> SocketAddr {
        self.end();
        self.address
    }

    fn end(&mut self) {
        self.task.abort();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bound outside of the runtime, since it is a caller's runtime that this runs on.
fn listen(address: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(address).expect("a free address");
    listener.set_nonblocking(true).expect("a socket option");
    listener
}

struct Active(Arc<AtomicUsize>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    shared.served.fetch_add(1, Ordering::SeqCst);
    let active = shared.active.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most_active.fetch_max(active, Ordering::SeqCst);
    let _active = Active(shared.active.clone());
    if !shared.delay.is_zero() {
        tokio::time::sleep(shared.delay).await;
    }
    let number = request.headers().get("x-number").cloned();
    let mut response = body_for(&shared, request).await;
    let name = shared.name.parse().expect("a header value");
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-instance"), name);
    if let Some(number) = number {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-number"), number);
    }
    response
}

async fn body_for(shared: &Shared, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let mut ends = path.rsplit('/');
    let (last, before) = (
        ends.next().unwrap_or_default(),
        ends.next().unwrap_or_default(),
    );
    match (before, last) {
        (_, "echo") => Body::new(request.into_body()).into_response(),
        (_, "read") => read(request).await,
        (_, "headers") => head_as_json(&request).into_response(),
        (_, "events") => events().into_response(),
        ("slow", ms) => {
            tokio::time::sleep(Duration::from_millis(ms.parse().expect("milliseconds"))).await;
            shared.name.to_string().into_response()
        }
        ("status", code) => StatusCode::from_u16(code.parse().expect("a code"))
            .expect("a status")
            .into_response(),
        ("big", bytes) => big(bytes.parse().expect("a size")),
        _ => format!("{} {} {}", shared.name, request.method(), request.uri()).into_response(),
    }
}

async fn read(request: Request) -> Response {
    match axum::body::to_bytes(request.into_body(), usize::MAX).await {
        Ok(body) => body.len().to_string().into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

fn head_as_json(request: &Request) -> String {
    let headers: Vec<[&str; 2]> = request
        .headers()
        .iter()
        .map(|(name, value)| [name.as_str(), value.to_str().unwrap_or("(not text)")])
        .collect();
    serde_json::json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers,
    })
    .to_string()
}

fn events() -> Response {
    let stream = futures_util::stream::iter(1..=3).then(|n| async move {
        if n > 1 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok::<_, Infallible>(format!("data: {n}\n\n"))
    });
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(stream),
    )
        .into_response()
}

fn big(bytes: usize) -> Response {
    const PIECE: usize = 64 * 1024;
    let pieces = (0..bytes.div_ceil(PIECE)).map(move |at| {
        let size = PIECE.min(bytes - at * PIECE);
        Ok::<_, Infallible>(bytes::Bytes::from(vec![b'x'; size]))
    });
    Body::from_stream(futures_util::stream::iter(pieces)).into_response()
}
