//! The two listening ports.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::Options;

/// Distance between the HTTP and the gRPC port, which clients take for granted.
const GRPC_OFFSET: u16 = 1000;

/// Where free pairs are looked for: below the ports that Linux gives to outgoing connections, so that a registry that
/// is stopped finds its ports again when it starts.
const FREE_PORTS: std::ops::Range<u16> = 12_000..31_700;

/// How many pairs are tried before giving up.
const TRIES: u32 = 200;

const BACKLOG: u32 = 1024;

/// Why a registry could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken by another process.
    #[error("port {} is taken: cannot listen on {address} for {half}", .address.port())]
    Taken {
        /// `HTTP` or `gRPC`.
        half: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {half}: {error}")]
    Address {
        /// `HTTP` or `gRPC`.
        half: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The HTTP port leaves no room for the gRPC port.
    #[error("port {0} is too high: gRPC needs port {0} + {GRPC_OFFSET}")]
    TooHigh(u16),
    /// No two free ports at the right distance were found.
    #[error("found no two free ports p and p + {GRPC_OFFSET} on {0}")]
    NoFreePair(std::net::IpAddr),
}

/// Both listeners, HTTP first.
pub(crate) fn bind(options: &Options) -> Result<(TcpListener, TcpListener), StartError> {
    match (options.http.port(), options.grpc) {
        (0, None) => bind_free_pair(options.http),
        (_, Some(grpc)) => Ok((listen("HTTP", options.http)?, listen("gRPC", grpc)?)),
        (port, None) => {
            let grpc = port
                .checked_add(GRPC_OFFSET)
                .ok_or(StartError::TooHigh(port))?;
            Ok((
                listen("HTTP", options.http)?,
                listen("gRPC", with_port(options.http, grpc))?,
            ))
        }
    }
}

/// Listens, also where connections of a former listener still linger.
pub(crate) fn listen(half: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::Taken { half, address },
        _ => StartError::Address {
            half,
            address,
            error,
        },
    })
}

fn bind_free_pair(http: SocketAddr) -> Result<(TcpListener, TcpListener), StartError> {
    for _ in 0..TRIES {
        let port = fastrand::u16(FREE_PORTS);
        let pair = listen("HTTP", with_port(http, port))
            .and_then(|first| Ok((first, listen("gRPC", with_port(http, port + GRPC_OFFSET))?)));
        match pair {
            Err(StartError::Taken { .. }) => {}
            done => return done,
        }
    }
    Err(StartError::NoFreePair(http.ip()))
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(http: SocketAddr, grpc: Option<SocketAddr>) -> Options {
        Options {
            http,
            grpc,
            ..Options::default()
        }
    }

    #[tokio::test]
    async fn a_free_pair_is_1000_apart() {
        let (http, grpc) = bind(&Options::default()).expect("there are free ports");
        let (http, grpc) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
        assert_eq!(http.port() + GRPC_OFFSET, grpc.port());
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let (http, grpc) = bind(&Options::default()).expect("there are free ports");
        let (http_address, grpc_address) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
        for (kept, half) in [(&http, "HTTP"), (&grpc, "gRPC")] {
            let taken = kept.local_addr().unwrap();
            let grpc = Some(if half == "gRPC" {
                taken
            } else {
                with_port(grpc_address, 0)
            });
            let http = if half == "HTTP" {
                http_address
            } else {
                with_port(http_address, 0)
            };
            let error = bind(&options(http, grpc))
                .expect_err("the port is taken")
                .to_string();
            assert!(
                error.contains(&taken.port().to_string()) && error.contains(half),
                "{error}"
            );
        }
    }

    #[test]
    fn the_grpc_port_must_exist() {
        let high = SocketAddr::from(([127, 0, 0, 1], 65_000));
        assert!(matches!(
            bind(&options(high, None)),
            Err(StartError::TooHigh(65_000))
        ));
    }
}
