//! Where a request carries a token or a key.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pailou_config::Field;

use crate::escapes::form_decoded;
use crate::limit_key::cookie;
use crate::scg::query;
use crate::{RequestHead, header};

/// One place in a request, as it is written: `bearer`, `header:NAME`, `cookie:NAME` or `query:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// `Authorization: Bearer` and the token (RFC 6750 section 2.1).
    Bearer,
    /// A header of that name.
    Header(HeaderName),
    /// A cookie of that name.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
}

/// The place says two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous;

const EXPECTED: &str = "bearer, header:NAME, cookie:NAME or query:NAME";

impl Carrier {
    /// Reads places, at least one.
    pub(crate) fn list(field: &Field<'_>) -> Option<Vec<Carrier>> {
        let carriers = field.each(Carrier::read)?;
        if carriers.is_empty() {
            field.fault_expected("an empty list", EXPECTED);
            return None;
        }
        Some(carriers)
    }

    pub(crate) fn read(field: &Field<'_>) -> Option<Carrier> {
        let carrier = Carrier::parse(&field.string()?);
        if carrier.is_none() {
            field.fault_expected(field.quoted(), EXPECTED);
        }
        carrier
    }

    fn parse(text: &str) -> Option<Carrier> {
        if text == "bearer" {
            return Some(Carrier::Bearer);
        }
        let (kind, name) = text.split_once(':')?;
        let name = name.trim();
        let named = (!name.is_empty()).then(|| name.to_owned());
        match kind {
            "header" => {
                let name: HeaderName = name.parse().ok()?;
                (!header::is_of_the_connection(&name)).then_some(Carrier::Header(name))
            }
            "cookie" => named.map(Carrier::Cookie),
            "query" => named.map(Carrier::Query),
            _ => None,
        }
    }

    /// What the request carries there. An empty value is none.
    ///
    /// # Errors
    /// The header or parameter is there more than once: the next server may read another one than this gateway.
    pub(crate) fn find<'h>(
        &self,
        head: &'h RequestHead<'_>,
    ) -> Result<Option<Cow<'h, [u8]>>, Ambiguous> {
        let found = match self {
            Carrier::Bearer => only(head.headers, &AUTHORIZATION)?.and_then(bearer),
            Carrier::Header(name) => only(head.headers, name)?.map(HeaderValue::as_bytes),
            Carrier::Cookie(name) => cookie(head.headers, name),
            Carrier::Query(name) => return parameter(head, name),
        };
        let found = found.map(<[u8]>::trim_ascii);
        Ok(found.filter(|found| !found.is_empty()).map(Cow::Borrowed))
    }

    /// Takes it out of the request that is sent.
    pub(crate) fn remove(&self, head: &mut RequestHead<'_>) {
        match self {
            Carrier::Bearer => {
                let is_bearer = |value: &HeaderValue| bearer(value).is_some();
                if head.headers.get(AUTHORIZATION).is_some_and(is_bearer) {
                    head.headers.remove(AUTHORIZATION);
                }
            }
            Carrier::Header(name) => header::drop_in_any_spelling(head.headers, [name]),
            Carrier::Cookie(name) => without_cookie(head.headers, name),
            Carrier::Query(name) => {
                let left = head
                    .query
                    .as_deref()
                    .and_then(|all| query::without(all, name));
                if let Some(left) = left {
                    head.query = (!left.is_empty()).then_some(Cow::Owned(left));
                }
            }
        }
    }
}

fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Ambiguous> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Ambiguous),
        (value, None) => Ok(value),
    }
}

/// The token behind `Bearer`, whose case does not matter.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn parameter<'h>(
    head: &'h RequestHead<'_>,
    name: &str,
) -> Result<Option<Cow<'h, [u8]>>, Ambiguous> {
    let pairs = head.query.as_deref().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (*form_decoded(key.as_bytes()) == *name.as_bytes()).then_some(value)
    });
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Ambiguous),
        (value, None) => Ok(value
            .filter(|value| !value.is_empty())
            .map(|value| form_decoded(value.as_bytes()))),
    }
}

/// Cookies but for those of a name, line by line.
pub(crate) fn without_cookie(headers: &mut HeaderMap, name: &str) {
    let is_other = |pair: &&[u8]| {
        let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        key.trim_ascii() != name.as_bytes()
    };
    let lines: Vec<_> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for line in lines {
        let pairs = line.as_bytes().split(|byte| *byte == b';');
        let kept: Vec<&[u8]> = pairs.filter(is_other).map(<[u8]>::trim_ascii).collect();
        let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
        if let Some(kept) = kept.ok().filter(|kept| !kept.is_empty()) {
            headers.append(COOKIE, kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::request_head;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_token_is_found_where_it_is_said_to_be() {
        const SENT: &[(&str, &str)] = &[
            ("authorization", "bEARER abc"),
            ("x-token", " abc "),
            ("x-empty", ""),
            ("x-two", "a"),
            ("x-two", "b"),
            ("cookie", "a=b; t=abc"),
        ];
        for (text, query, expected) in [
            ("bearer", "", Ok(Some("abc"))),
            ("header:X-Token", "", Ok(Some("abc"))),
            ("header:x-none", "", Ok(None)),
            ("header:x-empty", "", Ok(None)),
            ("header:x-two", "", Err(Ambiguous)),
            ("cookie:t", "", Ok(Some("abc"))),
            ("cookie:none", "", Ok(None)),
            ("query:k", "a=b&k=abc", Ok(Some("abc"))),
            ("query:k", "%6b=a%62c", Ok(Some("abc"))),
            ("query:k", "k=a&k=b", Err(Ambiguous)),
            ("query:k", "k=&x", Ok(None)),
        ] {
            let mut headers = headers(SENT);
            let mut head = request_head("/", &mut headers);
            head.query = Some(query.into());
            let carrier = Carrier::parse(text).expect(text);
            let found = carrier.find(&head);
            let expected = expected.map(|text| text.map(|text| Cow::Borrowed(text.as_bytes())));
            assert_eq!(found, expected, "{text} {query}");
        }
        for text in [
            "",
            "basic",
            "header:",
            "header:connection",
            "cookie: ",
            "path:x",
        ] {
            assert_eq!(Carrier::parse(text), None, "{text}");
        }
        let mut basic = headers(&[("authorization", "Basic abc")]);
        let head = request_head("/", &mut basic);
        assert_eq!(Carrier::Bearer.find(&head), Ok(None));
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_stays() {
        let mut sent = headers(&[
            ("authorization", "Bearer abc"),
            ("x-key", "1"),
            ("x_key", "2"),
            ("cookie", "a=b; t=abc; c=d"),
            ("cookie", "t=x"),
        ]);
        let mut head = request_head("/", &mut sent);
        head.query = Some("a=1&k=2".into());
        for text in ["bearer", "header:x-key", "cookie:t", "query:k"] {
            Carrier::parse(text).expect(text).remove(&mut head);
        }
        assert_eq!(head.query.as_deref(), Some("a=1"));
        Carrier::parse("query:a").expect("legal").remove(&mut head);
        assert_eq!(head.query, None);
        assert_eq!(sent, headers(&[("cookie", "a=b; c=d")]));
        let mut basic = headers(&[("authorization", "Basic abc")]);
        Carrier::Bearer.remove(&mut request_head("/", &mut basic));
        assert!(basic.contains_key("authorization"), "it is no token");
    }
}
