//! WebSocket over HTTP/2 (RFC 8441): a stream that is opened by `CONNECT` with
//! `:protocol: websocket`.
//!
//! Endpoints are asked over HTTP/1.1. So the request becomes the GET that it
//! would be there, before anything else looks at it: routes, filters and logs
//! see one kind of WebSocket. What the client would check of the endpoint's yes
//! there, the gateway checks here.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::base64;
use crate::tunnel::Tunnel;
use crate::tunnels::Tunnels;

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const VERSION: HeaderName = header::SEC_WEBSOCKET_VERSION;

/// What a key is followed by in the proof that it was read (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client that asks for a WebSocket on a stream waits for.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The bytes that follow a yes.
    bytes: OnUpgrade,
    /// What the endpoint is asked with.
    key: HeaderValue,
    /// The owner of the tunnels over the connection.
    tunnels: Weak<Tunnels>,
}

impl Opening {
    /// Whether an endpoint's yes proves that it has read the request (RFC 6455
    /// section 4.1): a 101 of anybody else is no WebSocket.
    pub(crate) fn is_accepted(&self, answer: &HeaderMap) -> bool {
        let mut said = answer.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
        let proof = said.next().map(|said| said.as_bytes().trim_ascii());
        proof == Some(&*accept(&self.key)) && said.next().is_none()
    }

    /// Passes bytes both ways as soon as the client has its yes. If its connection
    /// has ended meanwhile, so does the tunnel.
    pub(crate) fn open(self, tunnel: Box<Tunnel>) {
        if let Some(tunnels) = self.tunnels.upgrade() {
            tunnels.run(tunnel.run_over(self.bytes));
        }
    }
}

/// Makes such a request what it is in HTTP/1.1; gives what will follow a yes.
/// `None` if it asks for nothing of the kind.
pub(crate) fn take(request: &mut Request<Incoming>, tunnels: &Arc<Tunnels>) -> Option<Opening> {
    let protocol = request.extensions().get::<Protocol>()?;
    let is_websocket = protocol.as_str().eq_ignore_ascii_case("websocket");
    if *request.method() != Method::CONNECT || !is_websocket {
        return None;
    }
    let bytes = hyper::upgrade::on(&mut *request);
    let key = key(fastrand::u128(..));
    request.extensions_mut().remove::<Protocol>();
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(KEY, key.clone());
    headers
        .entry(VERSION)
        .or_insert(HeaderValue::from_static("13"));
    Some(Opening {
        bytes,
        key,
        tunnels: Arc::downgrade(tunnels),
    })
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
    let key = base64::encode(&random.to_be_bytes());
    HeaderValue::from_maybe_shared(key).expect("base64 is ASCII")
}

/// What proves that an endpoint has read this key (RFC 6455 section 4.2.2). No
/// secret hangs on it, so SHA-1 will do.
fn accept(key: &HeaderValue) -> Bytes {
    let proof = [key.as_bytes(), GUID].concat();
    base64::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &proof).as_ref())
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
    /// The example of RFC 6455 section 1.3.
    #[test]
    fn a_key_has_one_proof() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
