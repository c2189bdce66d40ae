//! One question to one endpoint.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pailou_config::CheckKind;
use pailou_upstream::{CheckFailure, Http, Target};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::proxy_header::Introduction;
use crate::transport::{ConnectFailure, Remote, Secured, Transport};
use crate::wire::Wire;

const AGENT: HeaderValue = HeaderValue::from_static("pailou-health-check");
/// The answer of `Check` is one message of two bytes; a longer one than this is something else.
const MOST_ANSWER_BYTES: usize = 1_024;
/// `HealthCheckResponse { status: SERVING }`: field 1, a number, is 1. The message has no other field.
const SERVING: [u8; 2] = [0x08, 1];

/// Asks an endpoint, within the check's time. `None`: the gateway had no socket, and has learned nothing.
pub(super) async fn ask(
    target: &Target,
    transport: &Transport,
) -> Option<Result<(), CheckFailure>> {
    let spec = &target.check.spec;
    let due = Instant::now() + spec.timeout;
    let remote = remote(target);
    let wire = match transport.connect(&remote, spec.timeout).await {
        Ok(wire) => wire,
        Err(ConnectFailure::Ours) => return None,
        Err(ConnectFailure::Refused) => return Some(Err(CheckFailure::Refused)),
        Err(ConnectFailure::TimedOut) => return Some(Err(CheckFailure::ConnectTimeout)),
        Err(ConnectFailure::Tls) => return Some(Err(CheckFailure::Tls)),
    };
    let asked = async {
        match &spec.kind {
            CheckKind::Tcp => Ok(()),
            CheckKind::Http(path) => http(target, &remote, wire, path).await,
            CheckKind::Grpc(service) => grpc(target, &remote, wire, service).await,
        }
    };
    let answer = timeout_at(due, asked).await;
    Some(answer.unwrap_or(Err(CheckFailure::Timeout)))
}

/// Where the endpoint is asked, and how.
fn remote(target: &Target) -> Remote {
    let check = &target.check;
    let transport = check.transport.unwrap_or(target.transport);
    let http = match check.spec.kind {
        CheckKind::Grpc(_) => Http::Http2,
        CheckKind::Tcp | CheckKind::Http(_) => transport.http,
    };
    let mut address = target.address;
    if let (Http::Http2, Some(port)) = (http, target.grpc_port) {
        address.set_port(port);
    }
    if let Some(port) = check.spec.port {
        address.set_port(port);
    }
    Remote {
        address,
        http,
        tls: transport.tls.then(|| Secured {
            profile: check.upstream_tls,
            host: target.host.clone(),
        }),
        introduction: check.proxy_protocol.then(|| Box::new(Introduction::Own)),
    }
}

async fn http(
    target: &Target,
    remote: &Remote,
    wire: Wire,
    path: &str,
) -> Result<(), CheckFailure> {
    let request = request(target, remote, Method::GET, path, Bytes::new());
    let (answer, _driver) = send(remote, wire, request).await?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(CheckFailure::Status(status.as_u16())),
    }
}

/// `grpc.health.v1.Health/Check`, as the gRPC project describes it.
async fn grpc(
    target: &Target,
    remote: &Remote,
    wire: Wire,
    service: &str,
) -> Result<(), CheckFailure> {
    let path = "/grpc.health.v1.Health/Check";
    let mut request = request(target, remote, Method::POST, path, message(service));
    let headers = request.headers_mut();
    let call = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, call);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let (answer, _driver) = send(remote, wire, request).await?;
    if answer.status() != StatusCode::OK {
        return Err(CheckFailure::Status(answer.status().as_u16()));
    }
    let (head, body) = answer.into_parts();
    let whole = Limited::new(body, MOST_ANSWER_BYTES).collect().await;
    let whole = whole.map_err(|_| CheckFailure::Broken)?;
    let trailers = whole.trailers().and_then(status).or(status(&head.headers));
    match trailers {
        Some(0) => {}
        Some(status) => return Err(CheckFailure::GrpcStatus(status)),
        None => return Err(CheckFailure::Broken),
    }
    match whole.to_bytes().strip_prefix(&[0, 0, 0, 0, 2]) {
        Some(message) if message == SERVING => Ok(()),
        _ => Err(CheckFailure::NotServing),
    }
}

fn status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// `HealthCheckRequest { service }`, uncompressed: field 1, a text. The names of services are shorter than the two bytes of a length allow.
fn message(service: &str) -> Bytes {
    let mut field = BytesMut::new();
    if !service.is_empty() {
        field.put_u8(0x0a);
        let mut left = service.len();
        while left >= 0x80 {
            field.put_u8(left as u8 | 0x80);
            left >>= 7;
        }
        field.put_u8(left as u8);
        field.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(field.len() as u32);
    message.put_slice(&field);
    message.freeze()
}

fn request(
    target: &Target,
    remote: &Remote,
    method: Method,
    path: &str,
    body: Bytes,
) -> Request<Full<Bytes>> {
    let authority = match &target.host {
        Some(host) => format!("{host}:{}", remote.address.port()),
        None => remote.address.to_string(),
    };
    let scheme = match remote.tls {
        Some(_) => "https",
        None => "http",
    };
    let (uri, host) = match remote.http {
        Http::Http1 => (path.to_owned(), HeaderValue::try_from(authority).ok()),
        Http::Http2 => (format!("{scheme}://{authority}{path}"), None),
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // Both were checked when the settings were read.
    *request.uri_mut() = uri.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::USER_AGENT, AGENT);
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    request
}

/// Sends a request on a new connection; the head of its answer, and what drives the connection while it is held.
async fn send(
    remote: &Remote,
    wire: Wire,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, JoinSet<()>), CheckFailure> {
    let broken = |_: hyper::Error| CheckFailure::Broken;
    let mut driver = JoinSet::new();
    let io = TokioIo::new(wire);
    let answer = match remote.http {
        Http::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await.map_err(broken)?;
            // How it ends is told to whoever waits for the answer.
            driver.spawn(async move { drop(connection.await) });
            sender.send_request(request).await
        }
        Http::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new());
            let (mut sender, connection) = builder.handshake(io).await.map_err(broken)?;
            driver.spawn(async move { drop(connection.await) });
            sender.send_request(request).await
        }
    };
    Ok((answer.map_err(broken)?, driver))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_of_grpc_names_its_service() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        let long = "s".repeat(200);
        assert_eq!(message(&long)[..8], [0, 0, 0, 0, 203, 0x0a, 200, 1]);
    }
}
