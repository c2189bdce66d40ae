//! HTTP/1.1 to an endpoint: one connection, with the HTTP engine on it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use pailou_config::HeaderCase;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{LineFailure, failure_of};
use crate::buffers::Buffers;
use crate::transport::Remote;
use crate::upload::Outgoing;
use crate::wire::Wire;

type Driver = http1::Connection<TokioIo<Wire>, Outgoing>;

/// A connection to an endpoint.
///
/// The task that uses the connection also drives it. A request with a body is
/// different: its upload must go on while the client does not read, so a second
/// task drives the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    remote: Remote,
    sender: SendRequest<Outgoing>,
    driving: Driving,
    /// Whether it has served a request before.
    pub(crate) reused: bool,
    /// Since when nobody uses it.
    pub(crate) idle_since: Instant,
}

#[derive(Debug)]
enum Driving {
    Here(Box<Driver>),
    Task(#[expect(dead_code, reason = "held for its drop")] Task),
}

#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Puts the engine on a new connection.
    pub(crate) async fn open(
        remote: Remote,
        wire: Wire,
        buffers: Buffers,
        case: HeaderCase,
    ) -> Result<Connection, LineFailure> {
        let handshake = http1::Builder::new()
            .max_buf_size(buffers.endpoint)
            .preserve_header_case(case == HeaderCase::AsSent)
            .title_case_headers(case == HeaderCase::Title)
            .handshake(TokioIo::new(wire))
            .await;
        let (sender, driver) = handshake.map_err(|_| LineFailure::Unsent)?;
        Ok(Connection {
            remote,
            sender,
            driving: Driving::Here(Box::new(driver)),
            reused: false,
            idle_since: Instant::now(),
        })
    }

    /// Where it leads.
    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Whether it can take a request now. Notices an endpoint that has closed it.
    pub(crate) fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_drive(cx).is_pending()
            && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// From here on a task drives it.
    pub(crate) fn drive_elsewhere(&mut self) {
        if let Driving::Task(_) = self.driving {
            return;
        }
        let (done, driver) = tokio::sync::oneshot::channel::<Box<Driver>>();
        let task = tokio::spawn(async move {
            if let Ok(mut driver) = driver.await {
                // A request that waits for its answer is told how the connection ends.
                let _ = Pin::new(&mut *driver).await;
            }
        });
        let task = Driving::Task(Task(task.abort_handle()));
        if let Driving::Here(driver) = std::mem::replace(&mut self.driving, task) {
            let _ = done.send(driver);
        }
    }

    /// Sends a request and returns the head of its answer, unless `ended` gives a
    /// reason to give up first.
    pub(crate) async fn send<E>(
        &mut self,
        request: Request<Outgoing>,
        mut ended: impl FnMut(&mut Context<'_>) -> Poll<E>,
    ) -> Result<Result<Response<Incoming>, LineFailure>, E> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let driving = &mut self.driving;
        let answered = std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Ok(answer));
                }
                if driving.poll(cx).is_pending() {
                    break;
                }
                // It has ended, and told the answer why.
            }
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            ended(cx).map(Err)
        });
        Ok(answered.await?.map_err(|mut failed| {
            if failed.take_message().is_some() {
                return LineFailure::Unsent;
            }
            failure_of(failed.error())
        }))
    }

    /// Lets bytes move; ready when the connection has ended.
    pub(crate) fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driving.poll(cx)
    }

    /// Whether request and response are known to be through.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until request and response are through on a connection that a task
    /// drives; false if it has ended.
    pub(crate) async fn finished(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// The bare connection after its endpoint switched protocols, and what came
    /// behind its answer. `None` if a task drives it, or if it broke.
    pub(crate) async fn into_tunnel(self) -> Option<(Wire, Bytes)> {
        let Driving::Here(mut driver) = self.driving else {
            return None;
        };
        std::future::poll_fn(|cx| driver.poll_without_shutdown(cx))
            .await
            .ok()?;
        let parts = driver.into_parts();
        Some((parts.io.into_inner(), parts.read_buf))
    }
}

impl Driving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Driving::Here(driver) => driver.poll_without_shutdown(cx).map(drop),
            Driving::Task(_) => Poll::Pending,
        }
    }
}
