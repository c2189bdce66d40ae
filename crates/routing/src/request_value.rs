//! What a request says of itself in a header, a cookie, a query parameter or a claim.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};
use pailou_config::RequestKey;
use pailou_filters::{Identity, client_key, form_bytes};
use pailou_upstream::Hint;

use crate::predicate::{cookie_value, is_query_text};

/// Where a request says something. The first value counts.
#[derive(Debug)]
pub(crate) enum RequestValue {
    Header(HeaderName),
    Cookie(String),
    Query(String),
    Claim(String),
}

impl RequestValue {
    /// The names in `spec` are tokens, so that none is lost.
    pub(crate) fn compile(spec: &pailou_config::RequestValue) -> Option<RequestValue> {
        Some(match spec {
            pailou_config::RequestValue::Header(name) => RequestValue::Header(name.parse().ok()?),
            pailou_config::RequestValue::Cookie(name) => RequestValue::Cookie(name.clone()),
            pailou_config::RequestValue::Query(name) => RequestValue::Query(name.clone()),
            pailou_config::RequestValue::Claim(name) => RequestValue::Claim(name.clone()),
        })
    }

    /// Whether the route's filters have to find out first who the request is of.
    pub(crate) fn needs_identity(&self) -> bool {
        matches!(self, RequestValue::Claim(_))
    }

    /// What the request says, or who it is of: a header without the white space around it, a query parameter decoded.
    pub(crate) fn find<'h>(
        &self,
        query: Option<&'h str>,
        headers: &'h HeaderMap,
        identity: Option<&'h Identity>,
    ) -> Option<Cow<'h, [u8]>> {
        match self {
            RequestValue::Header(name) => {
                let value = headers.get(name)?.as_bytes();
                Some(Cow::Borrowed(value.trim_ascii()))
            }
            RequestValue::Cookie(name) => {
                let lines = headers.get_all(COOKIE).iter();
                let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
                let value = pairs.find_map(|pair| cookie_value(pair, name))?;
                Some(Cow::Borrowed(value))
            }
            RequestValue::Query(name) => {
                let mut pairs = query?.split('&');
                let value = pairs.find_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    is_query_text(key.as_bytes(), name).then_some(value)
                })?;
                Some(Cow::Owned(form_bytes(value.as_bytes()).collect()))
            }
            RequestValue::Claim(name) => identity?.claim_bytes(name),
        }
    }
}

/// What keeps the requests of a route together.
///
/// Cost per request: a look at the header, cookies or query, and a hash of what is found.
#[derive(Debug)]
pub enum HashKey {
    /// The client's address; of IPv6 the first 64 bits, since a client has a whole network of them.
    ClientAddress,
    /// What the request says.
    Value(KeyValue),
}

/// Where a request has its key.
#[derive(Debug)]
pub struct KeyValue(RequestValue);

impl HashKey {
    pub(crate) fn compile(key: &RequestKey) -> Option<HashKey> {
        Some(match key {
            RequestKey::ClientAddress => HashKey::ClientAddress,
            RequestKey::Value(value) => HashKey::Value(KeyValue(RequestValue::compile(value)?)),
        })
    }

    /// The hash of the request's key, if it has one that is not empty.
    pub fn of(
        &self,
        client: IpAddr,
        query: Option<&str>,
        headers: &HeaderMap,
        identity: Option<&Identity>,
    ) -> Option<u64> {
        let key = match self {
            HashKey::Value(KeyValue(value)) => value.find(query, headers, identity)?,
            HashKey::ClientAddress => Cow::Owned(client_key(client)),
        };
        (!key.is_empty()).then(|| Hint::hash(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_key_that_the_route_names() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", " anna ".parse().expect("a value"));
        headers.insert("cookie", "a=b; sid=\"anna\"".parse().expect("a value"));
        let v4 = IpAddr::from([10, 0, 0, 1]);
        let v6 = |text: &str| text.parse::<IpAddr>().expect("an address");
        let of = |key: &str, client| {
            let spec = match key.split_once(':') {
                None => RequestKey::ClientAddress,
                Some(("header", name)) => {
                    RequestKey::Value(pailou_config::RequestValue::Header(name.into()))
                }
                Some(("cookie", name)) => {
                    RequestKey::Value(pailou_config::RequestValue::Cookie(name.into()))
                }
                Some(("claim", name)) => {
                    RequestKey::Value(pailou_config::RequestValue::Claim(name.into()))
                }
                Some((_, name)) => {
                    RequestKey::Value(pailou_config::RequestValue::Query(name.into()))
                }
            };
            let key = HashKey::compile(&spec).expect("legal");
            let identity = Identity::named("anna");
            key.of(
                client,
                Some("v=1&u=ann%61&none="),
                &headers,
                Some(&identity),
            )
        };
        let anna = Some(Hint::hash(b"anna"));
        for (key, expected) in [
            ("header:X-User", anna),
            ("header:x-none", None),
            ("cookie:sid", anna),
            ("cookie:none", None),
            ("query:u", anna),
            ("query:none", None),
            ("claim:sub", anna),
            ("claim:none", None),
            ("client", Some(Hint::hash(&[10, 0, 0, 1]))),
        ] {
            assert_eq!(of(key, v4), expected, "{key}");
        }
        let (one, two) = (v6("2001:db8::1"), v6("2001:db8::ffff"));
        assert_eq!(of("client", one), of("client", two));
        assert_ne!(of("client", one), of("client", v6("2001:db8:0:1::1")));
    }
}
