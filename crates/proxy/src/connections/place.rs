//! The place of a connection that opens.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Connections, Full, Stage};
use crate::connection::{Connection, Ends, Shared};
use crate::listener::Listener;
use crate::opening::Secured;

/// A place among the connections, for one that opens. It is given back when
/// this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: u64,
    /// The address that it is counted for.
    pub(super) client: Option<IpAddr>,
    /// `None` once the place is the connection's.
    pub(super) register: Option<Arc<Connections>>,
}

impl Place {
    /// Counts the connection for its client, which is known now.
    pub(crate) fn claim(&mut self, client: IpAddr) -> Result<(), Full> {
        if let Some(register) = &self.register {
            register.claim(client)?;
            self.client = Some(client);
        }
        Ok(())
    }

    /// Makes a connection of it, whose requests may come. `None` if it is to end.
    ///
    /// # Panics
    /// If it was not claimed.
    pub(crate) fn open(
        mut self,
        listener: Arc<Listener>,
        ends: Ends,
        secured: Option<Secured>,
    ) -> Option<Shared> {
        let claimed = self.client.map(|client| client == ends.client.ip());
        assert_eq!(claimed, Some(true), "a place is claimed first");
        let register = self.register.as_ref()?;
        let mut open = register.open();
        let entry = open.connections.get_mut(&self.id)?;
        if matches!(entry.stage, Stage::Doomed) {
            return None;
        }
        let register = Arc::downgrade(register);
        let secured = secured.map(Arc::new);
        let connection = Connection::new(self.id, ends, listener, secured, register);
        let connection = Arc::new(connection);
        entry.stage = Stage::Open(Arc::downgrade(&connection));
        drop(open);
        self.register = None;
        Some(connection)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(register) = &self.register {
            register.release(self.id, self.client, std::thread::panicking());
        }
    }
}
