//! One request, from its head to its last byte: the order of what happens.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use pailou_filters::{Answer, Change, Facts, FlowPlace, Identity, Note, ResponseHalf};
use pailou_routing::Route;
use pailou_telemetry::events::{RequestDone, TryEnd};
use pailou_telemetry::{RequestInFlight, RequestWaiting};
use pailou_upstream::{Pick, Tried};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::account::{Account, Said};
use crate::answer;
use crate::breaker::{self, Frame, Guard};
use crate::cause::Cause;
use crate::connection::{Owed, Shared};
use crate::deadline::Timer;
use crate::download::Download;
use crate::edge::Heading;
use crate::forwarded::Scheme;
use crate::grpc::{self, Messages};
use crate::grpc_web::Web;
use crate::hops;
use crate::mirror::Copies;
use crate::plan;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::respond;
use crate::server::Server;
use crate::streams;
use crate::tries;
use crate::upload::{Awaited, Upload};

/// The state of one request. When it is dropped the request is over, and one
/// event says what became of it.
pub(crate) struct Exchange {
    pub(crate) server: Arc<Server>,
    pub(crate) connection: Shared,
    pub(crate) began: Instant,
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// Whether the client wants its connection to end after this request.
    pub(crate) closes: bool,
    pub(crate) request_id: RequestId,
    /// As it was matched.
    pub(crate) path: Bytes,
    pub(crate) client: IpAddr,
    /// The scheme that the client used; a trusted proxy may say which.
    pub(crate) scheme: Scheme,
    /// The Host header as it came.
    pub(crate) host: HeaderValue,
    /// The random number for weight groups. It stays the same, however often a route
    /// is looked for.
    pub(crate) draw: u32,
    pub(crate) route: Option<Arc<Route>>,
    /// Which endpoints of the service the request asks for, if the route allows that.
    pub(crate) part: Option<String>,
    /// The hash of what keeps it together with others, where the route's policy hashes.
    pub(crate) key: Option<u64>,
    /// Who it is of, once a step has found that.
    pub(crate) identity: Option<Arc<Identity>>,
    /// Counts it as one that waits for its answer, where that is bounded.
    pub(crate) waiting: Option<RequestWaiting>,
    /// Whether flow rules have counted it.
    pub(crate) is_counted: bool,
    /// What flow rules gave it until it ends.
    pub(crate) places: Vec<FlowPlace>,
    /// The steps that the request has passed, route by route.
    pub(crate) passed: Vec<Passed>,
    /// The circuit breakers among these steps that have not been told the outcome yet.
    pub(crate) guards: Vec<Guard>,
    /// What a breaker needs to send the request to another route.
    pub(crate) frame: Option<Box<Frame>>,
    /// Whether a breaker has sent the request to another route.
    pub(crate) fell_back: bool,
    /// The copies that mirrors make of it.
    pub(crate) copies: Copies,
    /// What steps want to change in the response, whoever gives it.
    pub(crate) response_changes: Vec<Change>,
    /// The protocol that the client asks to switch to, if it may.
    pub(crate) upgrade: Option<HeaderValue>,
    /// Whether it is a gRPC call: its errors are gRPC statuses.
    pub(crate) grpc: bool,
    /// The form of the answer for a client that speaks gRPC-Web.
    pub(crate) web: Option<Web>,
    /// Whether the client waits for an interim answer.
    pub(crate) expects_continue: bool,
    /// The request's body, unless it has none.
    pub(crate) upload: Option<Arc<Upload>>,
    /// When the response's head is due, once the request is all sent.
    pub(crate) response_due: Option<Instant>,
    pub(crate) total_due: Option<Instant>,
    /// The endpoint of the try under way, in flight until it is dropped.
    pub(crate) pick: Option<Pick>,
    pub(crate) tried: Tried,
    pub(crate) tries: u32,
    /// How many tries there were before a circuit breaker sent the request to
    /// another route.
    pub(crate) tries_before: u32,
    /// The tries that failed.
    pub(crate) failed_tries: Vec<TryEnd>,
    /// How many of the tries were refused connections.
    pub(crate) refusals: u32,
    /// Whether every endpoint was tried, and a second round has begun.
    pub(crate) returned: bool,
    pub(crate) try_began: Instant,
    /// The address of the endpoint of the try under way, and the address that the
    /// try connects to.
    pub(crate) picked: Option<SocketAddr>,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) account: Account,
    pub(crate) status: u16,
    pub(crate) cause: Option<Cause>,
    /// Where the client is sent.
    pub(crate) location: Option<HeaderValue>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) timer: Timer,
    /// Counts the request as in flight. After an early answer it stays with the rest
    /// of the upload.
    pub(crate) in_flight: Option<RequestInFlight>,
    _owed: Owed,
}

/// Serves a request, in this order:
///
/// 1. `plan`: the head is checked, its target parsed.
/// 2. `dispatch`: its route is found; `steps`: the route's steps change the head
///    that every try sends. A gate waits here, with its deadline. A route may
///    forward the request to another.
/// 3. `tries`: an endpoint is picked and asked; another one if that is safe.
/// 4. `respond`: the response's head; `rewrite` lets the steps change it, and a
///    body that they take whole.
/// 5. `download`: the response's body passes, or `tunnel`: bytes both ways.
/// 6. The event, when the exchange is dropped.
///
/// What ends it before an endpoint's response becomes an `answer` of the
/// gateway's own: a step's, or a problem.
pub(crate) async fn serve(
    server: Arc<Server>,
    connection: Shared,
    heading: Option<Heading>,
    request: Request<Incoming>,
) -> Result<Response<Download>, Infallible> {
    streams::serves(&connection);
    let mut exchange = Box::new(Exchange::begin(server, connection, &request));
    let received = match exchange.ask(heading, request).await {
        Ok(received) => received,
        Err(Ended::Answered(said)) => return Ok(answer::step(&mut exchange, *said)),
        Err(Ended::Failed(cause)) => return Ok(answer::problem(&mut exchange, cause)),
    };
    Ok(respond::respond(exchange, received).await)
}

/// Steps of a route that a request has passed: its response passes them too.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) route: Arc<Route>,
    pub(crate) facts: Box<Facts>,
    /// How many of the route's steps.
    pub(crate) steps: usize,
    /// The notes of these steps, each with the step's place.
    pub(crate) notes: Vec<(usize, Note)>,
}

impl Passed {
    /// The response half of these steps.
    pub(crate) fn response(&self) -> ResponseHalf<'_> {
        self.route.chain.response(self.steps, &self.notes)
    }
}

/// Why a request ended before an endpoint answered it.
pub(crate) enum Ended {
    /// A step of the route gave the answer.
    Answered(Box<Answer>),
    Failed(Cause),
}

impl From<Cause> for Ended {
    fn from(cause: Cause) -> Ended {
        Ended::Failed(cause)
    }
}

impl Exchange {
    fn begin(server: Arc<Server>, connection: Shared, request: &Request<Incoming>) -> Exchange {
        let said = match server.access_log.is_on() {
            true => Said::of(request),
            false => Said::default(),
        };
        let grpc = grpc::is_call(request.headers()) && !connection.switches();
        let began = Instant::now();
        Exchange {
            in_flight: Some(server.metrics.request_started()),
            _owed: connection.owe(),
            began,
            method: request.method().clone(),
            version: request.version(),
            closes: hops::closes(request.headers(), request.version()),
            request_id: RequestId::of(request.headers().get(&X_REQUEST_ID)),
            path: Bytes::new(),
            client: connection.peer.address,
            scheme: connection.scheme(),
            host: HeaderValue::from_static(""),
            draw: fastrand::u32(..),
            route: None,
            part: None,
            key: None,
            identity: None,
            waiting: None,
            is_counted: false,
            places: Vec::new(),
            passed: Vec::new(),
            guards: Vec::new(),
            frame: None,
            fell_back: false,
            copies: Copies::default(),
            response_changes: Vec::new(),
            upgrade: None,
            grpc,
            web: None,
            expects_continue: false,
            upload: None,
            response_due: None,
            total_due: None,
            pick: None,
            tried: Tried::none(),
            tries: 0,
            tries_before: 0,
            failed_tries: Vec::new(),
            refusals: 0,
            returned: false,
            try_began: began,
            picked: None,
            upstream: None,
            account: Account::new(grpc, said),
            status: 0,
            cause: None,
            location: None,
            bytes_in: 0,
            bytes_out: 0,
            timer: connection.take_timer(),
            server,
            connection,
        }
    }

    /// From the request to the head of an endpoint's response.
    async fn ask(
        &mut self,
        heading: Option<Heading>,
        request: Request<Incoming>,
    ) -> Result<tries::Received, Ended> {
        let heading = heading.ok_or(Cause::Internal)?;
        let planned = plan::plan(self, heading, request);
        // A fault in a step costs its request alone.
        let planned = AssertUnwindSafe(planned).catch_unwind().await;
        let planned = planned.unwrap_or(Err(Cause::Panic.into()));
        let outcome = match planned {
            Ok(planned) => tries::send(self, &planned).await,
            Err(ended) => Err(ended),
        };
        match self.guards.is_empty() {
            true => outcome,
            false => Box::pin(breaker::settle(self, outcome)).await,
        }
    }

    /// Ready, with the reason, when the time before the response's head is over.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        if self.expects_continue {
            self.connection.waits(cx.waker());
        }
        loop {
            let (due, cause) = self.head_due(cx);
            std::task::ready!(self.timer.poll_until(cx, due));
            // It may have moved on while the timer ran.
            if self.head_due(cx).0 <= due {
                return Poll::Ready(cause);
            }
        }
    }

    /// When the response's head is due, and the cause if it is late.
    fn head_due(&mut self, cx: &Context<'_>) -> (Instant, Cause) {
        let awaited = match &self.upload {
            Some(upload) => upload.awaited(cx),
            None => Awaited::Answer(self.began),
        };
        let far = self.began + Duration::from_secs(86_400);
        let (due, cause) = match awaited {
            Awaited::Nothing => (far, Cause::Internal),
            Awaited::Upload(due, cause) => (due, cause),
            // The endpoint's time runs from the last byte it was sent; a second
            // try does not start it again.
            Awaited::Answer(since) => {
                let response = self.response_timeout();
                let due = *self.response_due.get_or_insert(since + response);
                let of_try = self.try_time().map(|time| since.max(self.try_began) + time);
                let due = of_try.map_or(due, |of_try| of_try.min(due));
                (due, Cause::ResponseTimeout)
            }
        };
        self.bounded(due, cause)
    }

    /// How long the endpoint has taken to answer: since the try began, or since the client had sent the last of its body, whose pace is
    /// not the endpoint's.
    pub(crate) fn answer_took(&self) -> Duration {
        let sent = self.upload.as_ref().and_then(|upload| upload.sent_at());
        let since = sent.map_or(self.try_began, |sent| sent.max(self.try_began));
        since.elapsed()
    }

    /// When a connection must be made, and the cause if it is late. A request that
    /// still has a body to send has as much time for its connection as for its
    /// answer.
    pub(crate) fn connect_due(&self) -> (Instant, Cause) {
        let due = self
            .response_due
            .unwrap_or(self.began + self.response_timeout());
        self.bounded(due, Cause::ResponseTimeout)
    }

    /// The earliest of `due` and the deadlines of the circuit breakers and of the whole
    /// exchange, which apply to everything before the response's head.
    fn bounded(&self, due: Instant, cause: Cause) -> (Instant, Cause) {
        let guards = self.guards.iter().filter_map(|guard| guard.due);
        let guards = guards.map(|due| (due, Cause::CircuitTimeout));
        let total = self.total_due.map(|due| (due, Cause::TotalTimeout));
        let earlier = guards.chain(total).filter(|(bound, _)| *bound < due);
        earlier.min_by_key(|(due, _)| *due).unwrap_or((due, cause))
    }

    fn response_timeout(&self) -> Duration {
        let route = self.route.as_ref();
        route.map_or(Duration::ZERO, |route| route.timeouts.response)
    }

    /// How long one try may take for its answer, if it has a time of its own.
    pub(crate) fn try_time(&self) -> Option<Duration> {
        self.route.as_ref().and_then(|route| route.retry.per_try)
    }

    /// How long a tunnel may be silent.
    pub(crate) fn tunnel_idle_timeout(&self) -> Duration {
        let route = self.route.as_ref();
        route.map_or(Duration::MAX, |route| route.timeouts.tunnel_idle)
    }

    /// For a tunnel that is a WebSocket: says when it has to end with the gateway.
    /// `None` for any other tunnel, since the gateway does not know its protocol.
    pub(crate) fn stops_websocket(&self) -> Option<watch::Receiver<bool>> {
        let protocol = self.upgrade.as_ref()?;
        let is_websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
        is_websocket.then(|| self.server.stopping())
    }

    /// Changes a response's head as the steps wanted when the request passed them.
    pub(crate) fn change_response(&self, headers: &mut HeaderMap) {
        for change in &self.response_changes {
            change.apply(headers);
        }
    }

    /// The tunnel that the request became has ended.
    pub(crate) fn tunnelled(&mut self, up: u64, down: u64) {
        self.bytes_in += up;
        self.bytes_out += down;
    }
}

impl Exchange {
    /// The event at the end.
    fn tell(&self) {
        let (server, account) = (&self.server, &self.account);
        let ended = Instant::now();
        let upload = self.upload.as_ref();
        let asked = upload.map_or_else(Messages::default, |upload| upload.messages());
        RequestDone {
            route: self.route.as_ref().map(|route| &*route.metrics),
            method: self.method.as_str(),
            scheme: self.scheme.name(),
            version: version_name(self.version),
            host: Some(self.host.as_bytes()),
            path: std::str::from_utf8(&self.path).unwrap_or_default(),
            status: self.status,
            cause: self.cause.map(|cause| cause.answer().cause),
            stream: account.stream(asked, ended),
            request_id: self.request_id.as_str(),
            trace_id: account.said.trace_id(),
            client: Some(self.client),
            user: self
                .identity
                .as_ref()
                .and_then(|identity| identity.subject.as_deref()),
            user_agent: account.said.user_agent(),
            referrer: account.said.referrer(),
            upstream: self.upstream,
            tries: self.tries,
            failed_tries: &self.failed_tries,
            duration: ended.duration_since(self.began),
            first_byte: account.first_byte(self.began),
            upstream_duration: account.upstream(ended),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        }
        .record(&server.metrics, &server.access_log);
    }
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.pick = None;
        if self.status == 0 && self.cause.is_none() {
            // The task was dropped: the client went away, or was cut.
            self.cause = Some(match std::thread::panicking() {
                true => Cause::Panic,
                false => Cause::ClientGone,
            });
        }
        if let Some(upload) = &self.upload {
            self.bytes_in = upload.bytes();
        }
        self.tell();
        self.copies.tell(self.status);
        self.connection
            .end_exchange(std::mem::take(&mut self.timer));
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("request_id", &self.request_id)
            .field("upstream", &self.upstream)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine moves the future of an exchange twice, so rare parts of it belong
    /// into a box.
    #[test]
    fn the_future_of_an_exchange_is_small() {
        fn size<F: Future>(
            _: impl FnOnce(Arc<Server>, Shared, Option<Heading>, Request<Incoming>) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let bytes = size(serve);
        assert!(bytes <= 3 << 10, "{bytes} bytes");
    }
}
