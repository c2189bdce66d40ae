//! A certificate and its key, read from their files: what can be used, and
//! everything that is wrong with it.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use pailou_config::CertificateFiles;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::facts::Facts;
use super::flaw::{self, Flaw};
use super::names::Names;

/// More than any chain or key takes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A certificate that can be shown.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(super) file: PathBuf,
    pub(super) key: Arc<CertifiedKey>,
    pub(crate) names: Names,
    pub(super) not_after: SystemTime,
    /// In seconds since 1970.
    pub(super) ends: i64,
}

/// The bytes of a file, or why it cannot be read.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Flaw> {
    let bytes = read_bytes(file).map_err(|error| {
        Flaw::fatal(
            file,
            format!("cannot be read: {error}"),
            match error.kind() {
                io::ErrorKind::NotFound => "the path of a file that is there",
                io::ErrorKind::PermissionDenied => "a file that the gateway's user may read",
                _ => "a file that can be read",
            },
        )
    })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let cure = "a PEM file of a certificate or a key";
        return Err(Flaw::fatal(file, "is larger than 1 MiB", cure));
    }
    Ok(bytes)
}

/// No more than it takes to see that it is too much.
fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The certificate and its key, if they can be used, and what is wrong.
pub(super) fn certify(
    files: &CertificateFiles,
    cert: &[u8],
    key: &[u8],
    now: SystemTime,
) -> (Option<Certified>, Vec<Flaw>) {
    let mut flaws = Vec::new();
    let chain = chain(&files.cert, cert);
    let private = private_key(&files.key, key);
    flaws.extend(open_to_all(&files.key));
    let (chain, private) = match (chain, private) {
        (Ok(chain), Ok(private)) => (chain, private),
        (chain, private) => {
            flaws.extend(chain.err().into_iter().chain(private.err()));
            return (None, flaws);
        }
    };
    let Some(facts) = chain
        .iter()
        .map(|der| Facts::of(der))
        .collect::<Option<Vec<_>>>()
    else {
        let cure = "certificates that `openssl x509 -noout -text -in FILE` can read";
        flaws.push(Flaw::fatal(
            &files.cert,
            "holds what is no X.509 certificate",
            cure,
        ));
        return (None, flaws);
    };
    flaws.extend(doubts(&files.cert, &facts, now));
    match pair(files, chain, private) {
        Err(flaw) => {
            flaws.push(flaw);
            (None, flaws)
        }
        Ok(key) => {
            let leaf = facts.into_iter().next();
            let certified = leaf.map(|leaf| Certified {
                file: files.cert.clone(),
                key: Arc::new(key),
                not_after: leaf.not_after,
                ends: leaf.ends,
                names: leaf.names,
            });
            (certified, flaws)
        }
    }
}

/// The certificates in a file: at least one.
pub(super) fn chain(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Flaw::fatal(
            file,
            if is_der(pem) {
                "is DER and not PEM"
            } else if contains(pem, "PRIVATE KEY-----") {
                "has a private key and no certificate in it"
            } else {
                "has no certificate in it"
            },
            "PEM, which begins with -----BEGIN CERTIFICATE-----",
        )),
        Err(error) => Err(Flaw::fatal(
            file,
            format!("is damaged: {error}"),
            "PEM, which begins with -----BEGIN CERTIFICATE-----",
        )),
    }
}

fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Flaw> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        if contains(pem, "ENCRYPTED") {
            return Flaw::fatal(
                file,
                "is encrypted",
                "a key without a password: `openssl pkey -in FILE -out NEW`",
            );
        }
        Flaw::fatal(
            file,
            if is_der(pem) {
                "is DER and not PEM"
            } else if contains(pem, "BEGIN CERTIFICATE") {
                "has a certificate and no private key in it"
            } else {
                "has no private key in it"
            },
            "PEM, which begins with -----BEGIN PRIVATE KEY----- or the like",
        )
    })
}

/// The two together; they must belong together.
fn pair(
    files: &CertificateFiles,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Flaw> {
    let key = any_supported_type(&key).map_err(|error| {
        let cure = "an RSA key of 2048 bits or more, or one on P-256, P-384 or Ed25519";
        Flaw::fatal(&files.key, format!("cannot be used: {error}"), cure)
    })?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        // A key that cannot tell its public half is accepted.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(Error::InconsistentKeys(_)) => Err(Flaw::fatal(
            &files.key,
            format!("is not the key of {}", files.cert.display()),
            "the key that the first certificate of that file was made with",
        )),
        Err(error) => Err(Flaw::fatal(
            &files.cert,
            format!("cannot be used: {error}"),
            "a certificate of version 3",
        )),
    }
}

/// The flaws that do not keep a chain from being used.
fn doubts(file: &Path, chain: &[Facts], now: SystemTime) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let Some(leaf) = chain.first() else {
        return flaws;
    };
    flaws.extend(flaw::validity(file, leaf, now));
    for (one, next) in chain.iter().zip(&chain[1..]) {
        if one.issuer != next.subject {
            flaws.push(Flaw::doubt(
                file,
                format!(
                    "is out of order: behind {} stands {}, which did not issue it",
                    one.subject_text, next.subject_text
                ),
                "the server's certificate first, then the one of its issuer, and so on",
            ));
            break;
        }
    }
    if leaf.names.is_empty() {
        flaws.push(Flaw::doubt(
            file,
            "has no subject alternative name, so no client accepts it for any host",
            "a certificate with the hosts as subject alternative names",
        ));
    }
    flaws
}

/// A key that every user of the machine can read.
fn open_to_all(file: &Path) -> Option<Flaw> {
    let mode = std::fs::metadata(file).ok()?.mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        Flaw::doubt(
            file,
            format!("every user of this machine can read this key (mode {mode:04o})"),
            "mode 0600: chmod 600, or `defaultMode: 0400` of a Kubernetes secret",
        )
    })
}

fn is_der(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x30, 0x82])
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests;
