//! Binding: sockets are opened at the start, so that a port in use is one clear
//! error before anything else runs.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use crate::listener::Listener;

/// Connections that the kernel queues while they wait to be accepted. Clients
/// wait here between the bind and the moment the gateway is ready.
const BACKLOG: u32 = 4096;

/// An address that the gateway could not listen on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    /// The address as it was asked for.
    pub address: SocketAddr,
    /// What the operating system said, in words a person can act on.
    reason: String,
    #[source]
    source: io::Error,
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> BindError {
        let reason = match source.kind() {
            io::ErrorKind::AddrInUse => "the port is in use by another process".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied (ports below 1024 need a privilege)".to_owned()
            }
            _ => source.to_string(),
        };
        BindError {
            address,
            reason,
            source,
        }
    }
}

/// A listener that holds its port and accepts nothing yet.
#[derive(Debug)]
pub struct Bound {
    pub(crate) socket: TcpListener,
    pub(crate) listener: Listener,
    address: SocketAddr,
}

impl Bound {
    /// Sets what is particular to the listener. Without this it speaks plain HTTP.
    pub fn with(self, listener: Listener) -> Bound {
        Bound { listener, ..self }
    }

    /// The address listened on; when port 0 was asked for, with the port that
    /// was found.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn open(address: SocketAddr) -> io::Result<Bound> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A restarted gateway must not wait for the old one's connections to
        // leave TIME_WAIT.
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit this. Nothing else ends a tunnel whose client
        // vanished without a FIN.
        socket.set_keepalive(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Bound {
            socket,
            listener: Listener::default(),
            address,
        })
    }
}

/// Listens on each address.
///
/// # Errors
/// Names the first address that cannot be listened on; the ones before it are
/// given back.
pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Vec<Bound>, BindError> {
    addresses
        .iter()
        .map(|&address| Bound::open(address).map_err(|source| BindError::new(address, source)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn port_zero_is_known_after_the_bind() {
        let bound = bind(&["127.0.0.1:0".parse().expect("address")]).expect("bind");
        assert_ne!(bound[0].local_addr().port(), 0);
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = bind(&["127.0.0.1:0".parse().expect("address")]).expect("bind");
        let taken = first[0].local_addr();
        let error = bind(&[taken]).expect_err("the port is taken");
        assert_eq!(error.address, taken);
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {taken}: the port is in use by another process")
        );
    }
}
