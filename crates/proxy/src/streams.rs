//! The tasks that serve the streams of HTTP/2 connections.
//!
//! The engine asks for a response's body only when the client's window has
//! room. A client that opens no window, or a small one, would hold its endpoint for
//! ever, and the code above the engine would not notice. So the task of a stream
//! watches itself.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper::rt::Executor;
use pailou_telemetry::Metrics;

use crate::connection::Shared;
use crate::deadline::Timer;
use crate::pace::{self, Pace};
use crate::panics::ToldOfPanic;

tokio::task_local! {
    static OWN: Stream;
}

/// What a stream's task knows of itself.
#[derive(Debug, Default)]
struct Stream {
    /// Whether the client has a piece to take, and has not asked for more.
    is_full: AtomicBool,
    /// Bytes that it has been given.
    given: AtomicUsize,
    connection: std::sync::OnceLock<Shared>,
}

/// Notes the stream that this task serves, which has the deadline of its request.
pub(crate) fn serves(connection: &Shared) {
    let _ = OWN.try_with(|own| own.connection.set(connection.clone()));
}

/// Notes the size of the piece of the body that is on its way to the client, or that
/// there is none.
pub(crate) fn gave(piece: Option<usize>) {
    let _ = OWN.try_with(|own| {
        own.is_full.store(piece.is_some(), Relaxed);
        own.given.fetch_add(piece.unwrap_or(0), Relaxed);
    });
}

/// Where streams run.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pace: pace::Rules,
    metrics: Metrics,
}

impl Streams {
    pub(crate) fn new(pace: pace::Rules, metrics: &Metrics) -> Streams {
        Streams {
            pace,
            metrics: metrics.clone(),
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let told = ToldOfPanic::new("stream", &self.metrics);
        let watched = watch(stream, self.pace);
        // It ends with its connection, whose engine tells it so.
        tokio::spawn(OWN.scope(Stream::default(), async move {
            let _told = told;
            watched.await;
        }));
    }
}

/// Runs a stream until it ends, or its client has taken nothing, or too little,
/// for too long. The engine resets a stream that is dropped.
async fn watch(stream: impl Future<Output = ()>, pace: pace::Rules) {
    let mut stream = pin!(stream);
    let mut client = Client {
        pace: Pace::new(pace),
        given: 0,
        timer: Timer::default(),
    };
    std::future::poll_fn(|cx| match stream.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => OWN.with(|own| client.poll_late(cx, own)),
    })
    .await;
}

/// How fast a client takes what it is given.
struct Client {
    pace: Pace,
    given: usize,
    timer: Timer,
}

impl Client {
    /// Ready when it is cut.
    fn poll_late(&mut self, cx: &mut Context<'_>, own: &Stream) -> Poll<()> {
        let (is_full, given) = (own.is_full.load(Relaxed), own.given.load(Relaxed));
        if given != self.given || !is_full {
            self.pace.moved(given.wrapping_sub(self.given));
            self.given = given;
        }
        // Before its request is read nothing is given.
        let Some(connection) = own.connection.get().filter(|_| is_full) else {
            return Poll::Pending;
        };
        let (due, cause) = self.pace.cut_due(connection);
        std::task::ready!(self.timer.poll_until(cx, due));
        connection.cut(cause);
        Poll::Ready(())
    }
}
