//! Header fields that concern one connection only, in both directions.
//!
//! A client's nominations are honoured before anything is planned. Otherwise
//! `Connection: x-request-id` would remove a header of the gateway's own.

use std::sync::LazyLock;

use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pailou_filters::elements;

use crate::edge::is_token_byte;
use crate::field_set::FieldSet;

/// More nominations than any honest client makes.
const MAX_NOMINATIONS: usize = 10;

/// Fields that a client cannot hide from the endpoint by nominating them.
const PROTECTED: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "forwarded",
];

/// The `Connection` header names a field that it must not name, or is no list of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedConnection;

/// What decides whether a request may switch protocols.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) version: Version,
    pub(crate) has_body: bool,
    /// The protocols that may be switched to, in lower case.
    pub(crate) upgrades: &'a [String],
}

/// Makes a request's head fit to be planned. Returns the protocol to switch to, if
/// the request names an allowed one; of several, the first.
///
/// The fields that frame the body are removed too, since the gateway frames it anew.
///
/// An HTTP/2 client cannot ask for an upgrade by these fields. If they are there,
/// the gateway wrote them.
pub(crate) fn clean_request(
    headers: &mut HeaderMap,
    asked: Asked<'_>,
) -> Result<Option<HeaderValue>, MalformedConnection> {
    let nominations = Nominations::of(headers)?;
    for name in &nominations.names {
        if PROTECTED.contains(&name.as_str()) {
            return Err(MalformedConnection);
        }
        headers.remove(name);
    }
    let upgrade = match nominations.upgrade {
        true => asked.upgrade(headers),
        false => None,
    };
    OF_ONE_HOP.remove_from(headers);
    match &upgrade {
        Some(protocol) => {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, protocol.clone());
        }
        None => {
            headers.remove(UPGRADE);
            headers.remove(CONNECTION);
        }
    }
    Ok(upgrade)
}

impl Asked<'_> {
    fn upgrade(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.version == Version::HTTP_10 || self.has_body {
            return None;
        }
        let protocol = elements(headers, &UPGRADE).find(|protocol| self.allows(protocol))?;
        HeaderValue::from_bytes(protocol).ok()
    }

    fn allows(&self, protocol: &[u8]) -> bool {
        let is_it = |allowed: &String| protocol.eq_ignore_ascii_case(allowed.as_bytes());
        // RFC 6455 section 4.1: the request for a WebSocket is a GET.
        let is_right = !protocol.eq_ignore_ascii_case(b"websocket") || *self.method == Method::GET;
        is_right && self.upgrades.iter().any(is_it)
    }
}

/// Whether an endpoint switched to the protocol that the request asked for. If the
/// answer names no protocol, it counts as that one.
pub(crate) fn is_switch_to(headers: &HeaderMap, protocol: &HeaderValue) -> bool {
    let mut said = elements(headers, &UPGRADE);
    said.all(|one| one.eq_ignore_ascii_case(protocol.as_bytes()))
}

/// Whether a client takes trailers (RFC 9110 section 10.1.4).
pub(crate) fn wants_trailers(headers: &HeaderMap) -> bool {
    elements(headers, &TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// Whether a message says that its connection ends with it (RFC 9112 section 9.3).
pub(crate) fn closes(headers: &HeaderMap, version: Version) -> bool {
    let says = |option: &[u8]| {
        elements(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(option))
    };
    match version {
        Version::HTTP_10 => says(b"close") || !says(b"keep-alive"),
        _ => says(b"close"),
    }
}

/// Removes from a response the fields of the endpoint's connection, and those that
/// framed the body there.
pub(crate) fn clean_response(headers: &mut HeaderMap, status: StatusCode) {
    if headers.contains_key(CONNECTION) {
        // A malformed list nominates nothing.
        if let Ok(nominations) = Nominations::of(headers) {
            for name in &nominations.names {
                if !matches!(name.as_str(), "content-length" | "set-cookie") {
                    headers.remove(name);
                }
            }
        }
        headers.remove(CONNECTION);
    }
    OF_ONE_HOP.remove_from(headers);
    // RFC 9110 section 15.5.22: this one says what to switch to.
    if status != StatusCode::UPGRADE_REQUIRED {
        headers.remove(UPGRADE);
    }
}

/// Fields of one connection, in both directions. `X-Application-Context`, in which old
/// Spring applications tell their name, profile and port, must not reach clients. Spring
/// Cloud Gateway removes it as well.
static OF_ONE_HOP: LazyLock<FieldSet<7>> = LazyLock::new(|| {
    FieldSet::new([
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("x-application-context"),
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
    ])
});

/// What `Connection` says beside `close` and `keep-alive`.
struct Nominations {
    names: Vec<HeaderName>,
    upgrade: bool,
}

impl Nominations {
    fn of(headers: &HeaderMap) -> Result<Nominations, MalformedConnection> {
        let mut nominations = Nominations {
            names: Vec::new(),
            upgrade: false,
        };
        for token in elements(headers, &CONNECTION) {
            if token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive") {
                continue;
            }
            if token.eq_ignore_ascii_case(b"upgrade") {
                nominations.upgrade = true;
                continue;
            }
            if nominations.names.len() == MAX_NOMINATIONS
                || !token.iter().copied().all(is_token_byte)
            {
                return Err(MalformedConnection);
            }
            let name = HeaderName::from_bytes(token).map_err(|_| MalformedConnection)?;
            nominations.names.push(name);
        }
        Ok(nominations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (
        &'static [(&'static str, &'static str)],
        Option<&'static str>,
        &'static [&'static str],
    );

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    const GET: Asked<'_> = Asked {
        method: &Method::GET,
        version: Version::HTTP_11,
        has_body: false,
        upgrades: &[],
    };

    fn cleaned(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, MalformedConnection> {
        let upgrades = ["websocket".to_owned(), "x/1".to_owned()];
        let upgrades = &upgrades;
        clean_request(headers, Asked { upgrades, ..GET })
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nominated_fields_go_before_anything_is_planned() {
        let mut head = headers(&[
            ("Connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("x-kept", "1"),
        ]);
        assert_eq!(cleaned(&mut head), Ok(None));
        assert_eq!(names(&head), ["x-kept"]);
    }

    #[test]
    fn a_client_asks_for_the_end_in_any_line() {
        type Case = (&'static [(&'static str, &'static str)], bool, bool);
        let cases: &[Case] = &[
            (&[], false, true),
            (&[("Connection", "close")], true, true),
            (
                &[("Connection", "x"), ("Connection", "a, Close")],
                true,
                true,
            ),
            (&[("Connection", "Keep-Alive")], false, false),
            (
                &[("Connection", "keep-alive"), ("Connection", "close")],
                true,
                true,
            ),
        ];
        for (fields, in_1_1, in_1_0) in cases {
            let head = headers(fields);
            assert_eq!(closes(&head, Version::HTTP_11), *in_1_1, "{fields:?}");
            assert_eq!(closes(&head, Version::HTTP_10), *in_1_0, "{fields:?}");
        }
    }

    #[test]
    fn only_upgrades_that_are_allowed_pass() {
        let cases: &[Case] = &[
            (
                &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
                Some("websocket"),
                &["connection", "upgrade"],
            ),
            (
                &[
                    ("Connection", "keep-alive, Upgrade"),
                    ("Upgrade", "WebSocket"),
                ],
                Some("WebSocket"),
                &["connection", "upgrade"],
            ),
            (
                &[
                    ("Connection", "x"),
                    ("Connection", "Upgrade"),
                    ("Upgrade", "h2c"),
                    ("Upgrade", "X/1, websocket"),
                ],
                Some("X/1"),
                &["connection", "upgrade"],
            ),
            (&[("Upgrade", "websocket")], None, &[]),
            (
                &[
                    ("Connection", "Upgrade, HTTP2-Settings"),
                    ("Upgrade", "h2c"),
                    ("HTTP2-Settings", "A"),
                ],
                None,
                &[],
            ),
            (&[("Connection", "keep-alive")], None, &[]),
            (&[], None, &[]),
        ];
        for (fields, upgrade, left) in cases {
            let mut head = headers(fields);
            let upgrade = upgrade.map(HeaderValue::from_static);
            assert_eq!(cleaned(&mut head), Ok(upgrade.clone()), "{fields:?}");
            assert_eq!(names(&head), *left, "{fields:?}");
            assert_eq!(head.get("upgrade"), upgrade.as_ref(), "{fields:?}");
        }
    }

    #[test]
    fn a_request_that_cannot_switch_asks_for_nothing() {
        let upgrades = &["websocket".to_owned(), "x".to_owned()];
        let get = Asked { upgrades, ..GET };
        let (post, http_10) = (Method::POST, Version::HTTP_10);
        for (asked, websocket, other) in [
            (get, true, true),
            (
                Asked {
                    method: &post,
                    ..get
                },
                false,
                true,
            ),
            (
                Asked {
                    version: http_10,
                    ..get
                },
                false,
                false,
            ),
            (
                Asked {
                    has_body: true,
                    ..get
                },
                false,
                false,
            ),
            (GET, false, false),
        ] {
            for (protocol, may) in [("websocket", websocket), ("x", other)] {
                let mut head = headers(&[("Connection", "upgrade"), ("Upgrade", protocol)]);
                let upgrade = clean_request(&mut head, asked).expect("a list");
                assert_eq!(upgrade.is_some(), may, "{protocol} by {asked:?}");
                assert_eq!(head.contains_key("connection"), may);
            }
        }
    }

    #[test]
    fn what_may_not_be_nominated_is_refused() {
        for value in [
            "host",
            "close, Content-Length",
            "X-Forwarded-For",
            "\"x\"",
            "a b",
            ":authority",
            "a,b,c,d,e,f,g,h,i,j,k",
        ] {
            let mut head = headers(&[("Connection", value)]);
            assert_eq!(cleaned(&mut head), Err(MalformedConnection), "{value}");
        }
    }

    #[test]
    fn a_response_loses_what_was_of_one_hop() {
        let mut head = headers(&[
            ("Connection", "x-internal, content-length"),
            ("X-Internal", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Content-Length", "0"),
            ("X-Kept", "1"),
        ]);
        let mut required = head.clone();
        clean_response(&mut head, StatusCode::OK);
        assert_eq!(names(&head), ["content-length", "x-kept"]);
        clean_response(&mut required, StatusCode::UPGRADE_REQUIRED);
        assert_eq!(names(&required), ["content-length", "upgrade", "x-kept"]);
    }
}
