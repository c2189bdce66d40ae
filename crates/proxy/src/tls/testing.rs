//! Certificates for tests.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pailou_config::{CertificateFiles, Place, Position};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::files::{self, Certified};

/// A folder with an authority, and the files of the certificates that it signs.
pub(super) struct Folder {
    folder: TempDir,
    pub(super) authority: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    pub(super) fn new() -> Folder {
        Folder {
            folder: TempDir::new().expect("a folder"),
            authority: authority("tests"),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        private(&path);
        path
    }

    /// Signs a certificate; gives its PEM and the one of its key.
    pub(super) fn sign(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params
            .signed_by(&key, &self.authority)
            .expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// The files of a certificate for these names, written anew.
    pub(super) fn files(&self, file: &str, params: &CertificateParams) -> CertificateFiles {
        let (cert, key) = self.sign(params);
        self.pair(file, &cert, &key)
    }

    pub(super) fn pair(&self, file: &str, cert: &str, key: &str) -> CertificateFiles {
        CertificateFiles {
            cert: self.write(&format!("{file}.crt"), cert),
            key: self.write(&format!("{file}.key"), key),
            at: Place(Position { line: 7, column: 9 }),
        }
    }

    /// A certificate for these names.
    pub(super) fn certified(&self, names: &[&str]) -> Certified {
        let files = self.files(names[0].trim_start_matches("*."), &params(names));
        let (cert, key) = (files::read(&files.cert), files::read(&files.key));
        let (cert, key) = (cert.expect("a file"), key.expect("a file"));
        let (certified, flaws) = files::certify(&files, &cert, &key, SystemTime::now());
        assert_eq!(flaws, []);
        certified.expect("a sound certificate")
    }
}

pub(super) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

pub(super) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("a mode");
}
