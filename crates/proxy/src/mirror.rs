//! Copies of requests, as the mirrors of a route send them.
//!
//! A step decides which requests are copied, and how the copy looks. The copy is sent by a task of its own once the
//! request is on its way to an endpoint and all of its body has come from the client. The request never waits for
//! that. What becomes of a copy is counted, and says nothing about any endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use pailou_filters::{AskError, CopyPlace, Mirror, MirrorCopy};
use pailou_telemetry::{Agreement, MirrorMetrics};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::ask::{Asked, Asking};
use crate::exchange::Exchange;
use crate::panics::ToldOfPanic;
use crate::server::Server;

/// The most bytes of an answer that are read. Beyond them its connection is closed.
const MOST_ANSWER_BYTES: usize = 1 << 20;

/// How long a drain waits for the copies that are under way.
const DRAIN: Duration = Duration::from_secs(1);

/// The copies of one request.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Those that are sent with the first try.
    pub(crate) planned: Vec<MirrorCopy>,
    /// Who is told how the request itself was answered.
    compared: Vec<oneshot::Sender<u16>>,
}

impl Copies {
    /// The request is over; 0 if it has no status.
    pub(crate) fn tell(&mut self, status: u16) {
        for copy in self.compared.drain(..).filter(|_| status != 0) {
            // A copy that failed does not ask.
            let _ = copy.send(status);
        }
    }
}

/// The request is on its way: its copies are sent as soon as its body is there.
pub(crate) fn launch(exchange: &mut Exchange) {
    if exchange.copies.planned.is_empty() || exchange.web.is_some() {
        return;
    }
    for planned in std::mem::take(&mut exchange.copies.planned) {
        let compares = planned.mirror.compares() && !exchange.grpc;
        let original = compares.then(|| {
            let (told, original) = oneshot::channel();
            exchange.copies.compared.push(told);
            original
        });
        let copy = Copy {
            ending: Ending::of(&planned.mirror),
            planned: Box::new(planned),
            original,
            server: Arc::clone(&exchange.server),
        };
        match &exchange.upload {
            Some(upload) => upload.copy(copy),
            None => copy.send(Bytes::new()),
        }
    }
}

/// A copy whose body has not come yet.
#[derive(Debug)]
pub(crate) struct Copy {
    planned: Box<MirrorCopy>,
    /// The status of the original, once it is over.
    original: Option<oneshot::Receiver<u16>>,
    server: Arc<Server>,
    ending: Ending,
}

impl Copy {
    /// The most bytes of its body.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.planned.mirror.body_bytes()
    }

    /// Does not send it, since its body has more.
    pub(crate) fn drop_too_long(mut self) {
        self.ending.outcome = "body_too_long";
    }

    /// Sends it, unless too many are under way.
    pub(crate) fn send(mut self, body: Bytes) {
        let Some(place) = self.planned.mirror.place() else {
            self.ending.outcome = "too_many";
            return;
        };
        self.ending.outcome = "cut";
        let under_way = Sending {
            _place: place,
            _one: OneUnderWay::begin(&self.server),
            due: Instant::now() + self.planned.mirror.timeout(),
        };
        tokio::spawn(self.run(under_way, body));
    }

    async fn run(mut self, under_way: Sending, body: Bytes) {
        let _told = ToldOfPanic::new("mirror", &self.server.metrics);
        let server = Arc::clone(&self.server);
        let mirror = Arc::clone(&self.planned.mirror);
        let asking = Asking {
            server: &server,
            reports: false,
        };
        let request = self.request(body);
        let asked = timeout_at(under_way.due, asking.head(mirror.destination(), &request)).await;
        let asked = match asked {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => return self.ending.outcome = outcome(error),
            Err(_) => return self.ending.outcome = "timed_out",
        };
        self.ending.outcome = "answered";
        drop(request);
        self.compare(&asking, asked, under_way).await;
    }

    /// Throws the body of an answer away, and says how its status compares with the original's.
    async fn compare(self, asking: &Asking<'_>, asked: Asked, under_way: Sending) {
        let status = asked.head.status.as_u16();
        // The status has been said, and a body that ends too late has no other meaning.
        let _ = timeout_at(under_way.due, asking.discard(asked, MOST_ANSWER_BYTES)).await;
        drop(under_way);
        let original = match self.original {
            // It has an end: that of the request.
            Some(original) => original.await.ok(),
            None => None,
        };
        let agreement = original.map_or(Agreement::NotCompared, |original| {
            Agreement::of(original, status)
        });
        let mirror = &self.planned.mirror;
        mirror.metrics().answered(status, agreement);
        if mirror.says(agreement) {
            let id = self.planned.headers.get("x-request-id");
            tracing::info!(
                target: "pailou",
                mirror = mirror.metrics().name(),
                request_id = id.and_then(|id| id.to_str().ok()),
                method = self.planned.method.as_str(),
                path = self.planned.target.path(),
                status = original,
                copy_status = status,
                "a copy was answered in another way than its original"
            );
        }
    }

    fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut headers = self.planned.headers.clone();
        if !body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.planned.method.clone();
        *request.uri_mut() = self.planned.target.clone();
        *request.headers_mut() = headers;
        request
    }
}

/// A copy that is being sent and answered.
struct Sending {
    _place: CopyPlace,
    _one: OneUnderWay,
    /// When the answer is due.
    due: Instant,
}

fn outcome(error: AskError) -> &'static str {
    match error {
        AskError::NoEndpoint => "no_endpoint",
        AskError::Refused => "refused",
        _ => "broken",
    }
}

/// Counts what became of a copy, when it is dropped.
#[derive(Debug)]
struct Ending {
    metrics: Arc<MirrorMetrics>,
    outcome: &'static str,
}

impl Ending {
    /// Of a copy whose body has not come.
    fn of(mirror: &Mirror) -> Ending {
        Ending {
            metrics: Arc::clone(mirror.metrics()),
            outcome: "body_incomplete",
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.metrics.count(match std::thread::panicking() {
            true => "panicked",
            false => self.outcome,
        });
    }
}

/// How many copies are under way, for a drain.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(AtomicUsize);

/// One of them.
struct OneUnderWay(Arc<Server>);

impl OneUnderWay {
    fn begin(server: &Arc<Server>) -> OneUnderWay {
        server.copies.0.fetch_add(1, Relaxed);
        OneUnderWay(Arc::clone(server))
    }
}

impl UnderWay {
    /// Waits until none is under way, for a moment at most.
    pub(crate) async fn leave(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        let due = Instant::now() + DRAIN;
        while self.0.load(Relaxed) > 0 && Instant::now() < due {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for OneUnderWay {
    fn drop(&mut self) {
        self.0.copies.0.fetch_sub(1, Relaxed);
    }
}
