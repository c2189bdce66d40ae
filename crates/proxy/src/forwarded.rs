//! `X-Forwarded-*`: what the upstream is told about the client.
//!
//! A peer in a trusted network is a proxy of ours: what it says of the client
//! is kept, and its own address is appended. From anybody else these headers
//! are claims: they are dropped and written anew, `Forwarded` and `X-Real-IP`
//! among them.
//!
//! - `X-Forwarded-For`: the peer's address, after those that a trusted peer sent.
//! - `X-Forwarded-Proto`: `https` on TLS, else `http`.
//! - `X-Forwarded-Host`: the Host header as it came.
//! - `X-Forwarded-Port`: the port in that host, or the one of that scheme: the
//!   one the client used, which need not be the one that is listened on.
//!
//! Of a list that a trusted peer sent the first element counts, which is the one
//! of the proxy that is nearest to the client. What is no scheme, host or port
//! is written anew.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use pailou_routing::Host;

use crate::connection::Connection;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// A chain of addresses longer than this is not looked through further.
const MAX_HOPS: usize = 32;

/// How requests are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port of a URL that has none.
    pub(crate) fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    /// What a trusted proxy calls it; WebSockets have schemes of their own.
    fn claimed(name: &[u8]) -> Option<(Scheme, &'static str)> {
        [
            (Scheme::Http, "http"),
            (Scheme::Https, "https"),
            (Scheme::Http, "ws"),
            (Scheme::Https, "wss"),
        ]
        .into_iter()
        .find(|(_, known)| name.eq_ignore_ascii_case(known.as_bytes()))
    }
}

/// What the endpoint is told of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) client: IpAddr,
    pub(crate) scheme: Scheme,
}

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

    /// Writes the headers; says who the client is, and what it used.
    pub(crate) fn apply(
        &self,
        headers: &mut HeaderMap,
        connection: &Connection,
        host: &Host<'_>,
        host_value: &HeaderValue,
    ) -> Told {
        let (peer, scheme) = (&connection.peer, connection.scheme());
        if self.trusts(&peer.address) {
            return self.apply_trusted(headers, peer, scheme, host_value);
        }
        drop_claims(headers);
        headers.insert(FOR, peer.value.clone());
        headers.insert(PROTO, HeaderValue::from_static(scheme.name()));
        headers.insert(HOST, host_value.clone());
        headers.insert(PORT, port_value(host, scheme));
        Told {
            client: peer.address,
            scheme,
        }
    }

    /// The same where the peer is a proxy of ours.
    fn apply_trusted(
        &self,
        headers: &mut HeaderMap,
        peer: &PeerName,
        scheme: Scheme,
        host_value: &HeaderValue,
    ) -> Told {
        let client = self.client(headers, peer);
        headers.insert(FOR, chain(headers, peer));
        let claimed = first(headers, &PROTO).and_then(Scheme::claimed);
        let scheme = claimed.map_or(scheme, |(scheme, _)| scheme);
        let name = claimed.map_or(scheme.name(), |(_, name)| name);
        headers.insert(PROTO, HeaderValue::from_static(name));
        let host_value = first(headers, &HOST)
            .filter(|host| Host::parse(host).is_ok())
            .and_then(|host| HeaderValue::from_bytes(host).ok())
            .unwrap_or_else(|| host_value.clone());
        let port = first(headers, &PORT)
            .and_then(|port| std::str::from_utf8(port).ok()?.parse::<u16>().ok())
            .filter(|port| *port > 0);
        let port = match (port, Host::parse(host_value.as_bytes())) {
            (Some(port), _) => HeaderValue::from(port),
            (None, Ok(host)) => port_value(&host, scheme),
            (None, Err(_)) => HeaderValue::from(scheme.port()),
        };
        headers.insert(PORT, port);
        headers.insert(HOST, host_value);
        Told { client, scheme }
    }

    /// The last address in the chain that is not one of ours.
    fn client(&self, headers: &HeaderMap, peer: &PeerName) -> IpAddr {
        let mut client = peer.address;
        for hop in list(headers, &FOR).rev().take(MAX_HOPS) {
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

/// What the trusted peer sent, in one line, and the peer. Empty elements go.
fn chain(headers: &HeaderMap, peer: &PeerName) -> HeaderValue {
    let mut chain = Vec::new();
    for hop in list(headers, &FOR) {
        chain.extend_from_slice(hop);
        chain.extend_from_slice(b", ");
    }
    if chain.is_empty() {
        return peer.value.clone();
    }
    chain.extend_from_slice(peer.value.as_bytes());
    HeaderValue::try_from(chain).unwrap_or_else(|_| peer.value.clone())
}

/// The elements of a list, in however many lines.
fn list<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    lines
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    list(headers, name).next()
}

/// The port that a client uses for this host.
fn port_value(host: &Host<'_>, scheme: Scheme) -> HeaderValue {
    match host.port().unwrap_or(scheme.port()) {
        80 => HeaderValue::from_static("80"),
        443 => HeaderValue::from_static("443"),
        port => HeaderValue::from(port),
    }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

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
        let peer = PeerName::new(peer.parse().expect("address"));
        let connection = Connection::new(0, peer, Arc::default(), None, Weak::new());
        let told = Forwarded::new(trusted).apply(
            &mut headers,
            &connection,
            &Host::parse(host.as_bytes()).expect("host"),
            &HeaderValue::from_str(host).expect("value"),
        );
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        lines.sort();
        (lines, told.client.to_string())
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
                "x-forwarded-port: 443",
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
            ("203.0.113.9, , ", "203.0.113.9"),
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

    #[test]
    fn scheme_host_and_port_of_a_trusted_peer_agree() {
        let proto = |value| ("X-Forwarded-Proto", value);
        let given = |value| ("X-Forwarded-Host", value);
        let port = |value| ("X-Forwarded-Port", value);
        type Sent<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Sent<'_>, [&str; 3]); 11] = [
            (&[], ["inner:8080", "8080", "http"]),
            (&[proto("https")], ["inner:8080", "8080", "https"]),
            (
                &[proto("https"), given("a.example")],
                ["a.example", "443", "https"],
            ),
            (&[given("a.example")], ["a.example", "80", "http"]),
            (&[given("a.example:81")], ["a.example:81", "81", "http"]),
            (
                &[proto("https"), given("a.example"), port("8443")],
                ["a.example", "8443", "https"],
            ),
            (
                &[proto("wss"), given("a.example")],
                ["a.example", "443", "wss"],
            ),
            (
                &[proto("HTTPS"), proto("http"), given("a.example")],
                ["a.example", "443", "https"],
            ),
            (
                &[proto(" , https, http"), given("a.example, b.example")],
                ["a.example", "443", "https"],
            ),
            (
                &[proto("gopher"), given("a/b")],
                ["inner:8080", "8080", "http"],
            ),
            (&[port("0"), port("81")], ["inner:8080", "8080", "http"]),
        ];
        for (sent, [host, port, proto]) in cases {
            let (lines, _) = forwarded("10.0.0.0/8", "10.0.0.1", "inner:8080", sent);
            let expected = [
                "x-forwarded-for: 10.0.0.1".to_owned(),
                format!("x-forwarded-host: {host}"),
                format!("x-forwarded-port: {port}"),
                format!("x-forwarded-proto: {proto}"),
            ];
            assert_eq!(lines, expected, "{sent:?}");
        }
    }
}
