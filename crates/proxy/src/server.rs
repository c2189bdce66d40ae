//! What every connection and every request of the gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::HeaderName;
use hyper::server::conn::{http1, http2};
use pailou_config::{
    Compat, ErrorBodies, ForwardedSettings, HeaderCase, LimitSettings, OverloadSettings,
    RetrySettings, Settings,
};
use pailou_filters::{FlowCell, Sources};
use pailou_routing::TableCell;
use pailou_telemetry::events::RequestDone;
use pailou_telemetry::{AccessLog, Metrics};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::buffers::Buffers;
use crate::cause::Cause;
use crate::connection::Shared;
use crate::connections::{Caps, Connections};
use crate::forwarded::Forwarded;
use crate::mirror::UnderWay;
use crate::overload::Overload;
use crate::pace;
use crate::pool::Pool;
use crate::problem::Shape;
use crate::request_id::RequestId;
use crate::streams::Streams;
use crate::transport::Transport;
use crate::trunks::Trunks;
use crate::underscores;
use crate::upload::UploadRules;
use crate::upstream_tls::{UpstreamTls, UpstreamTlsFault};
use crate::via::Via;

/// The settings that the proxy works by.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Bounds on what one client can take.
    pub limits: LimitSettings,
    /// Whose forwarding headers are believed.
    pub forwarded: ForwardedSettings,
    /// Bounds on retries.
    pub retry: RetrySettings,
    /// The TLS settings for endpoints.
    pub upstream_tls: UpstreamTls,
    /// Flow rules, which may be replaced at any time.
    pub flow: FlowCell,
    /// The keys that filters have from services, if there are such filters.
    pub credentials: Option<Sources>,
    /// What is done when there are more requests than can be served well.
    pub overload: OverloadSettings,
    /// What error bodies look like.
    pub errors: ErrorBodies,
    /// Whose errors are meant where they are to look like those of Spring Cloud
    /// Gateway.
    pub compat: Compat,
    /// How many threads serve requests; sizes the pool of idle connections to
    /// endpoints. 0 counts as 1.
    pub workers: usize,
}

impl ProxyOptions {
    /// What the settings say. Reads the files of TLS to endpoints.
    ///
    /// # Errors
    /// Every one of these files that cannot be used.
    pub fn load(settings: &Settings) -> Result<ProxyOptions, Vec<UpstreamTlsFault>> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(ProxyOptions {
            upstream_tls: UpstreamTls::load(settings)?,
            limits: settings.limits.clone(),
            forwarded: settings.forwarded.clone(),
            retry: settings.retry.clone(),
            flow: FlowCell::default(),
            credentials: None,
            overload: settings.overload.clone(),
            errors: settings.errors.clone(),
            compat: settings.scg.compat,
            workers: if settings.workers == 0 {
                cores()
            } else {
                settings.workers
            },
        })
    }
}

/// Shared by the accept loop, the connections and the exchanges.
pub(crate) struct Server {
    pub(crate) limits: LimitSettings,
    pub(crate) retry: RetrySettings,
    /// Where answers list the tries.
    pub(crate) tries_header: Option<HeaderName>,
    pub(crate) forwarded: Forwarded,
    pub(crate) flow: FlowCell,
    /// What sheds requests, if anything does.
    pub(crate) overload: Option<Arc<Overload>>,
    /// The shape of error bodies.
    pub(crate) errors: Shape,
    /// How header names are spelled.
    pub(crate) header_case: HeaderCase,
    /// What becomes of header names with an underscore.
    pub(crate) underscores: underscores::Rule,
    /// The protocols that may be switched to.
    pub(crate) upgrades: Vec<String>,
    /// How requests that pass are marked, if they are.
    pub(crate) via: Option<Via>,
    pub(crate) table: TableCell,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
    pub(crate) connections: Arc<Connections>,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<Streams>,
    pub(crate) transport: Transport,
    pub(crate) pool: Pool,
    pub(crate) trunks: Trunks,
    pub(crate) buffers: Buffers,
    pub(crate) upload_rules: UploadRules,
    /// How slowly a client may take an answer.
    pub(crate) write_pace: pace::Rules,
    /// The copies that mirrors send.
    pub(crate) copies: UnderWay,
    draining: AtomicBool,
    /// Whether WebSockets have to end.
    stopping: watch::Sender<bool>,
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
            upstream_tls,
            flow,
            credentials: _,
            overload,
            errors,
            compat,
            workers,
        } = options;
        let buffers = Buffers::of(&limits);
        let caps = Caps {
            total: limits.connections,
            per_ip: limits.connections_per_ip,
        };
        let upload_rules = UploadRules {
            bytes: limits.body_bytes,
            kept_bytes: retry.buffer_bytes,
            pace: pace::Rules {
                min_rate: limits.body_min_rate,
                after: limits.body_min_rate_after,
                silence: limits.body_timeout,
            },
            endpoint_timeout: limits.upstream_write_timeout,
            has_messages: false,
        };
        let write_pace = pace::Rules {
            min_rate: limits.write_min_rate,
            after: limits.write_min_rate_after,
            silence: limits.write_timeout,
        };
        // All of the idle connections are no more than there may be clients,
        // as is counted on where these are limited.
        let most_idle = (limits.connections / workers.max(1)).clamp(1, 1024);
        let is_websocket_allowed = forwarded.upgrades.iter().any(|name| name == "websocket");
        Arc::new(Server {
            http1: crate::http1::engine(&limits, buffers, forwarded.header_case),
            http2: {
                let streams = Streams::new(write_pace, &metrics);
                crate::http2::engine(&limits, buffers, is_websocket_allowed, streams)
            },
            transport: Transport::new(upstream_tls),
            pool: Pool::new(workers, most_idle, limits.upstream_idle_timeout),
            trunks: Trunks::new(workers, buffers, limits.upstream_idle_timeout),
            buffers,
            upload_rules,
            flow,
            overload: Overload::of(&overload, &metrics),
            errors: Shape::new(errors, compat),
            write_pace,
            header_case: forwarded.header_case,
            via: forwarded.via.then(Via::new),
            underscores: underscores::Rule::new(&forwarded),
            upgrades: forwarded.upgrades.clone(),
            forwarded: Forwarded::new(&forwarded),
            connections: Connections::new(caps),
            limits,
            tries_header: retry
                .tries_header
                .as_ref()
                .and_then(|name| name.parse().ok()),
            retry,
            table,
            metrics,
            access_log,
            copies: UnderWay::default(),
            draining: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
        })
    }

    /// Whether answers ask clients to go elsewhere next time.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
        self.connections.wake_all();
    }

    /// The same, and WebSockets are told to end: no other request of theirs would
    /// tell them.
    pub(crate) fn stop(&self) {
        self.drain();
        self.stopping.send_replace(true);
    }

    /// Says whether WebSockets have to end, and when.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// The bytes that answer a request whose head was refused. Called once per
    /// refusal, so it also keeps the count.
    pub(crate) fn refusal(&self, connection: &Shared, cause: Cause) -> Vec<u8> {
        let answer = cause.answer();
        let id = RequestId::new();
        if cause == Cause::HeadTimeout {
            self.metrics.connection_refused("header_timeout");
        }
        RequestDone {
            scheme: connection.scheme().name(),
            status: answer.status,
            cause: Some(answer.cause),
            request_id: id.as_str(),
            client: Some(connection.peer.address),
            duration: Instant::now().duration_since(connection.opened()),
            ..RequestDone::default()
        }
        .record(&self.metrics, &self.access_log);
        self.errors.bare(cause, &id)
    }
}
