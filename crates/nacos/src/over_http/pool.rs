//! HTTP/1.1 connections to one server, kept for the next request.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{sync::Semaphore, time::Instant};

use super::{Call, answer::Reply, encode};
use crate::{
    error::{Error, reason},
    network::{Network, Owned},
    options::ServerAddress,
    wire,
};

/// Requests in flight at a time, but for those that the server holds.
const IN_FLIGHT: usize = 16;

/// How long an idle connection is kept: servers close theirs after 20 s and more.
const IDLE: Duration = Duration::from_secs(10);

pub(super) struct Pool {
    network: Network,
    server: ServerAddress,
    max_bytes: usize,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    used: Instant,
    /// Ends with the connection.
    _driver: Owned<()>,
}

/// Why a request had no reply.
struct Failure {
    problem: String,
    /// Whether it is known that the server did not see it.
    is_unsent: bool,
}

impl Pool {
    pub(super) fn new(network: Network, server: ServerAddress, max_bytes: usize) -> Self {
        Self {
            network,
            server,
            max_bytes,
            idle: Mutex::default(),
            permits: Semaphore::new(IN_FLIGHT),
        }
    }

    /// Sends a request and reads the whole reply.
    pub(super) async fn send(
        &self,
        operation: &'static str,
        call: &Call,
        token: Option<&str>,
    ) -> Result<Reply, Error> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        self.send_unlimited(operation, call, token).await
    }

    /// Sends a request that the server may hold: it takes no other request's place.
    pub(super) async fn send_unlimited(
        &self,
        operation: &'static str,
        call: &Call,
        token: Option<&str>,
    ) -> Result<Reply, Error> {
        let unsendable = |error: http::Error| Error::Malformed {
            operation,
            problem: error.to_string(),
        };
        let request = self.request(call, token).map_err(unsendable)?;
        if let Some(kept) = self.kept() {
            match self.send_over(kept, request.clone(), operation).await {
                // The server closed the connection while it was idle.
                Err(failure) if failure.is_unsent || call.method == Method::GET => {}
                result => return result.map_err(|failure| Error::Lost(failure.problem)),
            }
        }
        let fresh = self.connect().await?;
        self.send_over(fresh, request, operation)
            .await
            .map_err(|failure| Error::Lost(failure.problem))
    }

    fn request(&self, call: &Call, token: Option<&str>) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.target())
            .header(header::HOST, self.server.to_string())
            .header("Client-Version", CLIENT_VERSION)
            .header(header::USER_AGENT, CLIENT_VERSION);
        if let Some(token) = token {
            // Servers before 2.0 read only the second.
            request = request
                .header(wire::ACCESS_TOKEN, token)
                .header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if call.method == Method::POST {
            request = request.header(header::CONTENT_TYPE, FORM);
        }
        request.body(Full::new(Bytes::from(encode(&call.form))))
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let unreachable =
            |problem: String| Error::NotConnected(format!("{}: {problem}", self.server));
        let stream = self.network.http(&self.server).await;
        let stream = stream.map_err(|error| unreachable(error.to_string()))?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(reason(&error)))?;
        let driver = Owned(tokio::spawn(async move {
            // Its error is the request's, too.
            let _ = driver.await;
        }));
        Ok(Connection {
            sender,
            used: Instant::now(),
            _driver: driver,
        })
    }

    async fn send_over(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        operation: &'static str,
    ) -> Result<Reply, Failure> {
        let lost = |problem: String| Failure {
            problem,
            is_unsent: false,
        };
        let response = connection
            .sender
            .try_send_request(request)
            .await
            .map_err(|mut error| Failure {
                is_unsent: error.take_message().is_some(),
                problem: reason(error.error()),
            })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, self.max_bytes)
            .collect()
            .await
            .map_err(|error| lost(reason(&*error)))?
            .to_bytes();
        // The connection is ready for another request once its driver has seen the end of this one.
        if connection.sender.ready().await.is_ok() {
            connection.used = Instant::now();
            self.lock().push(connection);
        }
        Ok(Reply {
            operation,
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// An idle connection that seems to be good. Bad ones are dropped.
    fn kept(&self) -> Option<Connection> {
        let mut idle = self.lock();
        idle.retain(|connection| {
            !connection.sender.is_closed() && connection.used.elapsed() < IDLE
        });
        idle.pop()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

/// As servers expect clients to name themselves: some decide by it what a client can do.
const CLIENT_VERSION: &str = concat!("Nacos-Pailou-Client:v", env!("CARGO_PKG_VERSION"));
