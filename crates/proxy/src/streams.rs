//! The tasks that serve the streams of HTTP/2 connections.
//!
//! The engine asks for a response's body only when the client's window has
//! room. A client that opens none would hold its endpoint for ever, and nothing
//! above the engine would hear of it: so a stream's task watches itself.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pailou_telemetry::Metrics;
use tokio::time::Instant;

use crate::connection::Shared;
use crate::deadline::Timer;
use crate::panics::ToldOfPanic;

tokio::task_local! {
    static OWN: Stream;
}

/// What a stream's task knows of itself.
#[derive(Debug, Default)]
struct Stream {
    /// Whether the client has been given a piece, and has not asked for more.
    is_full: AtomicBool,
    connection: std::sync::OnceLock<Shared>,
}

/// Notes whose stream this task serves; the deadline of its request is in
/// there.
pub(crate) fn serves(connection: &Shared) {
    let _ = OWN.try_with(|own| own.connection.set(connection.clone()));
}

/// Notes whether a piece of the body is on its way to the client.
pub(crate) fn gave(piece: bool) {
    let _ = OWN.try_with(|own| own.is_full.store(piece, Relaxed));
}

/// Where streams run.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    write_timeout: Duration,
    metrics: Metrics,
}

impl Streams {
    pub(crate) fn new(write_timeout: Duration, metrics: &Metrics) -> Streams {
        Streams {
            write_timeout,
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
        let watched = watch(stream, self.write_timeout);
        // It ends with its connection, whose engine tells it so.
        tokio::spawn(OWN.scope(Stream::default(), async move {
            let _told = told;
            watched.await;
        }));
    }
}

/// Runs a stream until it ends, or its client has taken nothing for too long.
/// The engine resets a stream that is dropped.
async fn watch(stream: impl Future<Output = ()>, write_timeout: Duration) {
    let mut stream = pin!(stream);
    let mut stalled = Stalled::default();
    std::future::poll_fn(|cx| match stream.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => OWN.with(|own| stalled.poll(cx, own, write_timeout)),
    })
    .await;
}

/// Since when a client takes nothing.
#[derive(Default)]
struct Stalled {
    since: Option<Instant>,
    timer: Timer,
}

impl Stalled {
    fn poll(&mut self, cx: &mut Context<'_>, own: &Stream, timeout: Duration) -> Poll<()> {
        if !own.is_full.load(Relaxed) {
            self.since = None;
            return Poll::Pending;
        }
        let due = *self.since.get_or_insert_with(Instant::now) + timeout;
        let cut_due = own.connection.get().and_then(|stream| stream.cut_due());
        let cut_due = cut_due.filter(|cut_due| *cut_due < due);
        std::task::ready!(self.timer.poll_until(cx, cut_due.unwrap_or(due)));
        if let (Some(_), Some(connection)) = (cut_due, own.connection.get()) {
            connection.cut();
        }
        Poll::Ready(())
    }
}
