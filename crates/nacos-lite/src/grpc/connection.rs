//! Who is at the other end of a TCP connection.

use std::{net::SocketAddr, sync::Arc};

use crate::{clock::epoch_millis, core::Core, state::ConnectionId};

/// One TCP connection; dropping it forgets the client with all that it registered.
pub(super) struct Connection {
    pub(super) core: Arc<Core>,
    pub(super) id: ConnectionId,
    name: String,
}

impl Connection {
    pub(super) fn new(core: Arc<Core>, peer: SocketAddr) -> Self {
        let id = core.next_connection();
        let name = format!("{}_{}_{}", epoch_millis(), peer.ip(), peer.port());
        Self { core, id, name }
    }

    /// `<milliseconds>_<address>_<port>`, as clients see it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.core.with(|state, now| state.disconnect(self.id, now));
    }
}
