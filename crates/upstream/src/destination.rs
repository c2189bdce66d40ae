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
    /// What they speak, whatever they say of themselves.
    pub transport: Option<Transport>,
    /// Which way of TLS is meant, by its place in the settings: 0 is the usual one.
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
