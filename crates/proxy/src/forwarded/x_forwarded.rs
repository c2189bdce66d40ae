//! `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use pailou_routing::Host;

use super::{Forwarded, PeerName, Scheme, Told};
use crate::connection::Connection;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Writes them for a client that nobody speaks for.
pub(super) fn begin(
    headers: &mut HeaderMap,
    connection: &Connection,
    host: Option<(&Host<'_>, &HeaderValue)>,
) -> Told {
    let (peer, scheme) = (&connection.peer, connection.scheme());
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

impl Forwarded {
    /// The same where the peer is a proxy of ours.
    pub(super) fn continue_chain(
        &self,
        headers: &mut HeaderMap,
        connection: &Connection,
        host: Option<&HeaderValue>,
    ) -> Told {
        let (peer, scheme) = (&connection.peer, connection.scheme());
        let hops = addresses(headers).into_iter().rev();
        let client = self.walk(peer.address, hops).client;
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
}

/// Takes them away.
pub(super) fn remove(headers: &mut HeaderMap) {
    for name in [FOR, PROTO, HOST, PORT] {
        headers.remove(name);
    }
}

/// The chain as it is, the peer last; nothing for what is no address.
pub(super) fn addresses(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    list(headers, &FOR).map(address_in).collect()
}

/// The scheme and the host that the client used, as they are told.
pub(super) fn facts(headers: &HeaderMap) -> Option<(&str, Option<&HeaderValue>)> {
    Some((headers.get(PROTO)?.to_str().ok()?, headers.get(HOST)))
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
pub(super) fn address_in(hop: &[u8]) -> Option<IpAddr> {
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
