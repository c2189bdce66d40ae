//! `tls` of a listener.

use std::path::{Path, PathBuf};

use super::{
    kind::{Choice, FilePath, Flag, ItemKey, Kind, List},
    listener::read_optional,
};
use crate::{fault::Position, field::Field};

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificates; at least one. The first one is for clients that name no host, or one that none is for.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// PEM files with the authorities of the clients' certificates; empty exactly when `client_auth` is off.
    pub client_ca: Vec<PathBuf>,
    /// PEM files with the authorities' lists of certificates that they revoked; without one nothing counts as revoked.
    pub client_crl: Vec<PathBuf>,
    /// Whether a request for a host that the certificate of its connection is not for gets 421.
    pub check_host: bool,
    /// Where `tls` stands in `gateway.yaml`.
    pub at: Place,
}

/// The certificate and the key of one name, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those that lead to its authority.
    pub cert: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
    /// Where the two are named in `gateway.yaml`.
    pub at: Place,
}

/// Where something stands in `gateway.yaml`. All places are equal: settings are the same wherever they stand.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub Position);

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    Off,
    /// They are asked, and served without one too. One that does not verify ends the handshake.
    Optional,
    /// Without one there is no connection.
    Required,
}

const MIN_VERSION: Choice<TlsVersion> =
    Choice(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)]);

const CLIENT_AUTH: Choice<ClientAuth> = Choice(&[
    ("off", ClientAuth::Off),
    ("optional", ClientAuth::Optional),
    ("required", ClientAuth::Required),
]);

const NOT_ASKED: &str = "clients are not asked for a certificate";
const ASK: &str = "`client_auth: required` or `optional`";

/// The kind of `tls`.
pub(super) struct Tls;

impl Kind for Tls {
    type Value = TlsSettings;

    fn describe(&self) -> String {
        "mapping with `certificates`".to_owned()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<TlsSettings> {
        let mut fields = field.mapping()?;
        let certificates = fields.required("certificates");
        let min_version = fields.optional("min_version");
        let client_auth = fields.optional("client_auth");
        let client_ca = fields.optional("client_ca");
        let client_crl = fields.optional("client_crl");
        let check_host = fields.optional("check_host");
        fields.finish();
        let certificates = certificates.and_then(|field| read_certificates(&field, base));
        let min_version = read_optional(min_version, &MIN_VERSION, base);
        let client_auth = read_optional(client_auth, &CLIENT_AUTH, base);
        if let Some(auth) = client_auth {
            let auth = auth.unwrap_or(ClientAuth::Off);
            check_authorities(field, auth, client_ca.as_ref());
            if let (ClientAuth::Off, Some(lists)) = (auth, &client_crl) {
                lists.fault_expected(NOT_ASKED, ASK);
            }
        }
        let client_ca = read_optional(client_ca, &List(FilePath), base);
        let client_crl = read_optional(client_crl, &List(FilePath), base);
        let check_host = read_optional(check_host, &Flag, base);
        let certificates = certificates?;
        Some(TlsSettings {
            min_version: min_version?.unwrap_or(TlsVersion::V1_2),
            client_auth: client_auth?.unwrap_or(ClientAuth::Off),
            client_ca: client_ca?.unwrap_or_default(),
            client_crl: client_crl?.unwrap_or_default(),
            check_host: check_host?.unwrap_or(certificates.len() > 1),
            at: Place(field.at()),
            certificates,
        })
    }

    fn write(&self, value: &TlsSettings) -> Option<String> {
        let mut keys = vec![
            format!(
                "certificates: {}",
                List(Certificate).write(&value.certificates)?
            ),
            // In quotes: it is a name, not a number.
            format!(
                "min_version: \"{}\"",
                MIN_VERSION.write(&value.min_version)?
            ),
            format!("client_auth: {}", CLIENT_AUTH.write(&value.client_auth)?),
        ];
        for (key, files) in [
            ("client_ca", &value.client_ca),
            ("client_crl", &value.client_crl),
        ] {
            if !files.is_empty() {
                keys.push(format!("{key}: {}", List(FilePath).write(files)?));
            }
        }
        keys.push(format!("check_host: {}", value.check_host));
        Some(format!("{{ {} }}", keys.join(", ")))
    }

    fn item_keys(&self) -> Vec<ItemKey> {
        vec![
            ItemKey {
                name: "tls",
                kind: "mapping with `certificates`",
                doc: "Speaks TLS 1.2 and 1.3 here; plain HTTP unless given. More in [TLS](tls.md).",
            },
            ItemKey {
                name: "tls.certificates",
                kind: "list of: mapping of `cert` and `key`",
                doc: "The certificates, at least one. A client gets the one for the host that it names (SNI): an exact name before \
                      a wildcard; the first of the list if it names none, or one that no certificate is for.",
            },
            ItemKey {
                name: "tls.certificates[].cert",
                kind: "path of a file",
                doc: "PEM: the certificate, followed by those that lead to its authority. The files are looked at every 2s and read \
                      anew when they change; a bad one leaves the old one in use.",
            },
            ItemKey {
                name: "tls.certificates[].key",
                kind: "path of a file",
                doc: "PEM: its private key, not encrypted. Nobody but the gateway should be able to read it.",
            },
            ItemKey {
                name: "tls.min_version",
                kind: "`1.2`, `1.3`",
                doc: "The oldest version that is spoken; `1.2` unless given.",
            },
            ItemKey {
                name: "tls.client_auth",
                kind: "`off`, `optional`, `required`",
                doc: "Whether clients show a certificate; `off` unless given. What it says goes to the endpoint in \
                      `x-client-cert-subject` and `x-client-cert-san`, which no client can send itself.",
            },
            ItemKey {
                name: "tls.client_ca",
                kind: "list of: path of a file",
                doc: "PEM files with the authorities whose certificates clients may show. Watched as the certificates are.",
            },
            ItemKey {
                name: "tls.client_crl",
                kind: "list of: path of a file",
                doc: "PEM files with revocation lists (RFC 5280): a client whose certificate one of them names is refused. Give one \
                      for each authority of `client_ca`, since a certificate is refused also when no list speaks for its issuer. \
                      Watched as the certificates are.",
            },
            ItemKey {
                name: "tls.check_host",
                kind: "`true` or `false`",
                doc: "Whether a request for a host that the certificate of its connection is not for is answered with 421; `true` \
                      with several certificates and `false` with one, unless given.",
            },
        ]
    }
}

fn read_certificates(field: &Field<'_>, base: &Path) -> Option<Vec<CertificateFiles>> {
    // One certificate needs no list.
    let certificates = if field.is_mapping() {
        vec![Certificate.read(field, base)?]
    } else {
        List(Certificate).read(field, base)?
    };
    if certificates.is_empty() {
        field.fault_expected("no certificate", "at least one");
        return None;
    }
    Some(certificates)
}

/// Authorities are named exactly where clients are asked.
fn check_authorities(tls: &Field<'_>, auth: ClientAuth, authorities: Option<&Field<'_>>) {
    match (auth, authorities) {
        (ClientAuth::Off, Some(authorities)) => authorities.fault_expected(NOT_ASKED, ASK),
        (ClientAuth::Optional | ClientAuth::Required, None) => tls.fault_expected(
            "client_auth without the authorities to believe",
            "`client_ca` with their PEM files",
        ),
        (_, Some(authorities)) if is_empty(authorities) => {
            authorities.fault_expected("no authority", "the PEM file of at least one")
        }
        _ => {}
    }
}

fn is_empty(list: &Field<'_>) -> bool {
    matches!(&list.node().value, crate::Value::Sequence(items) if items.is_empty())
}

/// An item of `tls.certificates`.
pub(super) struct Certificate;

impl Kind for Certificate {
    type Value = CertificateFiles;

    fn describe(&self) -> String {
        "mapping of `cert` and `key`".to_owned()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<CertificateFiles> {
        let mut fields = field.mapping()?;
        let cert = fields.required("cert");
        let key = fields.required("key");
        fields.finish();
        let path = |field: Option<Field<'_>>| FilePath.read(&field?, base);
        let (cert, key) = (path(cert), path(key));
        Some(CertificateFiles {
            cert: cert?,
            key: key?,
            at: Place(field.at()),
        })
    }

    fn write(&self, value: &CertificateFiles) -> Option<String> {
        let (cert, key) = (FilePath.write(&value.cert)?, FilePath.write(&value.key)?);
        Some(format!("{{ cert: {cert}, key: {key} }}"))
    }
}
