//! The header of version 2 that a connection to an endpoint begins with.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::SIGNATURE;

/// What an endpoint is told of whom a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Introduction {
    /// The gateway itself, as for the questions of filters.
    Own,
    /// A client's connection.
    Client {
        /// The client, as far as a trusted proxy says.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
}

impl Introduction {
    /// The bytes of the header.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        let Introduction::Client {
            source,
            destination,
        } = self
        else {
            // LOCAL, and nothing that says of what.
            header.extend([0x20, 0, 0, 0]);
            return header;
        };
        let ips = (source.ip().to_canonical(), destination.ip().to_canonical());
        if let (IpAddr::V4(from), IpAddr::V4(to)) = ips {
            header.extend([0x21, 0x11, 0, 12]);
            header.extend([from.octets(), to.octets()].concat());
        } else {
            header.extend([0x21, 0x21, 0, 36]);
            header.extend([v6(ips.0).octets(), v6(ips.1).octets()].concat());
        }
        header.extend(source.port().to_be_bytes());
        header.extend(destination.port().to_be_bytes());
        header
    }
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_header::{Found, find};

    #[test]
    fn what_is_written_is_read_again() {
        for (source, destination, bytes) in [
            ("192.0.2.7:4711", "10.0.0.1:443", 28),
            ("[2001:db8::7]:4711", "[2001:db8::1]:443", 52),
            ("[::ffff:192.0.2.7]:1", "10.0.0.1:443", 28),
            ("192.0.2.7:0", "[2001:db8::1]:443", 52),
        ] {
            let source: SocketAddr = source.parse().expect("an address");
            let header = Introduction::Client {
                source,
                destination: destination.parse().expect("an address"),
            }
            .header();
            let client = SocketAddr::new(source.ip().to_canonical(), source.port());
            let found = Found::Header {
                bytes,
                client: Some(client),
            };
            assert_eq!(find(&header), found, "{source} {destination}");
            assert_eq!(header.len(), bytes);
        }
        let (bytes, client) = (16, None);
        assert_eq!(
            find(&Introduction::Own.header()),
            Found::Header { bytes, client }
        );
    }

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let header = Introduction::Client {
            source: "192.0.2.7:258".parse().expect("an address"),
            destination: "10.0.0.1:772".parse().expect("an address"),
        }
        .header();
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x01\x02\x03\x04";
        assert_eq!(header, expected);
    }
}
