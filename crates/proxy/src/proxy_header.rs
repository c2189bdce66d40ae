//! The header of the PROXY protocol, versions 1 and 2, as HAProxy's
//! `proxy-protocol.txt` describes it.

mod write;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) use write::Introduction;

/// The longest header that is accepted. It has room for every TLV that balancers
/// send, and fits into one look at the socket.
pub(crate) const MAX_BYTES: usize = 4096;

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// How a header of version 1 begins.
const WORD: &[u8; 6] = b"PROXY ";

/// The most bytes of a header of version 1, its end included.
const MAX_LINE: usize = 107;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A header of so many bytes.
    Header {
        bytes: usize,
        /// The client; `None` if the balancer itself is the client (`LOCAL`, `UNKNOWN`, an
        /// address that is no IP address).
        client: Option<SocketAddr>,
    },
    /// The beginning of a header, or of something else.
    Open,
    /// No header.
    Nothing,
    /// A malformed header.
    Malformed,
}

/// Looks at the first bytes of a connection. Never panics, whatever they are.
pub(crate) fn find(bytes: &[u8]) -> Found {
    let begins = |with: &[u8]| {
        let length = bytes.len().min(with.len());
        bytes[..length] == with[..length]
    };
    if begins(SIGNATURE) {
        return version_2(bytes).unwrap_or(Found::Open);
    }
    if begins(WORD) {
        return version_1(bytes);
    }
    Found::Nothing
}

fn version_1(bytes: &[u8]) -> Found {
    let line = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return match line.len() {
            MAX_LINE => Found::Malformed,
            _ => Found::Open,
        };
    };
    match client_1(&line[..end]) {
        Some(client) => Found::Header {
            bytes: end + 2,
            client,
        },
        None => Found::Malformed,
    }
}

/// The client in a line; the outer `None` if it is malformed.
fn client_1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Some(None);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (port, other_port) = (words.next()?, words.next()?);
    let (port, _) = (port_in(port)?, port_in(other_port)?);
    if words.next().is_some() {
        return None;
    }
    let source: IpAddr = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            IpAddr::V4(source.parse().ok()?)
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            IpAddr::V6(source.parse().ok()?)
        }
        _ => return None,
    };
    Some(Some(SocketAddr::new(source.to_canonical(), port)))
}

fn port_in(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// `None` while more bytes are needed.
fn version_2(bytes: &[u8]) -> Option<Found> {
    let [version, family, high, low] = *bytes.get(12..16)?.first_chunk()?;
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    let is_local = match version {
        0x20 => true,
        0x21 => false,
        _ => return Some(Found::Malformed),
    };
    if length > MAX_BYTES {
        return Some(Found::Malformed);
    }
    let body = bytes.get(16..length)?;
    let client = match family {
        _ if is_local => None,
        // TCP over IPv4 and IPv6: source, destination, the two ports.
        0x11 if body.len() >= 12 => body
            .first_chunk::<4>()
            .map(|ip| (IpAddr::from(*ip), &body[8..])),
        0x21 if body.len() >= 36 => body
            .first_chunk::<16>()
            .map(|ip| (IpAddr::from(*ip), &body[32..])),
        // Not said, and Unix sockets.
        0x00 | 0x31 => None,
        _ => return Some(Found::Malformed),
    };
    let client = client.map(|(ip, ports)| {
        let port = u16::from_be_bytes([ports[0], ports[1]]);
        SocketAddr::new(ip.to_canonical(), port)
    });
    Some(Found::Header {
        bytes: length,
        client,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of version 2.
    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        let length = u16::try_from(body.len()).expect("a short body");
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn header(bytes: usize, client: Option<&str>) -> Found {
        Found::Header {
            bytes,
            client: client.map(|client| client.parse().expect("an address")),
        }
    }

    #[test]
    fn a_line_says_who_the_client_is() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nGET /",
                header(40, Some("192.0.2.7:4711")),
            ),
            (
                "PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n",
                header(44, Some("[2001:db8::7]:1")),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n",
                header(37, Some("192.0.2.7:1")),
            ),
            ("PROXY UNKNOWN\r\n", header(15, None)),
            ("PROXY UNKNOWN a b c\r\n", header(21, None)),
            (&long, header(107, None)),
            (&longer, Found::Malformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n", Found::Open),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n", Found::Malformed),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 4711 65536\r\n",
                Found::Malformed,
            ),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n", Found::Malformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n", Found::Malformed),
            ("PROXY TCP4 192.0.2.7  10.0.0.1 1 2\r\n", Found::Malformed),
            ("PROXY TCP4 ::1 10.0.0.1 1 2\r\n", Found::Malformed),
            ("PROXY TCP6 192.0.2.7 ::1 1 2\r\n", Found::Malformed),
            ("PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n", Found::Malformed),
            ("PROXY \r\n", Found::Malformed),
            ("GET / HTTP/1.1\r\n", Found::Nothing),
            ("PROPFIND / HTTP/1.1\r\n", Found::Nothing),
            ("PRO", Found::Open),
            ("", Found::Open),
        ] {
            assert_eq!(find(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn a_binary_header_says_who_the_client_is() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 3, 4];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().expect("ok").octets());
        let with_tlv = [&v4[..], &[0x04, 0, 1, 0]].concat();
        for (bytes, expected) in [
            (v2(0x21, 0x11, &v4), header(28, Some("192.0.2.7:258"))),
            (v2(0x21, 0x11, &with_tlv), header(32, Some("192.0.2.7:258"))),
            (v2(0x21, 0x21, &v6), header(52, Some("[2001:db8::7]:0"))),
            (v2(0x20, 0x11, &v4), header(28, None)),
            (v2(0x20, 0x00, &[]), header(16, None)),
            (v2(0x21, 0x00, &[]), header(16, None)),
            (v2(0x21, 0x31, &[0; 216]), header(232, None)),
            (v2(0x21, 0x11, &v4[..11]), Found::Malformed),
            (v2(0x21, 0x21, &v4), Found::Malformed),
            // Datagrams.
            (v2(0x21, 0x12, &v4), Found::Malformed),
            (v2(0x22, 0x11, &v4), Found::Malformed),
            (v2(0x11, 0x11, &v4), Found::Malformed),
            (v2(0x21, 0x11, &[0; 4081]), Found::Malformed),
        ] {
            assert_eq!(find(&bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_no_header_is_longer_than_what_is_there(
            start in prop_oneof![
                Just(Vec::new()),
                Just(SIGNATURE.to_vec()),
                Just(b"PROXY ".to_vec()),
                Just(b"PROXY TCP4 ".to_vec()),
                Just([&SIGNATURE[..], &[0x21, 0x11]].concat()),
            ],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, rest].concat();
            if let Found::Header { bytes: length, .. } = find(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn a_header_that_is_cut_is_open_and_what_follows_changes_nothing(
            client in any::<[u8; 4]>(),
            cut in 0..28_usize,
            behind in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut body = client.to_vec();
            body.extend([10, 0, 0, 1, 1, 2, 3, 4]);
            let whole = v2(0x21, 0x11, &body);
            prop_assert_eq!(find(&whole[..cut]), Found::Open);
            let expected = Found::Header { bytes: 28, client: Some(SocketAddr::from((client, 258))) };
            prop_assert_eq!(find(&[whole, behind].concat()), expected);
        }
    }
}
