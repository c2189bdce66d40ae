//! The key of the bucket that a request takes tokens from.

use std::borrow::Cow;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};

use crate::RequestHead;

/// What tells clients apart, as it is written: `client_address`, `header:NAME`, `cookie:NAME`, `query:NAME`, `host`, `path`,
/// `route` or `principal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitKey {
    /// The client's address, as far as a trusted proxy says.
    ClientAddress,
    /// The value of a header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter, as it was sent.
    Query(String),
    /// The Host header.
    Host,
    /// The path.
    Path,
    /// All requests of the route together.
    Route,
    /// Spring's own key, the user's name, which is unknown here.
    Principal,
}

/// What a key may be, for messages.
pub(crate) const EXPECTED: &str =
    "client_address, header:NAME, cookie:NAME, query:NAME, host, path or route";

impl LimitKey {
    pub(crate) fn parse(text: &str) -> Option<LimitKey> {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Some(match text.split_once(':') {
            Some(("header", name)) => LimitKey::Header(name.trim().parse().ok()?),
            Some(("cookie", name)) => LimitKey::Cookie(named(name.trim())?),
            Some(("query", name)) => LimitKey::Query(named(name.trim())?),
            Some(_) => return None,
            None => match text {
                "client_address" => LimitKey::ClientAddress,
                "host" => LimitKey::Host,
                "path" => LimitKey::Path,
                "route" => LimitKey::Route,
                "principal" => LimitKey::Principal,
                _ => return None,
            },
        })
    }

    /// The key of a request, unless it has none.
    pub(crate) fn of<'h>(&self, head: &'h RequestHead<'_>) -> Option<Cow<'h, [u8]>> {
        let key: Cow<'h, [u8]> = match self {
            LimitKey::ClientAddress => match head.facts.client {
                std::net::IpAddr::V4(address) => Cow::Owned(address.octets().to_vec()),
                // An IPv6 client has a whole network of 64 bits.
                std::net::IpAddr::V6(address) => Cow::Owned(address.octets()[..8].to_vec()),
            },
            LimitKey::Header(name) => Cow::Borrowed(head.headers.get(name)?.as_bytes()),
            LimitKey::Cookie(name) => Cow::Borrowed(cookie(head.headers, name)?),
            LimitKey::Query(name) => {
                let mut pairs = head.facts.query()?.split('&');
                let value = pairs.find_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (key == name).then_some(value)
                })?;
                Cow::Borrowed(value.as_bytes())
            }
            LimitKey::Host => Cow::Borrowed(head.facts.host.as_bytes()),
            LimitKey::Path => Cow::Borrowed(&head.facts.path),
            LimitKey::Route => Cow::Borrowed(b"*"),
            LimitKey::Principal => return None,
        };
        (!key.is_empty()).then_some(key)
    }
}

/// The value of the first cookie of that name.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        (key == name.as_bytes()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Facts;
    use crate::registry::tests::request_head;

    #[test]
    fn a_key_is_read_and_found() {
        let facts = Facts {
            client: [10, 0, 0, 7].into(),
            query: Some("a=1&k=v%20w".into()),
            ..Facts::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-key", "one".parse().expect("a value"));
        headers.insert("cookie", "a=b; sid=two".parse().expect("a value"));
        for (text, expected) in [
            ("client_address", Some(&[10, 0, 0, 7][..])),
            ("header:X-Key", Some(b"one")),
            ("header:x-none", None),
            ("cookie:sid", Some(b"two")),
            ("cookie:none", None),
            ("query:k", Some(b"v%20w")),
            ("query:none", None),
            ("path", Some(b"/")),
            ("host", None),
            ("route", Some(b"*")),
            ("principal", None),
        ] {
            let key = LimitKey::parse(text).expect(text);
            let head = RequestHead {
                facts: &facts,
                ..request_head("/", &mut headers)
            };
            assert_eq!(key.of(&head).as_deref(), expected, "{text}");
        }
        for text in ["", "ip", "header:", "header:a b", "cookie:", "nonsense:x"] {
            assert_eq!(LimitKey::parse(text), None, "{text}");
        }
    }

    /// One customer of IPv6 has 2^64 addresses.
    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_key() {
        let of = |address: &str| {
            let facts = Facts {
                client: address.parse().expect("an address"),
                ..Facts::default()
            };
            let mut headers = HeaderMap::new();
            let head = RequestHead {
                facts: &facts,
                ..request_head("/", &mut headers)
            };
            LimitKey::ClientAddress.of(&head).map(Cow::into_owned)
        };
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
