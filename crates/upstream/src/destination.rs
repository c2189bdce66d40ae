//! Where requests go: which endpoints, and how they are spoken to.

use std::sync::Arc;

use crate::check::Checking;
use crate::pick::Pick;
use crate::selection::Selection;
use crate::transport::Transport;

/// A selection, and how its endpoints are spoken to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The endpoints.
    pub selection: Arc<Selection>,
    /// The protocol of the route, which takes precedence over that of the endpoints.
    pub transport: Option<Transport>,
    /// The TLS settings, by their place: 0 are the default ones.
    pub upstream_tls: usize,
    /// Whether connections to them begin with a PROXY header.
    pub proxy_protocol: bool,
    /// How they are checked for as long as this is held, if they are.
    pub checking: Option<Arc<Checking>>,
}

impl Destination {
    /// How the endpoint of this pick is spoken to.
    pub fn transport(&self, pick: &Pick) -> Transport {
        self.transport.unwrap_or_else(|| pick.transport())
    }
}
