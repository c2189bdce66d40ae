//! An endpoint, whatever it speaks. What it does a request's path says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pailou_upstream::Http;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::{Body, pieces, whole};

/// Answers by the end of the path:
///
/// | path | answer |
/// |---|---|
/// | `/mirror` | the request's head, a line each |
/// | `/count` | the size of the body, and its trailer `x-sum`, which is the answer's trailer as well |
/// | `/echo` | the body, piece by piece |
/// | `/big/{bytes}` | so many bytes |
/// | `/status/{code}` | that status |
/// | `/never` | nothing |
/// | `/die` | the end of the connection |
/// | `/half` | a head and a part of the body, then the end of the connection |
/// | `/early` | 413, without a look at the body |
/// | `/events` | an event, and another one at each word of `go_on` |
/// | `/hops` | fields of one hop |
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    active: AtomicUsize,
    go_on: Notify,
}

impl Endpoint {
    pub(super) async fn start(http: Http) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<State>::default();
        let mut tasks = JoinSet::new();
        let shared = state.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a socket");
                connections.spawn(serve(stream, http, shared.clone()));
            }
        });
        Endpoint {
            address,
            state,
            _tasks: tasks,
        }
    }

    /// Requests that it has and has not answered.
    pub(super) fn active(&self) -> usize {
        self.state.active.load(SeqCst)
    }

    /// Lets `/events` go on.
    pub(super) fn go_on(&self) {
        self.state.go_on.notify_one();
    }
}

/// Serves a connection until it ends, or is to die.
async fn serve(stream: TcpStream, http: Http, state: Arc<State>) {
    let dies = Arc::new(Notify::new());
    let service = service_fn(|request| answer(request, state.clone(), dies.clone()));
    let stream = TokioIo::new(stream);
    let serving = async {
        match http {
            Http::Http1 => drop(
                http1::Builder::new()
                    .serve_connection(stream, service)
                    .await,
            ),
            Http::Http2 => {
                let builder = http2::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(stream, service).await);
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = dies.notified() => {}
    }
}

/// A request that is under way.
struct Active(Arc<State>);

impl Active {
    fn begin(state: &Arc<State>) -> Active {
        state.active.fetch_add(1, SeqCst);
        Active(state.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, SeqCst);
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    dies: Arc<Notify>,
) -> Result<Response<Body>, Infallible> {
    let active = Active::begin(&state);
    let path = request.uri().path().to_owned();
    let mut ends = path.rsplit('/');
    let (last, before) = (
        ends.next().unwrap_or_default(),
        ends.next().unwrap_or_default(),
    );
    let number = last.parse().unwrap_or_default();
    Ok(match (before, last) {
        (_, "mirror") => Response::new(whole(head_of(&request))),
        (_, "count") => count(request).await,
        (_, "echo") => echo(request),
        ("big", _) => Response::new(whole(vec![b'x'; number])),
        ("status", _) => {
            let body = match number {
                204 => String::new(),
                number => format!("status {number}"),
            };
            let answer = Response::builder().status(last);
            answer.body(whole(body)).expect("an answer")
        }
        (_, "early") => {
            let answer = Response::builder().status(413);
            answer.body(whole("early")).expect("an answer")
        }
        (_, "events") => events(state, active),
        (_, "hops") => hops(),
        (_, "half") => {
            let (sender, body) = pieces();
            let _ = sender.try_send(Frame::data(Bytes::from_static(b"half")));
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                dies.notify_one();
                drop(sender);
            });
            let answer = Response::builder().header("content-length", "8");
            answer.body(body).expect("an answer")
        }
        (_, "die") => {
            dies.notify_one();
            std::future::pending().await
        }
        _ => std::future::pending().await,
    })
}

fn head_of(request: &Request<Incoming>) -> String {
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    let mut head = format!("{} {target}\n", request.method());
    // HTTP/2 names the host elsewhere.
    if let Some(authority) = request.uri().authority() {
        head.push_str(&format!("host: {authority}\n"));
    }
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\n", value.to_str().expect("ASCII")));
    }
    head
}

async fn count(request: Request<Incoming>) -> Response<Body> {
    let Ok(body) = request.into_body().collect().await else {
        let answer = Response::builder().status(400);
        return answer.body(whole("the body is cut")).expect("an answer");
    };
    let trailers = body.trailers().cloned().unwrap_or_default();
    let sum = trailers.get("x-sum").cloned();
    let sum = sum.unwrap_or(HeaderValue::from_static("none"));
    let bytes = body.to_bytes().len();
    let (sender, answer) = pieces();
    let said = format!("{bytes} {}", sum.to_str().expect("ASCII"));
    let _ = sender.try_send(Frame::data(said.into()));
    let name = http::HeaderName::from_static("x-sum");
    let _ = sender.try_send(Frame::trailers(HeaderMap::from_iter([(name, sum)])));
    let head = Response::builder().header("trailer", "x-sum");
    head.body(answer).expect("an answer")
}

fn echo(request: Request<Incoming>) -> Response<Body> {
    let (sender, answer) = pieces();
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data()
                && sender.send(Frame::data(data)).await.is_err()
            {
                return;
            }
        }
    });
    Response::new(answer)
}

fn events(state: Arc<State>, active: Active) -> Response<Body> {
    let (sender, answer) = pieces();
    tokio::spawn(async move {
        let _active = active;
        for number in 1..=3 {
            if number > 1 {
                state.go_on.notified().await;
            }
            let event = format!("data: {number}\n\n");
            if sender.try_send(Frame::data(event.into())).is_err() {
                return;
            }
        }
    });
    let head = Response::builder().header("content-type", "text/event-stream");
    head.body(answer).expect("an answer")
}

/// What is of one hop. HTTP/2 has no such fields; what is left of them there is
/// still nobody else's.
fn hops() -> Response<Body> {
    Response::builder()
        .header("connection", "x-own")
        .header("keep-alive", "timeout=5")
        .header("proxy-authenticate", "Basic")
        .header("x-application-context", "shop:prod:80")
        .header("x-kept", "1")
        .body(whole("hops"))
        .expect("an answer")
}
