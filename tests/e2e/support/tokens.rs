//! Tokens, and somebody who publishes the keys that they are signed with.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A key of ES256 that signs tokens.
pub(crate) struct Signer {
    id: String,
    pair: EcdsaKeyPair,
}

/// Base64 in its form for URLs, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=group.len() {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[value as usize]));
        }
    }
    text
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// The part of a token that is signed.
fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// A token of HS256.
pub(crate) fn hs256(secret: &[u8], id: &str, claims: &Value) -> String {
    let message = message(&json!({ "alg": "HS256", "kid": id }), claims);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(signature.as_ref()))
}

impl Signer {
    /// A fresh key.
    pub(crate) fn new(id: &str) -> Signer {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
        Signer {
            id: id.to_owned(),
            pair: pair.expect("a key"),
        }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_of(&self.id, claims)
    }

    /// A token that names another key.
    pub(crate) fn token_of(&self, id: &str, claims: &Value) -> String {
        let message = message(&json!({ "alg": "ES256", "kid": id }), claims);
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.expect("a signature");
        format!("{message}.{}", base64url(signature.as_ref()))
    }

    /// The set of this key alone.
    pub(crate) fn jwks(&self) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let key = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": base64url(x), "y": base64url(y),
        });
        json!({ "keys": [key] }).to_string()
    }
}

/// Answers every request with a text, and counts them.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Published>);

struct Published {
    address: SocketAddr,
    answer: Mutex<(StatusCode, String)>,
    asked: AtomicU64,
    last: Mutex<String>,
}

impl Publisher {
    /// Begins to answer 200 with a text.
    pub(crate) async fn start(text: &str) -> Publisher {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let publisher = Publisher(Arc::new(Published {
            address: listener.local_addr().expect("an address"),
            answer: Mutex::new((StatusCode::OK, text.to_owned())),
            asked: AtomicU64::new(0),
            last: Mutex::default(),
        }));
        let answer = async |State(publisher): State<Publisher>, head: Parts, body: String| {
            let published = &publisher.0;
            published.asked.fetch_add(1, Ordering::SeqCst);
            let Parts {
                method,
                uri,
                headers,
                ..
            } = head;
            let authorization = headers.get("authorization");
            let authorization = authorization.and_then(|value| value.to_str().ok());
            let said = format!(
                "{method} {uri} {} {body}",
                authorization.unwrap_or_default()
            );
            *published.last.lock().expect("no panic under it") = said;
            published.answer.lock().expect("no panic under it").clone()
        };
        let app = Router::new().fallback(answer).with_state(publisher.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        publisher
    }

    /// Answers in another way from now on.
    pub(crate) fn answer(&self, status: u16, text: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        *self.0.answer.lock().expect("no panic under it") = (status, text.to_owned());
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What it was asked last: method, target, `Authorization` and body.
    pub(crate) fn last(&self) -> String {
        self.0.last.lock().expect("no panic under it").clone()
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::SeqCst)
    }
}
