//! `X-Forwarded-*`: what the upstream is told about the client.
//!
//! A peer in a trusted network is a proxy of ours: what it says of the client
//! is kept, and its own address is appended. From anybody else these headers
//! are claims: they are dropped and written anew, `Forwarded` and `X-Real-IP`
//! among them.
//!
//! - `X-Forwarded-For`: the peer's address, after those that a trusted peer sent.
//! - `X-Forwarded-Proto`: `http`.
//! - `X-Forwarded-Host`: the Host header as it came.
//! - `X-Forwarded-Port`: the port in it, or 80: the one the client used, which
//!   need not be the one that is listened on.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use pailou_routing::Host;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// A chain of addresses longer than this is not looked through further.
const MAX_HOPS: usize = 32;

/// Whose word is believed.
#[derive(Debug)]
pub(crate) struct Forwarded {
    trusted: Vec<IpNet>,
}

/// The client's end of a connection, as it appears in headers.
#[derive(Clone, Debug)]
pub(crate) struct PeerName {
    /// Never an IPv4 address in IPv6 clothes, which no CIDR and no log expects.
    pub(crate) address: IpAddr,
    value: HeaderValue,
}

impl PeerName {
    pub(crate) fn new(address: IpAddr) -> PeerName {
        let address = address.to_canonical();
        let value = HeaderValue::try_from(address.to_string()).expect("an address is ASCII");
        PeerName { address, value }
    }
}

impl Forwarded {
    pub(crate) fn new(trusted: Vec<IpNet>) -> Forwarded {
        Forwarded { trusted }
    }

    fn trusts(&self, address: &IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Writes the headers; says who the client is.
    pub(crate) fn apply(
        &self,
        headers: &mut HeaderMap,
        peer: &PeerName,
        host: &Host<'_>,
        host_value: HeaderValue,
    ) -> IpAddr {
        let trusted = self.trusts(&peer.address);
        if !trusted {
            drop_claims(headers);
        }
        let client = if trusted {
            self.client(headers, peer)
        } else {
            peer.address
        };
        let chain = if trusted {
            chain(headers, peer)
        } else {
            peer.value.clone()
        };
        headers.insert(FOR, chain);
        set_unless(headers, trusted, PROTO, || HeaderValue::from_static("http"));
        set_unless(headers, trusted, HOST, || host_value);
        set_unless(headers, trusted, PORT, || match host.port() {
            None | Some(80) => HeaderValue::from_static("80"),
            Some(port) => HeaderValue::from(port),
        });
        client
    }

    /// The last address in the chain that is not one of ours.
    fn client(&self, headers: &HeaderMap, peer: &PeerName) -> IpAddr {
        let mut client = peer.address;
        let lines: Vec<&HeaderValue> = headers.get_all(FOR).iter().collect();
        let hops = lines
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .take(MAX_HOPS);
        for hop in hops {
            let Some(address) = address_in(hop) else {
                break;
            };
            client = address;
            if !self.trusts(&address) {
                break;
            }
        }
        client
    }
}

/// An address with or without a port, as proxies write it.
fn address_in(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let address = hop
        .parse()
        .ok()
        .or_else(|| {
            hop.parse::<std::net::SocketAddr>()
                .ok()
                .map(|address| address.ip())
        })
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

/// What the trusted peer sent, in one line, and the peer.
fn chain(headers: &HeaderMap, peer: &PeerName) -> HeaderValue {
    let mut chain = Vec::new();
    for line in headers.get_all(FOR) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    if chain.is_empty() {
        return peer.value.clone();
    }
    chain.extend_from_slice(peer.value.as_bytes());
    HeaderValue::try_from(chain).unwrap_or_else(|_| peer.value.clone())
}

fn drop_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip"
    };
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name))
        .cloned()
        .collect();
    for claim in &claims {
        headers.remove(claim);
    }
}

fn set_unless(
    headers: &mut HeaderMap,
    trusted: bool,
    name: HeaderName,
    value: impl FnOnce() -> HeaderValue,
) {
    if !(trusted && headers.contains_key(&name)) {
        headers.insert(name, value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head that the upstream gets, sorted, and the client that is logged.
    fn forwarded(
        trusted: &str,
        peer: &str,
        host: &str,
        sent: &[(&str, &str)],
    ) -> (Vec<String>, String) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let trusted = trusted
            .split_whitespace()
            .map(|network| network.parse().expect("CIDR"))
            .collect();
        let client = Forwarded::new(trusted).apply(
            &mut headers,
            &PeerName::new(peer.parse().expect("address")),
            &Host::parse(host.as_bytes()).expect("host"),
            HeaderValue::from_str(host).expect("value"),
        );
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        lines.sort();
        (lines, client.to_string())
    }

    #[test]
    fn claims_of_a_stranger_are_dropped_and_written_anew() {
        let claims = [
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Prefix", "/admin"),
            ("X-Forwarded-Anything", "x"),
            ("Forwarded", "for=1.1.1.1"),
            ("X-Real-IP", "1.1.1.1"),
            ("x-env", "kept"),
        ];
        let (lines, client) = forwarded("10.0.0.0/8", "192.0.2.7", "shop.example:8080", &claims);
        assert_eq!(
            lines,
            [
                "x-env: kept",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: shop.example:8080",
                "x-forwarded-port: 8080",
                "x-forwarded-proto: http",
            ]
        );
        assert_eq!(client, "192.0.2.7");
    }

    #[test]
    fn a_trusted_peer_is_believed_and_appended() {
        let sent = [
            ("X-Forwarded-For", "1.1.1.1, 203.0.113.9"),
            ("X-Forwarded-For", "10.0.0.2"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "public.example"),
            ("X-Real-IP", "203.0.113.9"),
        ];
        let (lines, client) = forwarded("10.0.0.0/8", "10.0.0.1", "inner.example", &sent);
        assert_eq!(
            lines,
            [
                "x-forwarded-for: 1.1.1.1, 203.0.113.9, 10.0.0.2, 10.0.0.1",
                "x-forwarded-host: public.example",
                "x-forwarded-port: 80",
                "x-forwarded-proto: https",
                "x-real-ip: 203.0.113.9",
            ]
        );
        assert_eq!(
            client, "203.0.113.9",
            "the first from the right that is not ours"
        );
    }

    #[test]
    fn the_client_is_found_in_what_proxies_write() {
        let cases = [
            ("", "10.0.0.1"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("unknown", "10.0.0.1"),
            ("203.0.113.9, nonsense", "10.0.0.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ];
        for (chain, expected) in cases {
            let (_, client) = forwarded(
                "10.0.0.0/8",
                "10.0.0.1",
                "a.example",
                &[("X-Forwarded-For", chain)],
            );
            assert_eq!(client, expected, "{chain}");
        }
    }

    #[test]
    fn an_ipv4_peer_on_an_ipv6_listener_is_an_ipv4_peer() {
        let (lines, client) = forwarded(
            "10.0.0.0/8",
            "::ffff:10.0.0.1",
            "a.example",
            &[("X-Forwarded-For", "1.1.1.1")],
        );
        assert_eq!(lines[0], "x-forwarded-for: 1.1.1.1, 10.0.0.1");
        assert_eq!(client, "1.1.1.1");
    }
}
