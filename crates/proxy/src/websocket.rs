//! WebSocket over HTTP/2 (RFC 8441): a stream that is opened by `CONNECT` with
//! `:protocol: websocket`.
//!
//! Endpoints are asked over HTTP/1.1. So the request becomes the GET that it
//! would be there, before anything else looks at it: routes, filters and logs
//! see one kind of WebSocket.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const VERSION: HeaderName = header::SEC_WEBSOCKET_VERSION;

/// Makes such a request what it is in HTTP/1.1; gives the bytes that will follow
/// a yes. `None` if it asks for nothing of the kind.
pub(crate) fn take(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    let protocol = request.extensions().get::<Protocol>()?;
    let is_websocket = protocol.as_str().eq_ignore_ascii_case("websocket");
    if *request.method() != Method::CONNECT || !is_websocket {
        return None;
    }
    let switching = hyper::upgrade::on(&mut *request);
    request.extensions_mut().remove::<Protocol>();
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(KEY, key(fastrand::u128(..)));
    headers
        .entry(VERSION)
        .or_insert(HeaderValue::from_static("13"));
    Some(switching)
}

/// Takes from the endpoint's yes what the client of a stream does not know
/// (RFC 8441 section 5).
pub(crate) fn clean_answer(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::SEC_WEBSOCKET_ACCEPT,
    ] {
        headers.remove(name);
    }
}

/// 16 bytes in base64 (RFC 6455 section 4.1).
fn key(random: u128) -> HeaderValue {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // 21 letters of 6 bits, one of 2, and what fills up the last four.
    let mut key: Vec<u8> = (0..21)
        .map(|place| LETTERS[(random >> (122 - 6 * place)) as usize & 63])
        .collect();
    key.push(LETTERS[(random as usize & 3) << 4]);
    key.extend_from_slice(b"==");
    HeaderValue::try_from(key).expect("base64 is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_16_bytes_in_base64() {
        let bytes = u128::from_be_bytes(*b"the sample nonce");
        for (random, expected) in [
            // The example of RFC 6455 section 1.3.
            (bytes, "dGhlIHNhbXBsZSBub25jZQ=="),
            (0, "AAAAAAAAAAAAAAAAAAAAAA=="),
            (u128::MAX, "/////////////////////w=="),
        ] {
            assert_eq!(key(random), expected);
        }
    }
}
