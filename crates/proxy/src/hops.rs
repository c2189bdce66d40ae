//! Header fields that concern one connection only, in both directions, and
//! the names that no two servers read alike.
//!
//! pingora strips a client's connection-nominated fields from each try, after
//! the head was planned: `Connection: x-request-id` would take away what the
//! gateway itself put there. So nominations are honoured here, before
//! anything is planned, and what is left of `Connection` nominates nothing.

use http::header::{CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, TE, TRAILER, UPGRADE};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};

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
pub(crate) fn clean_request(head: &mut RequestHeader) -> Result<bool, MalformedConnection> {
    drop_underscored(head);
    let has_connection = head.headers.contains_key(CONNECTION);
    if !has_connection && !head.headers.contains_key(UPGRADE) {
        return Ok(false);
    }
    let nominations = Nominations::of(&head.headers)?;
    for name in &nominations.names {
        if PROTECTED.contains(&name.as_str()) {
            return Err(MalformedConnection);
        }
        head.remove_header(name);
    }
    let websocket = nominations.upgrade
        && head.version == Version::HTTP_11
        && head.method == Method::GET
        && head
            .headers
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if websocket {
        // It fails only beyond 32,768 fields.
        let _ = head.insert_header(CONNECTION, "upgrade");
    } else {
        head.remove_header(&UPGRADE);
        if !nominations.names.is_empty() || nominations.upgrade {
            head.remove_header(&CONNECTION);
        }
    }
    Ok(websocket)
}

/// Takes from a response what concerned the upstream's connection. pingora
/// writes `Connection` itself, and needs `Transfer-Encoding`.
pub(crate) fn clean_response(head: &mut ResponseHeader) {
    // Names and not texts, which would be parsed for each answer.
    static OF_ONE_HOP: [HeaderName; 6] = [
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        PROXY_AUTHENTICATE,
        TE,
        TRAILER,
        UPGRADE,
    ];
    if head.headers.contains_key(CONNECTION) {
        // A malformed list nominates nothing; pingora replaces it anyway.
        if let Ok(nominations) = Nominations::of(&head.headers) {
            for name in &nominations.names {
                if !matches!(
                    name.as_str(),
                    "content-length" | "transfer-encoding" | "set-cookie"
                ) {
                    head.remove_header(name);
                }
            }
        }
    }
    if head.status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6: it has no body that could have a length.
        head.remove_header(&CONTENT_LENGTH);
    }
    for name in &OF_ONE_HOP {
        if head.headers.contains_key(name) {
            head.remove_header(name);
        }
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
        let tokens = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|token| !token.is_empty());
        for token in tokens {
            if token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive") {
                continue;
            }
            if token.eq_ignore_ascii_case(b"upgrade") {
                nominations.upgrade = true;
                continue;
            }
            if nominations.names.len() == MAX_NOMINATIONS || !token.iter().all(is_token_byte) {
                return Err(MalformedConnection);
            }
            let name = HeaderName::from_bytes(token).map_err(|_| MalformedConnection)?;
            nominations.names.push(name);
        }
        Ok(nominations)
    }
}

/// RFC 9110 section 5.6.2; `HeaderName` lets more through.
fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn drop_underscored(head: &mut RequestHeader) {
    if !head.headers.keys().any(has_underscore) {
        return;
    }
    let names: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| has_underscore(name))
        .cloned()
        .collect();
    for name in &names {
        head.remove_header(name);
    }
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

    fn request(fields: &[(&str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/", None).expect("head");
        for (name, value) in fields {
            head.append_header((*name).to_owned(), *value)
                .expect("header");
        }
        head
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nominated_fields_go_before_anything_is_planned() {
        let mut head = request(&[
            ("Connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("x-kept", "1"),
        ]);
        assert_eq!(clean_request(&mut head), Ok(false));
        assert_eq!(names(&head.headers), ["x-kept"]);
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
            (&[("Connection", "keep-alive")], false, &["connection"]),
            (&[], false, &[]),
        ];
        for (fields, websocket, left) in cases {
            let mut head = request(fields);
            assert_eq!(clean_request(&mut head), Ok(*websocket), "{fields:?}");
            assert_eq!(names(&head.headers), *left, "{fields:?}");
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
            let mut head = request(&[("Connection", value)]);
            assert_eq!(
                clean_request(&mut head),
                Err(MalformedConnection),
                "{value}"
            );
        }
    }

    #[test]
    fn underscored_names_are_dropped() {
        let mut head = request(&[
            ("X_Forwarded_For", "1.1.1.1"),
            ("user_id", "7"),
            ("user-id", "7"),
        ]);
        assert_eq!(clean_request(&mut head), Ok(false));
        assert_eq!(names(&head.headers), ["user-id"]);
    }

    #[test]
    fn a_response_loses_what_was_of_one_hop() {
        let mut head = ResponseHeader::build(200, None).expect("head");
        for (name, value) in [
            ("Connection", "x-internal, content-length"),
            ("X-Internal", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Upgrade", "h2c"),
            ("Content-Length", "0"),
            ("X-Kept", "1"),
        ] {
            head.append_header(name, value).expect("header");
        }
        clean_response(&mut head);
        assert_eq!(
            names(&head.headers),
            ["connection", "content-length", "x-kept"]
        );
    }
}
