//! The key of the bucket that a request takes tokens from.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};
use pailou_config::Field;

use crate::RequestHead;

/// What tells requests apart, as it is written: `client_address`, `header:NAME`, `cookie:NAME`, `query:NAME`, `claim:NAME`,
/// `host`, `path`, `route`, `service` or `principal`.
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
    /// The value of a claim, or `sub`: who it is, as a filter before this one has found.
    Claim(String),
    /// The Host header.
    Host,
    /// The path.
    Path,
    /// All requests of the route together.
    Route,
    /// All requests of the routes to this service.
    Service(String),
    /// Spring's own: the user's name, of which nothing is known here.
    Principal,
}

/// What a key may be, for messages.
pub(crate) const EXPECTED: &str = "client_address, header:NAME, cookie:NAME, query:NAME, claim:NAME, host, path, route or service";

impl LimitKey {
    /// Reads a key of a route to `service`.
    pub(crate) fn parse(text: &str, service: Option<&str>) -> Option<LimitKey> {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Some(match text.split_once(':') {
            Some(("header", name)) => LimitKey::Header(name.trim().parse().ok()?),
            Some(("cookie", name)) => LimitKey::Cookie(named(name.trim())?),
            Some(("query", name)) => LimitKey::Query(named(name.trim())?),
            Some(("claim", name)) => LimitKey::Claim(named(name.trim())?),
            Some(_) => return None,
            None => match text {
                "client_address" => LimitKey::ClientAddress,
                "host" => LimitKey::Host,
                "path" => LimitKey::Path,
                "route" => LimitKey::Route,
                "service" => LimitKey::Service(service?.to_owned()),
                "principal" => LimitKey::Principal,
                _ => return None,
            },
        })
    }

    /// The key of a request, unless it has none.
    pub(crate) fn of<'h>(&'h self, head: &'h RequestHead<'_>) -> Option<Cow<'h, [u8]>> {
        let key: Cow<'h, [u8]> = match self {
            LimitKey::ClientAddress => Cow::Owned(client_key(head.facts.client)),
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
            LimitKey::Claim(name) => head.effects.identity.as_ref()?.claim_bytes(name)?,
            LimitKey::Host => Cow::Borrowed(head.facts.host.as_bytes()),
            LimitKey::Path => Cow::Borrowed(&head.facts.path),
            LimitKey::Route => Cow::Borrowed(head.facts.route.as_bytes()),
            LimitKey::Service(service) => Cow::Borrowed(service.as_bytes()),
            LimitKey::Principal => return None,
        };
        (!key.is_empty()).then_some(key)
    }
}

impl LimitKey {
    /// The key as Spring's resolvers write it: an address in Java's words.
    pub(crate) fn text_of<'h>(&'h self, head: &'h RequestHead<'_>) -> Option<Cow<'h, [u8]>> {
        match (self, head.facts.client) {
            (LimitKey::ClientAddress, IpAddr::V4(address)) => {
                Some(Cow::Owned(address.to_string().into_bytes()))
            }
            (LimitKey::ClientAddress, IpAddr::V6(address)) => {
                let parts = address.segments().map(|part| format!("{part:x}"));
                Some(Cow::Owned(parts.join(":").into_bytes()))
            }
            _ => self.of(head),
        }
    }
}

/// Several keys, which tell requests apart together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitKeys {
    keys: Vec<LimitKey>,
    written: String,
}

impl LimitKeys {
    /// Reads a key or a list of them; what is wrong goes to the field's report.
    pub(crate) fn read(field: &Field<'_>, service: Option<&str>) -> Option<LimitKeys> {
        let read = |item: &Field<'_>| {
            let text = item.string()?;
            let key = LimitKey::parse(&text, service).filter(|key| *key != LimitKey::Principal);
            if key.is_none() && text == "service" {
                item.fault_expected("this route goes to no service", "another key");
            } else if key.is_none() {
                item.fault_expected("not a key", EXPECTED);
            }
            Some((key?, text))
        };
        let (keys, written): (Vec<_>, Vec<_>) = field.each(read)?.into_iter().unzip();
        if keys.is_empty() {
            field.fault_expected("no key", EXPECTED);
            return None;
        }
        Some(LimitKeys {
            keys,
            written: written.join("+"),
        })
    }

    /// As they are written.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// The service, if requests of all routes to it are counted together.
    pub(crate) fn service(&self) -> Option<&str> {
        self.keys.iter().find_map(|key| match key {
            LimitKey::Service(service) => Some(service.as_str()),
            _ => None,
        })
    }

    /// The key of a request. One that lacks a part has the key of all that lack it.
    pub(crate) fn of<'h>(&'h self, head: &'h RequestHead<'_>) -> Cow<'h, [u8]> {
        if let [key] = self.keys.as_slice() {
            return key.of(head).unwrap_or_default();
        }
        let mut all = Vec::new();
        for key in &self.keys {
            let part = key.of(head).unwrap_or_default();
            // With their lengths, `ab` and `c` are not `a` and `bc`.
            all.extend((part.len() as u32).to_be_bytes());
            all.extend_from_slice(&part);
        }
        Cow::Owned(all)
    }
}

/// What tells a client from others by its address: of IPv6 the first 64 bits, since a client has a whole network of them.
pub fn client_key(client: IpAddr) -> Vec<u8> {
    match client {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
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
    use crate::registry::tests::request_head;
    use crate::{Facts, Identity};

    #[test]
    fn a_key_is_read_and_found() {
        let facts = Facts {
            client: [10, 0, 0, 7].into(),
            query: Some("a=1&k=v%20w".into()),
            route: "r".into(),
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
            ("claim:sub", Some(b"seven")),
            ("claim:none", None),
            ("route", Some(b"r")),
            ("service", Some(b"s")),
            ("principal", None),
        ] {
            let key = LimitKey::parse(text, Some("s")).expect(text);
            let mut head = RequestHead {
                facts: &facts,
                ..request_head("/", &mut headers)
            };
            head.effects.identity = Some(Identity::named("seven").into());
            assert_eq!(key.of(&head).as_deref(), expected, "{text}");
        }
        for text in [
            "",
            "ip",
            "header:",
            "header:a b",
            "cookie:",
            "claim:",
            "nonsense:x",
        ] {
            assert_eq!(LimitKey::parse(text, Some("s")), None, "{text}");
        }
        assert_eq!(LimitKey::parse("service", None), None);
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

    #[test]
    fn an_address_is_written_as_java_does() {
        for (address, expected) in [
            ("10.0.0.7", "10.0.0.7"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("2001:db8::ff", "2001:db8:0:0:0:0:0:ff"),
        ] {
            let facts = Facts {
                client: address.parse().expect("an address"),
                ..Facts::default()
            };
            let mut headers = HeaderMap::new();
            let head = RequestHead {
                facts: &facts,
                ..request_head("/", &mut headers)
            };
            let text = LimitKey::ClientAddress.text_of(&head);
            assert_eq!(text.as_deref(), Some(expected.as_bytes()));
        }
    }

    #[test]
    fn several_keys_are_told_apart_together() {
        let keys = LimitKeys {
            keys: vec![
                LimitKey::Header(HeaderName::from_static("x-a")),
                LimitKey::Header(HeaderName::from_static("x-b")),
            ],
            written: String::new(),
        };
        let of = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().expect("a value"));
            }
            let head = request_head("/", &mut headers);
            keys.of(&head).into_owned()
        };
        let one = of(&[("x-a", "ab"), ("x-b", "c")]);
        assert_eq!(one, of(&[("x-b", "c"), ("x-a", "ab")]));
        for other in [
            of(&[("x-a", "a"), ("x-b", "bc")]),
            of(&[("x-a", "c"), ("x-b", "ab")]),
            of(&[("x-a", "ab")]),
            of(&[]),
        ] {
            assert_ne!(one, other);
        }
    }
}
