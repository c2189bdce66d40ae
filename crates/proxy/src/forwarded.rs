//! `X-Forwarded-*`: what the upstream is told about the client.
//!
//! A peer in a trusted network is a proxy of ours: what it says of the client
//! is kept, and its own address is appended. From anybody else these headers
//! are claims: they are dropped and written anew. So are `Forwarded` and the
//! names of the setting `forwarded.claims`, such as `X-Real-IP`.
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
use pailou_config::ForwardedSettings;
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
    /// What only those may say, beside `X-Forwarded-*` and `Forwarded`.
    claims: Vec<HeaderName>,
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
    pub(crate) fn new(settings: &ForwardedSettings) -> Forwarded {
        let names = settings.claims.iter();
        Forwarded {
            trusted: settings.trusted_proxies.clone(),
            claims: names.filter_map(|name| name.parse().ok()).collect(),
        }
    }

    fn trusts(&self, address: &IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Writes the headers; says who the client is, and what it used.
    pub(crate) fn apply(
        &self,
        headers: &mut HeaderMap,
        connection: &Connection,
        host: Option<(&Host<'_>, &HeaderValue)>,
    ) -> Told {
        let (peer, scheme) = (&connection.peer, connection.scheme());
        if self.trusts(&peer.address) {
            let value = host.map(|(_, value)| value);
            return self.apply_trusted(headers, peer, scheme, value);
        }
        drop_claims(headers, &self.claims);
        headers.insert(FOR, peer.value.clone());
        headers.insert(PROTO, HeaderValue::from_static(scheme.name()));
        match host {
            Some((host, value)) => {
                headers.insert(HOST, value.clone());
                headers.insert(PORT, port_value(host, scheme));
            }
            None => tell_host(headers, scheme, None, None),
        }
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
        host: Option<&HeaderValue>,
    ) -> Told {
        let client = self.client(headers, peer);
        headers.insert(FOR, chain(headers, peer));
        let claimed = first(headers, &PROTO).and_then(Scheme::claimed);
        let scheme = claimed.map_or(scheme, |(scheme, _)| scheme);
        let name = claimed.map_or(scheme.name(), |(_, name)| name);
        headers.insert(PROTO, HeaderValue::from_static(name));
        let host = first(headers, &HOST)
            .filter(|host| Host::parse(host).is_ok())
            .and_then(|host| HeaderValue::from_bytes(host).ok())
            .or_else(|| host.cloned());
        let port = first(headers, &PORT)
            .and_then(|port| std::str::from_utf8(port).ok()?.parse::<u16>().ok())
            .filter(|port| *port > 0);
        tell_host(headers, scheme, host, port);
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

/// Writes the host and the port that the client used. Of HTTP/1.0 there may be no
/// host.
fn tell_host(
    headers: &mut HeaderMap,
    scheme: Scheme,
    host: Option<HeaderValue>,
    port: Option<u16>,
) {
    let parsed = host.as_ref().map(|host| Host::parse(host.as_bytes()));
    let port = match (port, parsed) {
        (Some(port), _) => HeaderValue::from(port),
        (None, Some(Ok(host))) => port_value(&host, scheme),
        (None, _) => HeaderValue::from(scheme.port()),
    };
    headers.insert(PORT, port);
    match host {
        Some(host) => headers.insert(HOST, host),
        None => headers.remove(HOST),
    };
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
    match host
        .port()
        .filter(|port| *port > 0)
        .unwrap_or(scheme.port())
    {
        80 => HeaderValue::from_static("80"),
        443 => HeaderValue::from_static("443"),
        port => HeaderValue::from(port),
    }
}

/// Takes from a stranger's request what only a proxy may say.
fn drop_claims(headers: &mut HeaderMap, more: &[HeaderName]) {
    let is_claim = |name: &HeaderName| {
        let text = name.as_str();
        text.starts_with("x-forwarded-") || text == "forwarded" || more.contains(name)
    };
    if !headers.keys().any(is_claim) {
        return;
    }
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
mod tests;
