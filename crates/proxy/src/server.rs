//! What every connection and every request of the gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use pailou_config::{ForwardedSettings, LimitSettings, RetrySettings, Settings};
use pailou_routing::TableCell;
use pailou_telemetry::events::RequestDone;
use pailou_telemetry::{AccessLog, Metrics};
use tokio::time::Instant;

use crate::cause::Cause;
use crate::connection::Shared;
use crate::connections::{Caps, Connections};
use crate::edge::ClientRules;
use crate::forwarded::Forwarded;
use crate::problem;
use crate::request_id::RequestId;

/// The settings that the proxy works by.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Bounds on what one client can take.
    pub limits: LimitSettings,
    /// Whose forwarding headers are believed.
    pub forwarded: ForwardedSettings,
    /// Bounds on retries.
    pub retry: RetrySettings,
    /// How many threads serve requests; sizes the pool of idle connections to
    /// endpoints. 0 counts as 1.
    pub workers: usize,
}

impl From<&Settings> for ProxyOptions {
    fn from(settings: &Settings) -> ProxyOptions {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        ProxyOptions {
            limits: settings.limits.clone(),
            forwarded: settings.forwarded.clone(),
            retry: settings.retry.clone(),
            workers: if settings.workers == 0 {
                cores()
            } else {
                settings.workers
            },
        }
    }
}

/// Shared by the accept loop, the streams and the phases.
pub(crate) struct Server {
    pub(crate) limits: LimitSettings,
    pub(crate) retry: RetrySettings,
    pub(crate) forwarded: Forwarded,
    pub(crate) table: TableCell,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
    pub(crate) connections: Arc<Connections>,
    draining: AtomicBool,
}

impl Server {
    pub(crate) fn new(
        options: ProxyOptions,
        table: TableCell,
        metrics: Metrics,
        access_log: AccessLog,
    ) -> Arc<Server> {
        let ProxyOptions {
            limits,
            forwarded,
            retry,
            workers: _,
        } = options;
        let caps = Caps {
            total: limits.connections,
            per_ip: limits.connections_per_ip,
            first_byte: limits.header_timeout,
        };
        Arc::new(Server {
            forwarded: Forwarded::new(forwarded.trusted_proxies),
            connections: Connections::new(caps),
            limits,
            retry,
            table,
            metrics,
            access_log,
            draining: AtomicBool::new(false),
        })
    }

    /// Whether answers ask clients to go elsewhere next time.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ClientRules for Server {
    fn head_bytes(&self) -> usize {
        self.limits.header_bytes
    }

    fn request_line_bytes(&self) -> usize {
        self.limits.request_line_bytes
    }

    fn head_timeout(&self) -> Duration {
        self.limits.header_timeout
    }

    fn body_timeout(&self) -> Duration {
        self.limits.body_timeout
    }

    fn write_timeout(&self) -> Duration {
        self.limits.write_timeout
    }

    fn refusal(&self, connection: &Shared, cause: Cause) -> Vec<u8> {
        let answer = cause.answer();
        let id = RequestId::new();
        if cause == Cause::HeadTimeout {
            self.metrics.connection_refused("header_timeout");
        }
        RequestDone {
            route: None,
            method: "-",
            path: "-",
            status: answer.status,
            cause: Some(answer.cause),
            request_id: id.as_str(),
            client: Some(connection.peer.address),
            upstream: None,
            tries: 0,
            duration: Instant::now().duration_since(connection.opened()),
            bytes_in: 0,
            bytes_out: 0,
        }
        .record(&self.metrics, &self.access_log);
        problem::bare(&answer, id.as_str())
    }
}
