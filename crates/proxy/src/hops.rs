//! Header fields that concern one connection only, in both directions, and
//! the names that no two servers read alike.
//!
//! A client's nominations are honoured before anything is planned:
//! `Connection: x-request-id` would otherwise take away what the gateway itself
//! puts there.

use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use pailou_filters::elements;

use crate::edge::is_token_byte;

/// More nominations than any honest client makes.
const MAX_NOMINATIONS: usize = 10;

/// Fields that a client cannot take away from the upstream by nominating them.
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

/// The `Connection` header names what it may not, or is no list of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedConnection;

/// Makes a request's head fit to be planned; says whether it asks for a
/// WebSocket.
///
/// Fields whose name has an underscore are dropped, as nginx does: behind
/// CGI, WSGI and their kin `X_Forwarded_For` and `X-Forwarded-For` are one.
/// Of upgrades only WebSocket is passed on.
///
/// The fields that frame the body go too: the gateway frames it anew.
///
/// In HTTP/2 no client can ask for an upgrade by these fields: there they are
/// the gateway's own words.
pub(crate) fn clean_request(
    headers: &mut HeaderMap,
    method: &Method,
    version: Version,
) -> Result<bool, MalformedConnection> {
    drop_underscored(headers);
    let nominations = Nominations::of(headers)?;
    for name in &nominations.names {
        if PROTECTED.contains(&name.as_str()) {
            return Err(MalformedConnection);
        }
        headers.remove(name);
    }
    let websocket = nominations.upgrade
        && version != Version::HTTP_10
        && *method == Method::GET
        && headers
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    remove_all(headers, &OF_ONE_HOP);
    if websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
        headers.remove(CONNECTION);
    }
    Ok(websocket)
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

/// Takes from a response what concerned the endpoint's connection, or framed
/// its body there.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
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
    remove_all(headers, &OF_ONE_HOP);
    headers.remove(UPGRADE);
}

/// Fields of one connection, whichever way they go. Names and not texts, which
/// would be parsed for each message. `X-Application-Context`, by which old Spring
/// applications tell their name, profile and port, is nobody else's business; Spring
/// Cloud Gateway keeps it back as well.
static OF_ONE_HOP: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-application-context"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
];

fn remove_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

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

fn drop_underscored(headers: &mut HeaderMap) {
    if !headers.keys().any(has_underscore) {
        return;
    }
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| has_underscore(name))
        .cloned()
        .collect();
    remove_all(headers, &names);
}

fn has_underscore(name: &HeaderName) -> bool {
    name.as_str().as_bytes().contains(&b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (
        &'static [(&'static str, &'static str)],
        bool,
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

    fn cleaned(headers: &mut HeaderMap) -> Result<bool, MalformedConnection> {
        clean_request(headers, &Method::GET, Version::HTTP_11)
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
        assert_eq!(cleaned(&mut head), Ok(false));
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
    fn only_websocket_upgrades_pass() {
        let cases: &[Case] = &[
            (
                &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
                true,
                &["connection", "upgrade"],
            ),
            (
                &[
                    ("Connection", "keep-alive, Upgrade"),
                    ("Upgrade", "WebSocket"),
                ],
                true,
                &["connection", "upgrade"],
            ),
            (&[("Upgrade", "websocket")], false, &[]),
            (
                &[
                    ("Connection", "Upgrade, HTTP2-Settings"),
                    ("Upgrade", "h2c"),
                    ("HTTP2-Settings", "A"),
                ],
                false,
                &[],
            ),
            (&[("Connection", "keep-alive")], false, &[]),
            (&[], false, &[]),
        ];
        for (fields, websocket, left) in cases {
            let mut head = headers(fields);
            assert_eq!(cleaned(&mut head), Ok(*websocket), "{fields:?}");
            assert_eq!(names(&head), *left, "{fields:?}");
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
    fn underscored_names_are_dropped() {
        let mut head = headers(&[
            ("X_Forwarded_For", "1.1.1.1"),
            ("user_id", "7"),
            ("user-id", "7"),
        ]);
        assert_eq!(cleaned(&mut head), Ok(false));
        assert_eq!(names(&head), ["user-id"]);
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
        clean_response(&mut head);
        assert_eq!(names(&head), ["content-length", "x-kept"]);
    }
}
