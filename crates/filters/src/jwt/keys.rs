//! The keys that tokens are verified with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use serde_json::Value;

use crate::sources::{Contents, Read};

/// The most keys of a set; issuers publish a handful.
const MOST_KEYS: usize = 64;

/// RSA keys of fewer bytes are not verified with (RFC 7518 section 3.3).
const LEAST_RSA_BYTES: usize = 256;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// Keys that were read together. Another reading is another set, by its number.
pub(crate) struct KeySet {
    keys: Vec<Key>,
    number: u64,
}

/// A key, and what it may verify: its type decides, and `alg` narrows that.
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

impl KeySet {
    fn new(keys: Vec<Key>) -> KeySet {
        static SETS: AtomicU64 = AtomicU64::new(0);
        super::ring::install();
        KeySet {
            keys,
            number: SETS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Reads a JWK set (RFC 7517), one JWK, or public keys in PEM. A key that is not for verifying signatures, or of a kind that
    /// is not served, is passed over.
    pub(crate) fn read(text: &[u8]) -> Result<Read, String> {
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
        let (keys, notes) = match text.trim_start() {
            pem if pem.starts_with("-----BEGIN") => (pem_keys(pem)?, Vec::new()),
            json => jwk_keys(json)?,
        };
        if keys.is_empty() && !notes.is_empty() {
            return Err(notes.join("; "));
        }
        Ok(KeySet::found(keys, notes))
    }

    /// The whole text is one secret; a line break at its end is none of it.
    pub(crate) fn read_secret(text: &[u8]) -> Result<Read, String> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(KeySet::found(vec![secret(text)?], Vec::new()))
    }

    fn found(keys: Vec<Key>, notes: Vec<String>) -> Read {
        Read {
            entries: keys.len(),
            contents: Contents::Keys(Arc::new(KeySet::new(keys))),
            notes,
        }
    }

    /// One secret.
    pub(super) fn of_secret(text: &str) -> Result<KeySet, String> {
        Ok(KeySet::new(vec![secret(text.as_bytes())?]))
    }

    /// Public keys in PEM.
    pub(super) fn of_pem(text: &str) -> Result<KeySet, String> {
        Ok(KeySet::new(pem_keys(text)?))
    }

    /// The bytes of the first key, where it is a secret.
    pub(crate) fn secret(&self) -> Option<&[u8]> {
        let key = &self.keys.first()?.key;
        let is_secret = key.family() == AlgorithmFamily::Hmac;
        key.try_get_as_bytes().ok().filter(|_| is_secret)
    }

    /// Tells this reading from others.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The keys that may have signed a token: those of its key id, or all if it has none.
    pub(super) fn candidates<'k>(
        &'k self,
        id: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'k Key> {
        self.keys
            .iter()
            .filter(move |key| id.is_none_or(|id| key.id.as_deref().is_none_or(|own| own == id)))
            .filter(move |key| key.algorithms.contains(&algorithm))
    }

    /// Whether another reading may have a key for this id that is not here.
    pub(super) fn lacks(&self, id: Option<&str>) -> bool {
        let is_it = |key: &Key| key.id.is_none() || key.id.as_deref() == id;
        !self.keys.iter().any(|key| id.is_none() || is_it(key))
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

fn secret(text: &[u8]) -> Result<Key, String> {
    Ok(Key {
        id: None,
        algorithms: HMAC.to_vec(),
        key: DecodingKey::from_secret(text).map_err(|_| "the secret is empty".to_owned())?,
    })
}

fn pem_keys(text: &str) -> Result<Vec<Key>, String> {
    const BEGIN: &str = "-----BEGIN ";
    let blocks: Vec<&str> = text.split(BEGIN).skip(1).collect();
    if blocks.is_empty() {
        return Err("no PEM".to_owned());
    }
    if blocks.len() > MOST_KEYS {
        return Err(format!("more than {MOST_KEYS} keys"));
    }
    blocks
        .iter()
        .map(|block| pem_key(&format!("{BEGIN}{block}")))
        .collect()
}

fn pem_key(pem: &str) -> Result<Key, String> {
    if pem
        .lines()
        .next()
        .is_some_and(|line| line.contains("PRIVATE"))
    {
        return Err("a private key: the gateway needs the public one".to_owned());
    }
    let bytes = pem.as_bytes();
    let (algorithms, key) = if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
        (RSA.to_vec(), key)
    } else if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
        // An uncompressed point: one byte, and two coordinates.
        let algorithm = match key.try_get_as_bytes().map(<[u8]>::len) {
            Ok(65) => Algorithm::ES256,
            Ok(97) => Algorithm::ES384,
            _ => return Err("a key on a curve that is not served: P-256 and P-384 are".to_owned()),
        };
        (vec![algorithm], key)
    } else if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
        (vec![Algorithm::EdDSA], key)
    } else {
        return Err("PEM that is no public key of RSA, P-256, P-384 or Ed25519".to_owned());
    };
    Ok(Key {
        id: None,
        algorithms,
        key,
    })
}

fn jwk_keys(json: &str) -> Result<(Vec<Key>, Vec<String>), String> {
    const EXPECTED: &str = "neither a JWK set nor public keys in PEM";
    let value: Value = serde_json::from_str(json).map_err(|_| EXPECTED.to_owned())?;
    let items = match value {
        Value::Object(mut object) => match object.remove("keys") {
            Some(Value::Array(items)) => items,
            Some(_) => return Err("`keys` is no list".to_owned()),
            None if object.contains_key("kty") => vec![Value::Object(object)],
            None => return Err(EXPECTED.to_owned()),
        },
        _ => return Err(EXPECTED.to_owned()),
    };
    if items.len() > MOST_KEYS {
        return Err(format!("more than {MOST_KEYS} keys"));
    }
    let (mut keys, mut notes) = (Vec::new(), Vec::new());
    for item in items {
        let id = item["kid"]
            .as_str()
            .unwrap_or("without a `kid`")
            .escape_debug()
            .to_string();
        match jwk_key(item) {
            Ok(key) => keys.extend(key),
            Err(problem) => notes.push(format!("key {id}: {problem}")),
        }
    }
    Ok((keys, notes))
}

/// A key of a set; nothing if it is for something else than signatures.
fn jwk_key(item: Value) -> Result<Option<Key>, String> {
    let jwk: Jwk = serde_json::from_value(item).map_err(|_| "not a JWK that is served here")?;
    let common = &jwk.common;
    let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    let is_for_signatures = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption))
        && common.key_operations.as_ref().is_none_or(verifies);
    if !is_for_signatures {
        return Ok(None);
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::OctetKey(_) => HMAC.to_vec(),
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return Err("a curve that is not served: P-256 and P-384 are".to_owned()),
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return Err("a kind of key that is not served".to_owned()),
    };
    if let Some(only) = &common.key_algorithm {
        algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == *only);
        if algorithms.is_empty() {
            return Err(format!(
                "`alg` is {only}, which this key cannot verify or is not served"
            ));
        }
    }
    Ok(Some(Key {
        id: common.key_id.clone(),
        algorithms,
        key: decoding_key(&jwk)?,
    }))
}

fn decoding_key(jwk: &Jwk) -> Result<DecodingKey, String> {
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let length = key.try_get_as_bytes().map(<[u8]>::len);
    match (&jwk.algorithm, key.kind()) {
        (_, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            // Some issuers write a sign byte, which no number needs.
            let plain = |number: &[u8]| {
                let zeros = number.iter().take_while(|byte| **byte == 0).count();
                number[zeros..].to_vec()
            };
            let (n, e) = (plain(n), plain(e));
            if n.len() < LEAST_RSA_BYTES {
                return Err("an RSA key of fewer than 2048 bits".to_owned());
            }
            Ok(DecodingKey::from_rsa_raw_components(&n, &e))
        }
        (AlgorithmParameters::EllipticCurve(point), _) => {
            let expected = match point.curve {
                EllipticCurve::P256 => 65,
                _ => 97,
            };
            match length {
                Ok(length) if length == expected => Ok(key),
                _ => Err("a point of the wrong length".to_owned()),
            }
        }
        (AlgorithmParameters::OctetKeyPair(_), _) if !matches!(length, Ok(32)) => {
            Err("a point of the wrong length".to_owned())
        }
        _ => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(usize, Vec<String>), String> {
        KeySet::read(text.as_bytes()).map(|read| (read.entries, read.notes))
    }

    #[test]
    fn only_keys_for_signatures_that_are_served_are_taken() {
        let x = "A".repeat(43);
        let n = "w".repeat(342);
        let small = "w".repeat(171);
        for (keys, taken, note) in [
            (
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#),
                1,
                "",
            ),
            (
                format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{x}"}}"#),
                1,
                "",
            ),
            (
                format!(r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{x}"}}"#),
                0,
                "wrong length",
            ),
            (format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#), 1, ""),
            (
                format!(r#"{{"kty":"RSA","n":"{small}","e":"AQAB"}}"#),
                0,
                "2048",
            ),
            (
                format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","use":"enc"}}"#),
                0,
                "",
            ),
            (
                format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","key_ops":["encrypt"]}}"#),
                0,
                "",
            ),
            (
                format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"ES256"}}"#),
                0,
                "`alg` is ES256",
            ),
            (
                format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"PS512"}}"#),
                1,
                "",
            ),
            (r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned(), 1, ""),
            (
                r#"{"kty":"oct","k":""}"#.to_owned(),
                0,
                "key without a `kid`",
            ),
            (r#"{"kty":"quantum","kid":"q"}"#.to_owned(), 0, "key q"),
        ] {
            // With one that is good, so that the set is.
            let set = format!(r#"{{"keys":[{{"kty":"oct","k":"c2VjcmV0"}},{keys}]}}"#);
            let (entries, notes) = read(&set).expect(&set);
            assert_eq!(entries, taken + 1, "{keys}");
            assert_eq!(
                notes.len(),
                usize::from(!note.is_empty()),
                "{keys}: {notes:?}"
            );
            assert!(notes.iter().all(|said| said.contains(note)), "{notes:?}");
        }
        assert_eq!(
            read(r#"{"keys":[]}"#),
            Ok((0, vec![])),
            "an explicit nothing"
        );
        assert_eq!(read(r#"{"kty":"oct","k":"c2VjcmV0"}"#), Ok((1, vec![])));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "secret",
            "[]",
            "{}",
            "{\"keys\":{}}",
            "-----BEGIN X-----",
        ] {
            read(text).expect_err(text);
        }
        let error = read("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n");
        assert!(error.expect_err("private").contains("public one"));
        let many = vec![r#"{"kty":"oct","k":"c2VjcmV0"}"#; MOST_KEYS + 1].join(",");
        let error = read(&format!("{{\"keys\":[{many}]}}")).expect_err("too many");
        assert!(error.contains("more than 64"), "{error}");
        assert!(KeySet::read_secret(b"\n").is_err());
    }

    #[test]
    fn a_key_is_found_by_its_id_and_type() {
        let text = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a"},{"kty":"oct","k":"c2VjcmV0","kid":"b","alg":"HS512"}]}"#;
        let Contents::Keys(keys) = KeySet::read(text.as_bytes()).expect("legal").contents else {
            panic!("no keys");
        };
        let count = |id, algorithm| keys.candidates(id, algorithm).count();
        assert_eq!(count(Some("a"), Algorithm::HS256), 1);
        assert_eq!(
            count(Some("a"), Algorithm::RS256),
            0,
            "a secret is no public key"
        );
        assert_eq!(count(Some("b"), Algorithm::HS256), 0);
        assert_eq!(count(None, Algorithm::HS512), 2);
        assert_eq!(count(Some("c"), Algorithm::HS256), 0);
        assert!(keys.lacks(Some("c")) && !keys.lacks(Some("a")) && !keys.lacks(None));
    }
}
