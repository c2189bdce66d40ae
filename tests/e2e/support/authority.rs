//! Certificates, made anew for each case.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType,
    SerialNumber,
};
use tempfile::TempDir;

/// An authority with a folder that its files are in.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("ca.crt"), issuer.pem()).expect("a file");
        Authority { issuer, folder }
    }

    /// Its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.path("ca.crt")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `{file}.crt` and `{file}.key` for these hosts, valid for so many days.
    pub(crate) fn issue_for(&self, file: &str, hosts: &[&str], days: u64) {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("hosts");
        // Half a day more, so that the days left are these.
        let valid = Duration::from_secs(days * 86_400 + 43_200);
        params.not_after = (SystemTime::now() + valid).into();
        self.sign(file, params);
    }

    /// The same for a year.
    pub(crate) fn issue(&self, file: &str, hosts: &[&str]) {
        self.issue_for(file, hosts, 365);
    }

    /// Writes `{file}.crt` and `{file}.key` of a client.
    pub(crate) fn issue_client(&self, file: &str, name: &str, uri: &str) {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Shop");
        params.distinguished_name.push(DnType::CommonName, name);
        let uri = uri.try_into().expect("a URI");
        params.subject_alt_names.push(SanType::URI(uri));
        params.serial_number = Some(serial(file));
        self.sign(file, params);
    }

    /// Writes its list, by which the certificates of these clients no longer count.
    pub(crate) fn revoke(&self, clients: &[&str]) -> PathBuf {
        let now = SystemTime::now();
        let revoked = clients.iter().map(|client| RevokedCertParams {
            serial_number: serial(client),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + Duration::from_secs(86_400)).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list");
        let file = self.path("ca.crl");
        fs::write(&file, list.pem().expect("PEM")).expect("a file");
        file
    }

    /// What a listener says of these files.
    pub(crate) fn pair(&self, file: &str) -> String {
        let (cert, key) = self.files(file);
        format!("{{ cert: {}, key: {} }}", cert.display(), key.display())
    }

    /// The files of a certificate and of its key.
    pub(crate) fn files(&self, file: &str) -> (PathBuf, PathBuf) {
        let path = |end: &str| self.path(&format!("{file}.{end}"));
        (path("crt"), path("key"))
    }

    fn sign(&self, file: &str, params: CertificateParams) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (cert_file, key_file) = self.files(file);
        fs::write(cert_file, certificate.pem()).expect("a file");
        fs::write(&key_file, key.serialize_pem()).expect("a file");
        private(&key_file);
    }
}

/// The number of a client's certificate.
fn serial(file: &str) -> SerialNumber {
    SerialNumber::from_slice(file.as_bytes())
}

/// Takes a file from everybody else.
pub(crate) fn private(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a mode");
}
