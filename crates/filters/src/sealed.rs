//! Texts that a client keeps for the gateway and can neither read nor change: the values of the gateway's own cookies.
//!
//! AES-256-GCM, with the scheme of XAES-256-GCM (C2SP): half of a random nonce of 24 bytes gives each text a key of its own, so that one
//! secret may seal any number of texts. The key is derived by HKDF (RFC 5869) rather than by CMAC, since ring has no CMAC.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::sources::{Contents, Read};

/// Fewer bytes can be guessed.
pub(crate) const LEAST_SECRET_BYTES: usize = 32;

/// The longest sealed text that is looked at: a browser keeps cookies of up to 4,096 bytes (RFC 6265bis section 5.6).
const MAX_SEALED_BYTES: usize = 4096;

/// The most secrets that a keyring has: each of them is tried for a text that none of them has sealed.
const MAX_KEYS: usize = 8;

/// Told apart from whatever else somebody may derive from the same secret.
const SALT: &[u8] = b"pailou sealed v1";

/// Secrets that seal and open texts: the first seals, and each opens. So a secret is replaced by putting a new one first, and
/// by taking the old one away when what it has sealed has expired.
pub(crate) struct Keyring {
    keys: Vec<Prk>,
}

/// A text that was opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) text: Vec<u8>,
    /// Whether a secret has sealed it that seals no more.
    pub(crate) is_old: bool,
}

impl Keyring {
    /// A keyring of these secrets.
    ///
    /// # Errors
    /// None, too many, or one that is too short.
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Result<Keyring, String> {
        let salt = Salt::new(HKDF_SHA256, SALT);
        let mut keys = Vec::new();
        for secret in secrets {
            if secret.len() < LEAST_SECRET_BYTES {
                return Err(format!(
                    "a secret has {} bytes, and {LEAST_SECRET_BYTES} are the least",
                    secret.len()
                ));
            }
            keys.push(salt.extract(secret));
        }
        match keys.len() {
            0 => Err("there is no secret".to_owned()),
            1..=MAX_KEYS => Ok(Keyring { keys }),
            count => Err(format!("{count} secrets are more than {MAX_KEYS}")),
        }
    }

    /// Reads secrets, one a line. White space around them is none of them, and blank lines do not count.
    pub(crate) fn read(text: &[u8]) -> Result<Read, String> {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let keyring = Keyring::new(lines.filter(|line| !line.is_empty()))?;
        Ok(Read {
            entries: keyring.keys.len(),
            contents: Contents::Sealing(Arc::new(keyring)),
            notes: Vec::new(),
        })
    }

    /// Seals a text, which opens for the same `purpose` only. The result can be the value of a cookie. `None` if there is no randomness.
    pub(crate) fn seal(&self, purpose: &[u8], text: &[u8]) -> Option<String> {
        let mut sealed = vec![0; 2 * NONCE_LEN];
        SystemRandom::new().fill(&mut sealed).ok()?;
        let (key, nonce) = key(self.keys.first()?, &sealed)?;
        let mut body = text.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(purpose), &mut body)
            .ok()?;
        sealed.append(&mut body);
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what one of the secrets has sealed for that purpose. `None` for all else.
    pub(crate) fn open(&self, purpose: &[u8], sealed: &[u8]) -> Option<Opened> {
        if sealed.len() > MAX_SEALED_BYTES {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonces, body) = sealed.split_at_checked(2 * NONCE_LEN)?;
        self.keys.iter().enumerate().find_map(|(place, secret)| {
            let (key, nonce) = key(secret, nonces)?;
            let mut body = body.to_vec();
            let text = key
                .open_in_place(nonce, Aad::from(purpose), &mut body)
                .ok()?;
            Some(Opened {
                text: text.to_vec(),
                is_old: place > 0,
            })
        })
    }
}

/// The key of one text, and what is left of its random bytes for the nonce.
fn key(secret: &Prk, random: &[u8]) -> Option<(LessSafeKey, Nonce)> {
    let (own, nonce) = random.split_at_checked(NONCE_LEN)?;
    let info = [own];
    let key = UnboundKey::from(secret.expand(&info, &AES_256_GCM).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    Some((LessSafeKey::new(key), nonce))
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("keys", &self.keys.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"0123456789abcdef0123456789abcdef";
    const TWO: &[u8] = b"fedcba9876543210fedcba9876543210";

    fn ring(secrets: &[&'static [u8]]) -> Keyring {
        Keyring::new(secrets.iter().copied()).expect("legal")
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only() {
        let ring = ring(&[ONE]);
        let sealed = ring.seal(b"a", b"10.0.0.1:80").expect("random");
        assert!(!sealed.contains("10.0"));
        let opened = ring.open(b"a", sealed.as_bytes()).expect("opens");
        assert_eq!(
            (opened.text, opened.is_old),
            (b"10.0.0.1:80".to_vec(), false)
        );
        assert_eq!(ring.open(b"b", sealed.as_bytes()), None);
        assert_ne!(ring.seal(b"a", b"10.0.0.1:80"), Some(sealed));
    }

    #[test]
    fn what_was_changed_or_cut_does_not_open() {
        let ring = ring(&[ONE]);
        let sealed = ring.seal(b"a", b"text").expect("random");
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).expect("base64");
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert_eq!(ring.open(b"a", forged.as_bytes()), None, "byte {place}");
        }
        for end in 0..sealed.len() {
            assert_eq!(ring.open(b"a", &sealed.as_bytes()[..end]), None, "{end}");
        }
        assert_eq!(ring.open(b"a", "A".repeat(5000).as_bytes()), None);
    }

    #[test]
    fn the_first_secret_seals_and_each_opens() {
        let sealed = ring(&[ONE]).seal(b"a", b"text").expect("random");
        let both = ring(&[TWO, ONE]);
        let opened = both.open(b"a", sealed.as_bytes()).expect("opens");
        assert!(opened.is_old);
        let again = both.seal(b"a", b"text").expect("random");
        assert!(!both.open(b"a", again.as_bytes()).expect("opens").is_old);
        assert_eq!(ring(&[TWO]).open(b"a", sealed.as_bytes()), None);
        assert!(ring(&[TWO]).open(b"a", again.as_bytes()).is_some());
    }

    #[test]
    fn secrets_are_long_and_few_and_do_not_print() {
        assert!(Keyring::new([]).is_err());
        assert!(Keyring::new([&ONE[1..]]).is_err());
        assert!(Keyring::new(vec![ONE; MAX_KEYS + 1]).is_err());
        let lines = [b"\n", ONE, b" \r\n\n", TWO].concat();
        assert_eq!(Keyring::read(&lines).map(|read| read.entries), Ok(2));
        assert!(!format!("{:?}", ring(&[ONE])).contains("0123"));
    }
}
