//! Endpoints that say which request they answer, and keep account of what they did.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// The number of a request, and of the answer to it.
pub(crate) const NUMBER: &str = "x-number";

/// The endpoint that answered.
pub(crate) const INSTANCE: &str = "x-instance";

/// Bytes of an answer that tell a truncated or mixed-up body from a whole one.
const FILLER_BYTES: usize = 512;

/// How often each request was carried out, whichever endpoint did it.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<HashMap<u64, u32>>);

impl Ledger {
    fn enter(&self, number: u64) {
        *self.0.lock().expect("a ledger").entry(number).or_default() += 1;
    }

    /// The requests from this range that were carried out more than once.
    pub(crate) fn doubled(&self, numbers: std::ops::Range<u64>) -> u64 {
        let entries = self.0.lock().expect("a ledger");
        let doubled = |(number, times): &(&u64, &u32)| numbers.contains(number) && **times > 1;
        entries.iter().filter(doubled).count() as u64
    }
}

/// How an endpoint serves.
#[derive(Clone)]
pub(crate) struct Manner {
    /// How long each request takes.
    pub(crate) service_time: Duration,
    /// How many requests are served at once; others wait.
    pub(crate) places: usize,
    /// The size of an answer to `/big`.
    pub(crate) big_bytes: usize,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            service_time: Duration::ZERO,
            places: Semaphore::MAX_PERMITS,
            big_bytes: 0,
        }
    }
}

/// One endpoint, on a runtime of its own, so that it can be killed as a process is.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    leaving: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    name: String,
    manner: Manner,
    places: Semaphore,
    ledger: Arc<Ledger>,
    active: AtomicUsize,
    served: AtomicU64,
    connections: AtomicU64,
    open: AtomicUsize,
}

impl Origin {
    /// Starts one on a free port.
    pub(crate) fn start(name: &str, ledger: &Arc<Ledger>, manner: Manner) -> Origin {
        Origin::start_at(name, ledger, manner, ([127, 0, 0, 1], 0).into())
    }

    /// Starts one at this address, where another one was.
    pub(crate) fn start_at(
        name: &str,
        ledger: &Arc<Ledger>,
        manner: Manner,
        address: SocketAddr,
    ) -> Origin {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("origin-{name}"))
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind(address).expect("a free address");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            places: Semaphore::new(manner.places),
            manner,
            ledger: Arc::clone(ledger),
            active: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        });
        let (leaving, left) = watch::channel(false);
        runtime.spawn(accept(listener, Arc::clone(&shared), left));
        Origin {
            address,
            shared,
            leaving,
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it holds.
    pub(crate) fn active(&self) -> usize {
        self.shared.active.load(SeqCst)
    }

    /// How many requests it has begun to serve.
    pub(crate) fn served(&self) -> u64 {
        self.shared.served.load(SeqCst)
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(SeqCst)
    }

    /// Ends it as SIGKILL would: the port is closed and every connection breaks.
    pub(crate) fn kill(mut self) -> SocketAddr {
        self.end();
        self.address
    }

    /// Ends it as a service does that was told to: it accepts no more, finishes what it has, and closes its connections.
    pub(crate) async fn leave(mut self) {
        self.leaving.send_replace(true);
        crate::support::until("the origin's connections to end", async || {
            (self.shared.open.load(SeqCst) == 0).then_some(())
        })
        .await;
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.end();
    }
}

/// Counts while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl Counted<'_> {
    fn new(counter: &AtomicUsize) -> Counted<'_> {
        counter.fetch_add(1, SeqCst);
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

async fn accept(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut left: watch::Receiver<bool>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = left.wait_for(|left| *left) => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        shared.connections.fetch_add(1, SeqCst);
        tokio::spawn(serve(stream, Arc::clone(&shared), left.clone()));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, mut left: watch::Receiver<bool>) {
    let _open = Counted::new(&shared.open);
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = left.wait_for(|left| *left) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _active = Counted::new(&shared.active);
    shared.served.fetch_add(1, SeqCst);
    let number = request.headers().get(NUMBER);
    let number: Option<u64> = number.and_then(|number| number.to_str().ok()?.parse().ok());
    let is_big = request.uri().path().ends_with("/big");
    if request.into_body().collect().await.is_err() {
        return Ok(status(StatusCode::BAD_REQUEST));
    }
    if is_big {
        let body = vec![b'x'; shared.manner.big_bytes];
        return Ok(Response::new(Full::new(body.into())));
    }
    let Some(number) = number else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    shared.ledger.enter(number);
    {
        let _place = shared.places.acquire().await;
        if !shared.manner.service_time.is_zero() {
            tokio::time::sleep(shared.manner.service_time).await;
        }
    }
    let mut response = Response::new(Full::new(body_of(number, &shared.name)));
    let headers = response.headers_mut();
    headers.insert(NUMBER, number.into());
    headers.insert(INSTANCE, shared.name.parse().expect("a plain name"));
    Ok(response)
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// What the whole answer to a request is, byte for byte.
pub(crate) fn body_of(number: u64, instance: &str) -> Bytes {
    let letter = b'a' + (number % 26) as u8;
    let mut body = format!("{number} {instance} ").into_bytes();
    body.resize(body.len() + FILLER_BYTES, letter);
    body.into()
}
