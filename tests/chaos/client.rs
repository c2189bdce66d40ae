//! A client that sends on a schedule and waits for nobody.
//!
//! Request `n` is due `n / rate` seconds after the start, whatever became of those before it, and its time counts from then. So a
//! gateway that stops for a second shows as many late answers, and not as one (no coordinated omission). Each request has a
//! number, and each answer must be the one to that number, byte for byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::origin::{INSTANCE, NUMBER, body_of};
use crate::support::until;

/// After this time a request has failed, whatever comes.
pub(crate) const LATEST: Duration = Duration::from_secs(5);

/// Numbers are given once, so that one ledger does for several loads.
static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);
const BLOCK: u64 = 1 << 32;

/// What is sent over and over.
#[derive(Clone)]
pub(crate) struct Errand {
    pub(crate) address: SocketAddr,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Whether each request opens a connection of its own.
    pub(crate) is_fresh: bool,
}

/// What became of one request.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// When it was due, from the start of the load.
    pub(crate) due: Duration,
    /// From then to the last byte of its answer, or to its failure.
    pub(crate) took: Duration,
    /// Why it failed; nothing when its own answer came.
    pub(crate) failure: Option<String>,
}

/// A load that runs.
pub(crate) struct OpenLoop {
    began: Instant,
    shared: Arc<Shared>,
    schedule: JoinHandle<()>,
}

struct Shared {
    errand: Errand,
    first: u64,
    stop: AtomicBool,
    begun: AtomicU64,
    ended: AtomicU64,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    samples: Mutex<Vec<Sample>>,
}

impl OpenLoop {
    /// Starts a load of GETs.
    pub(crate) fn get(address: SocketAddr, path: &str, rate: f64) -> OpenLoop {
        OpenLoop::start(Errand {
            address,
            method: Method::GET,
            path: path.to_owned(),
            rate,
            is_fresh: false,
        })
    }

    /// Starts a load of POSTs.
    pub(crate) fn post(address: SocketAddr, path: &str, rate: f64) -> OpenLoop {
        OpenLoop::start(Errand {
            address,
            method: Method::POST,
            path: path.to_owned(),
            rate,
            is_fresh: false,
        })
    }

    /// Starts a load.
    pub(crate) fn start(errand: Errand) -> OpenLoop {
        let shared = Arc::new(Shared {
            errand,
            first: NEXT_BLOCK.fetch_add(1, SeqCst) * BLOCK,
            stop: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            idle: Mutex::default(),
            samples: Mutex::default(),
        });
        let began = Instant::now();
        let schedule = tokio::spawn(keep_schedule(Arc::clone(&shared), began));
        OpenLoop {
            began,
            shared,
            schedule,
        }
    }

    /// How long it has run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until this much more of the schedule has gone by.
    pub(crate) async fn goes_on_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            assert!(!self.schedule.is_finished(), "the load ended early");
            tokio::time::sleep_until(end.min(Instant::now() + Duration::from_millis(100))).await;
        }
    }

    /// Sends no more, waits for what is under way, and tells.
    pub(crate) async fn finish(self) -> Outcome {
        self.shared.stop.store(true, SeqCst);
        self.schedule.await.expect("the schedule");
        let shared = &self.shared;
        until("every request to end", async || {
            (shared.ended.load(SeqCst) == shared.begun.load(SeqCst)).then_some(())
        })
        .await;
        let samples = std::mem::take(&mut *shared.samples.lock().expect("samples"));
        let begun = shared.begun.load(SeqCst);
        Outcome {
            numbers: shared.first..shared.first + begun,
            samples,
        }
    }
}

async fn keep_schedule(shared: Arc<Shared>, began: Instant) {
    for n in 0.. {
        let due = Duration::from_secs_f64(n as f64 / shared.errand.rate);
        tokio::time::sleep_until(began + due).await;
        if shared.stop.load(SeqCst) {
            return;
        }
        shared.begun.fetch_add(1, SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let at = began + due;
            let number = shared.first + n;
            let one = tokio::time::timeout_at(at + LATEST, shared.one(number));
            let failure = match one.await {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure),
                Err(_) => Some("no answer in 5 s".to_owned()),
            };
            let took = at.elapsed();
            let sample = Sample { due, took, failure };
            shared.samples.lock().expect("samples").push(sample);
            shared.ended.fetch_add(1, SeqCst);
        });
    }
}

impl Shared {
    /// One request, to the last byte of its answer.
    async fn one(&self, number: u64) -> Result<(), String> {
        let idle = self.idle_connection();
        let (mut connection, mut is_used) = match idle {
            Some(connection) => (connection, true),
            None => (self.connect().await?, false),
        };
        let response = loop {
            match connection.try_send_request(self.request(number)).await {
                Ok(response) => break response,
                // The peer closed an idle connection, and no byte was written: every client takes another one.
                Err(error) if is_used && error.message().is_some() => {
                    connection = self.connect().await?;
                    is_used = false;
                }
                Err(error) => return Err(format!("no answer: {}", error.into_error())),
            }
        };
        judge(response, number).await?;
        if !self.errand.is_fresh {
            self.idle.lock().expect("connections").push(connection);
        }
        Ok(())
    }

    fn idle_connection(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().expect("connections");
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect(self.errand.address).await;
        let stream = stream.map_err(|error| format!("no connection: {error}"))?;
        let _ = stream.set_nodelay(true);
        let (connection, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("no connection: {error}"))?;
        tokio::spawn(driver);
        Ok(connection)
    }

    fn request(&self, number: u64) -> Request<Full<Bytes>> {
        let body = match self.errand.method {
            Method::POST => Full::from("a body"),
            _ => Full::default(),
        };
        Request::builder()
            .method(&self.errand.method)
            .uri(&self.errand.path)
            .header("host", "chaos.example")
            .header(NUMBER, number)
            .body(body)
            .expect("a request")
    }
}

/// Whether this is the whole answer to that request.
async fn judge(response: Response<Incoming>, number: u64) -> Result<(), String> {
    let status = response.status();
    let instance = response.headers().get(INSTANCE);
    let instance = instance.and_then(|name| name.to_str().ok().map(str::to_owned));
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| format!("truncated: {error}"))?;
    if status != 200 {
        return Err(status.as_str().to_owned());
    }
    let expected = body_of(number, instance.as_deref().unwrap_or_default());
    match body.to_bytes() == expected {
        true => Ok(()),
        false => Err("wrong: the answer to another request, or a part of it".to_owned()),
    }
}

/// What came of a load.
pub(crate) struct Outcome {
    /// The numbers of its requests, for the ledger.
    pub(crate) numbers: std::ops::Range<u64>,
    samples: Vec<Sample>,
}

impl Outcome {
    /// The part that was due in this time.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Tally {
        let in_time = |sample: &&Sample| sample.due >= from && sample.due < to;
        Tally::of(self.samples.iter().filter(in_time))
    }

    /// All of it.
    pub(crate) fn all(&self) -> Tally {
        Tally::of(self.samples.iter())
    }

    /// Fails the scenario if any request failed.
    pub(crate) fn assert_clean(&self) {
        let tally = self.all();
        assert!(tally.sent > 0, "nothing was sent");
        assert!(tally.failures.is_empty(), "{tally:?}");
    }
}

/// A count of samples.
pub(crate) struct Tally {
    pub(crate) sent: u64,
    /// How many failed, by cause.
    pub(crate) failures: BTreeMap<String, u64>,
    /// The times of those that were answered, ascending.
    times: Vec<Duration>,
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} sent, {} answered, p50 {:?}, p99 {:?}, failed: {:?}",
            self.sent,
            self.times.len(),
            self.percentile(50.0),
            self.percentile(99.0),
            self.failures
        )
    }
}

impl Tally {
    fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Tally {
        let mut tally = Tally {
            sent: 0,
            failures: BTreeMap::new(),
            times: Vec::new(),
        };
        for sample in samples {
            tally.sent += 1;
            match &sample.failure {
                None => tally.times.push(sample.took),
                Some(cause) => *tally.failures.entry(cause.clone()).or_default() += 1,
            }
        }
        tally.times.sort_unstable();
        tally
    }

    /// How many got their own answer.
    pub(crate) fn answered(&self) -> u64 {
        self.times.len() as u64
    }

    /// How many failed, whatever the cause.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// How many got an answer that was not theirs, or not whole.
    pub(crate) fn wrong(&self) -> u64 {
        let is_wrong = |(cause, _): &(&String, &u64)| {
            cause.starts_with("wrong") || cause.starts_with("truncated")
        };
        let wrong = self.failures.iter().filter(is_wrong);
        wrong.map(|(_, count)| count).sum()
    }

    /// So many percent of the answers took this or less. Zero without any.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let at = (self.times.len() as f64 * percent / 100.0).ceil() as usize;
        let time = self.times.get(at.saturating_sub(1));
        time.copied().unwrap_or_default()
    }
}
