//! The cryptography of `jsonwebtoken` by ring, which TLS uses too: no second library of that kind comes in.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::signature as ring_signature;
use ring::signature::{RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};

/// Takes the place of the providers that the crate has by features. Tokens are verified here and never signed.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::Provider("nothing is signed here".to_owned()).into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the process's provider. One that was installed before stays; it is the same.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    // The key's type decides: a public key never serves as a secret.
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Ring {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        match self.algorithm.family() {
            AlgorithmFamily::Hmac => self.hmac(message, signature),
            AlgorithmFamily::Rsa => self.rsa(message, signature),
            AlgorithmFamily::Ec | AlgorithmFamily::Ed => self.curve(message, signature),
        }
        .ok_or_else(signature::Error::new)
    }
}

impl Ring {
    fn bytes(&self) -> Option<&[u8]> {
        self.key.try_get_as_bytes().ok()
    }

    fn hmac(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let algorithm = match self.algorithm {
            Algorithm::HS256 => ring::hmac::HMAC_SHA256,
            Algorithm::HS384 => ring::hmac::HMAC_SHA384,
            Algorithm::HS512 => ring::hmac::HMAC_SHA512,
            _ => return None,
        };
        let key = ring::hmac::Key::new(algorithm, self.bytes()?);
        ring::hmac::verify(&key, message, signature).ok()
    }

    fn rsa(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let algorithm: &'static RsaParameters = match self.algorithm {
            Algorithm::RS256 => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &ring_signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &ring_signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &ring_signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        };
        match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => RsaPublicKeyComponents { n, e }
                .verify(algorithm, message, signature)
                .ok(),
            DecodingKeyKind::SecretOrDer(der) => UnparsedPublicKey::new(algorithm, der)
                .verify(message, signature)
                .ok(),
        }
    }

    fn curve(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let algorithm: &'static dyn ring_signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::ES256 => &ring_signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::ES384 => &ring_signature::ECDSA_P384_SHA384_FIXED,
            Algorithm::EdDSA => &ring_signature::ED25519,
            _ => return None,
        };
        UnparsedPublicKey::new(algorithm, self.bytes()?)
            .verify(message, signature)
            .ok()
    }
}
