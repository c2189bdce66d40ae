//! The files of TLS settings, and what is made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pailou_config::UpstreamTlsSettings;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::UpstreamTlsFault;
use super::verify::NoVerifier;

/// What the client offers inside of TLS.
const ALPN: &[u8] = b"http/1.1";

/// The bytes of the files that are set.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// Without the bytes: one is a key.
impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Files {
    pub(super) fn read(
        settings: &UpstreamTlsSettings,
        section: &str,
    ) -> Result<Files, UpstreamTlsFault> {
        let read = |key: &str, path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) => Err(fault(
                    section,
                    key,
                    path,
                    format!("cannot be read: {error}"),
                )),
            },
        };
        Ok(Files {
            ca: read("ca_file", &settings.ca_file)?,
            cert: read("cert_file", &settings.cert_file)?,
            key: read("key_file", &settings.key_file)?,
        })
    }

    /// How connections are made with these files.
    pub(super) fn config(
        &self,
        settings: &UpstreamTlsSettings,
        section: &str,
    ) -> Result<ClientConfig, UpstreamTlsFault> {
        let other = |problem: String| UpstreamTlsFault {
            path: section.to_owned(),
            problem,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| other(error.to_string()))?;
        let builder = match settings.verify {
            true => builder.with_root_certificates(self.authorities(settings, section)?),
            false => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoVerifier::new(&provider))),
        };
        let mut config =
            match self.identity(settings, section)? {
                None => builder.with_no_client_auth(),
                Some((certificates, key)) => builder
                    .with_client_auth_cert(certificates, key)
                    .map_err(|error| {
                        let path = settings.cert_file.as_deref().unwrap_or(Path::new(""));
                        let problem = format!("does not go with {section}.key_file: {error}");
                        fault(section, "cert_file", path, problem)
                    })?,
            };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    /// The gateway's own certificate and key.
    pub(super) fn identity(
        &self,
        settings: &UpstreamTlsSettings,
        section: &str,
    ) -> Result<Option<Identity>, UpstreamTlsFault> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(None);
        };
        let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        let certificates = certificates(cert)
            .map_err(|problem| fault(section, "cert_file", &path(&settings.cert_file), problem))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            let problem = said("private key without a password", &error);
            fault(section, "key_file", &path(&settings.key_file), problem)
        })?;
        Ok(Some((certificates, key)))
    }

    fn authorities(
        &self,
        settings: &UpstreamTlsSettings,
        section: &str,
    ) -> Result<RootCertStore, UpstreamTlsFault> {
        let mut store = RootCertStore::empty();
        let Some(ca) = &self.ca else {
            let found = rustls_native_certs::load_native_certs().unwrap_or_default();
            // Systems ship some that are too old to be read.
            let (usable, _) = store.add_parsable_certificates(found);
            return match usable {
                0 => Err(UpstreamTlsFault {
                    path: format!("{section}.ca_file"),
                    problem: "the system has no CA certificates: name a CA file".to_owned(),
                }),
                _ => Ok(store),
            };
        };
        let path = settings.ca_file.as_deref().unwrap_or(Path::new(""));
        let refused = |problem: String| fault(section, "ca_file", path, problem);
        for certificate in certificates(ca).map_err(refused)? {
            let added = store.add(certificate);
            added.map_err(|error| refused(error.to_string()))?;
        }
        Ok(store)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(said("certificate", &pem::Error::NoItemsFound)),
        Ok(found) => Ok(found),
        Err(error) => Err(said("certificate", &error)),
    }
}

fn said(what: &str, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => format!("there is no PEM {what} in it"),
        error => error.to_string(),
    }
}

fn fault(section: &str, key: &str, path: &Path, problem: String) -> UpstreamTlsFault {
    UpstreamTlsFault {
        path: format!("{section}.{key}"),
        problem: format!("{}: {problem}", path.display()),
    }
}
