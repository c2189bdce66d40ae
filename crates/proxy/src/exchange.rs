//! The state of one request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use pailou_routing::Route;
use pailou_telemetry::RequestInFlight;
use pailou_upstream::{Pick, Tried};
use tokio::time::Instant;

use crate::cause::Cause;
use crate::connection::Shared;
use crate::request_id::RequestId;

/// One request, from its head to its last byte.
pub(crate) struct Exchange {
    pub(crate) began: Instant,
    pub(crate) in_flight: Option<RequestInFlight>,
    pub(crate) connection: Option<Shared>,
    pub(crate) request_id: Option<RequestId>,
    /// As it was matched.
    pub(crate) path: Bytes,
    pub(crate) client: Option<IpAddr>,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) websocket: bool,
    pub(crate) has_body: bool,
    /// Whether the endpoint may send for long while it is sent to.
    pub(crate) duplex: bool,
    /// When the response's head is due, once the request is all sent.
    pub(crate) response_due: Option<Instant>,
    /// The endpoint of the try under way, in flight until it is dropped.
    pub(crate) pick: Option<Pick>,
    pub(crate) tried: Tried,
    pub(crate) tries: u32,
    pub(crate) upstream: Option<SocketAddr>,
    /// Body bytes of this try.
    pub(crate) body_bytes: u64,
    /// Whether the response's head has come.
    pub(crate) responded: bool,
    pub(crate) status: u16,
    pub(crate) cause: Option<Cause>,
}

impl Exchange {
    pub(crate) fn new() -> Exchange {
        Exchange {
            began: Instant::now(),
            in_flight: None,
            connection: None,
            request_id: None,
            path: Bytes::new(),
            client: None,
            route: None,
            websocket: false,
            has_body: false,
            duplex: false,
            response_due: None,
            pick: None,
            tried: Tried::none(),
            tries: 0,
            upstream: None,
            body_bytes: 0,
            responded: false,
            status: 0,
            cause: None,
        }
    }

    /// The id, made now if the request ended before it was read.
    pub(crate) fn id(&mut self) -> &RequestId {
        self.request_id.get_or_insert_with(RequestId::new)
    }
}
