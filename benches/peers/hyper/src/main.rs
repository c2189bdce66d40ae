//! A plain reverse proxy on hyper and bare tokio sockets: what the two cost when nothing is added.
//!
//! ```text
//! bench-hyper ORIGIN WORKERS PORT        such as 127.0.0.1:9100 1 8080
//! ```
//!
//! It drops the hop-by-hop fields, adds forwarded fields and a request id that is always the same, and keeps its
//! connections to the origin. No route, no balancing, no retry, no guard against bad framing.

mod pool;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use pool::{Pool, Pooled};

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

static HOP_BY_HOP: [HeaderName; 5] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
    header::UPGRADE,
];

type Answer = Response<Either<Pooled, Empty<Bytes>>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let origin = arguments.next().and_then(|text| text.parse().ok());
    let workers = arguments.next().and_then(|text| text.parse().ok());
    let port = arguments.next().and_then(|text| text.parse().ok());
    let (Some(origin), Some(workers), Some(port)) = (origin, workers, port) else {
        eprintln!("usage: bench-hyper ORIGIN WORKERS PORT, such as 127.0.0.1:9100 1 8080");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("a runtime");
    // On a worker, where the connections' tasks are too.
    let server = runtime.spawn(serve(origin, port));
    runtime.block_on(server).expect("the accept loop");
    ExitCode::SUCCESS
}

async fn serve(origin: SocketAddr, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("a free port");
    let pool = Pool::new(origin);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).ok();
        let pool = pool.clone();
        let peer = HeaderValue::from_str(&peer.ip().to_string()).expect("an address is a value");
        tokio::spawn(async move {
            let service = service_fn(move |request| exchange(pool.clone(), peer.clone(), request));
            // A client that goes away ends its connection; there is nobody to tell.
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn exchange(
    pool: Pool,
    peer: HeaderValue,
    mut request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    forward(request.headers_mut(), peer);
    let sent = tokio::time::timeout(RESPONSE_TIMEOUT, pool.send(request)).await;
    let Ok(Ok(mut response)) = sent else {
        let mut response = Response::new(Either::Right(Empty::new()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(response);
    };
    drop_hop_by_hop(response.headers_mut());
    Ok(response.map(Either::Left))
}

fn forward(headers: &mut HeaderMap, peer: HeaderValue) {
    drop_hop_by_hop(headers);
    headers.insert(HeaderName::from_static("x-forwarded-for"), peer);
    headers.insert(
        HeaderName::from_static("x-forwarded-proto"),
        HeaderValue::from_static("http"),
    );
    headers.insert(
        HeaderName::from_static("x-request-id"),
        HeaderValue::from_static("0123456789abcdef0123456789abcdef"),
    );
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
