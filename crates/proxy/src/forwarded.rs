//! What the upstream is told about the client: by `X-Forwarded-*`, by `Forwarded`
//! (RFC 7239), or by both, as `forwarded.header` says.
//!
//! A peer in a trusted network is a proxy of ours. What it says of the client
//! is kept, and its own address is appended. From any other peer these headers
//! are dropped and written anew. `Forwarded` and the names of the setting
//! `forwarded.claims`, such as `X-Real-IP`, are dropped too.
//!
//! - `X-Forwarded-For`: the peer's address, after those that a trusted peer sent.
//! - `X-Forwarded-Proto`: `https` on TLS, else `http`.
//! - `X-Forwarded-Host`: the Host header as it came.
//! - `X-Forwarded-Port`: the port in that host, or the default port of that
//!   scheme. The client used this port; the listener's may be another.
//!
//! In a list from a trusted peer the first element counts, which comes from the
//! proxy nearest to the client. A value that is no scheme, host or port is written
//! anew.
//!
//! Of `Forwarded` the element of the client counts, not the first: what is in
//! front of it is a stranger's word. What is malformed goes, and so does all that is in
//! front of it. With both `X-Forwarded-*` are read, and `Forwarded` is made of what they say.

mod rfc7239;
mod x_forwarded;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;
use pailou_config::{ForwardedHeader, ForwardedSettings};
use pailou_routing::Host;

use crate::connection::Connection;
use rfc7239::Element;

/// At most this many addresses of a chain are read.
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
    header: ForwardedHeader,
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
            header: settings.header,
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
        let is_trusted = self.trusts(&connection.peer.address);
        if !is_trusted {
            drop_claims(headers, &self.claims);
        }
        let value = host.map(|(_, value)| value);
        match self.header {
            ForwardedHeader::Forwarded => {
                x_forwarded::remove(headers);
                self.continue_list(headers, connection, value)
            }
            ForwardedHeader::XForwarded | ForwardedHeader::Both => {
                let told = match (is_trusted, host) {
                    (true, _) => self.continue_chain(headers, connection, value),
                    (false, host) => x_forwarded::begin(headers, connection, host),
                };
                if self.header == ForwardedHeader::Both {
                    self.list_of_chain(headers, connection, value);
                }
                told
            }
        }
    }

    /// Appends an element to `Forwarded`.
    fn continue_list(
        &self,
        headers: &mut HeaderMap,
        connection: &Connection,
        host: Option<&HeaderValue>,
    ) -> Told {
        let (peer, scheme) = (connection.peer.address, connection.scheme());
        let came = rfc7239::joined(headers);
        let elements = rfc7239::read(&came);
        let walk = self.walk(peer, elements.iter().rev().map(Element::address));
        let behind = elements.len() - walk.hops;
        // Whose proxy is ours is believed, also where it hides who made the request.
        let element = match elements[..behind].last() {
            Some(hidden) if walk.trusts_last => Some(hidden),
            _ => elements.get(behind),
        };
        let claimed = element
            .and_then(Element::proto)
            .and_then(Scheme::claimed)
            .map(|(scheme, _)| scheme);
        let told = Told {
            client: walk.client,
            scheme: claimed.unwrap_or(scheme),
        };
        let mut list = rfc7239::list_of(&elements);
        rfc7239::write(&mut list, Some(peer), Some((scheme.name(), host)));
        set_list(headers, list);
        told
    }

    /// Makes `Forwarded` of what `X-Forwarded-*` say now. What the client used is in
    /// the client's element.
    fn list_of_chain(
        &self,
        headers: &mut HeaderMap,
        connection: &Connection,
        host: Option<&HeaderValue>,
    ) {
        let peer = connection.peer.address;
        let chain = x_forwarded::addresses(headers);
        let before = chain.len().saturating_sub(1);
        let walk = self.walk(peer, chain[..before].iter().rev().copied());
        let mut list = Vec::new();
        for (at, address) in chain.into_iter().enumerate() {
            let facts = if at == before - walk.hops {
                x_forwarded::facts(headers)
            } else if at == before {
                Some((connection.scheme().name(), host))
            } else {
                None
            };
            rfc7239::write(&mut list, address, facts);
        }
        set_list(headers, list);
    }

    /// Goes from the peer towards the client, `hops` being those before the peer, for
    /// as long as each is a proxy of ours.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> Walk {
        let mut walk = Walk {
            hops: 0,
            client: peer,
            trusts_last: self.trusts(&peer),
        };
        for hop in hops.take(MAX_HOPS) {
            let Some(address) = hop.filter(|_| walk.trusts_last) else {
                break;
            };
            walk = Walk {
                hops: walk.hops + 1,
                client: address,
                trusts_last: self.trusts(&address),
            };
        }
        walk
    }
}

/// How far the word of our proxies goes.
struct Walk {
    /// How many hops were gone over.
    hops: usize,
    /// The last of them, or the peer.
    client: IpAddr,
    /// Whether that one is a proxy of ours.
    trusts_last: bool,
}

fn set_list(headers: &mut HeaderMap, list: Vec<u8>) {
    match HeaderValue::try_from(list) {
        Ok(list) => headers.insert(header::FORWARDED, list),
        // Of what the client sent; it cannot be, and says nothing then.
        Err(_) => headers.remove(header::FORWARDED),
    };
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
