//! How one listener speaks TLS at a moment. The terms never change. Changed files
//! make new terms.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pailou_config::{ClientAuth, TlsSettings, TlsVersion};
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::choice::Choice;
use super::facts::Facts;
use super::files::{self, Certified};
use super::flaw::{self, Flaw};
use super::{ALPN, Tickets};

/// The terms on which a connection is made.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) choice: Arc<Choice>,
}

/// What decides over clients' certificates, unless they are not asked for one.
pub(super) type Verifier = Option<Arc<dyn ClientCertVerifier>>;

impl Terms {
    /// `None` without a certificate.
    pub(super) fn new(
        settings: &TlsSettings,
        certificates: &[Arc<Certified>],
        verifier: Verifier,
        tickets: Tickets,
    ) -> Option<Terms> {
        let choice = Arc::new(Choice::new(certificates)?);
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&versions(settings.min_version))
            .expect("ring has cipher suites for both versions");
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder.with_cert_resolver(choice.clone());
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        // Sessions are kept by the clients, sealed in tickets: nothing here is
        // shared between the workers, or grows with the clients.
        config.ticketer = tickets;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Some(Terms {
            config: Arc::new(config),
            choice,
        })
    }
}

/// A new key for session tickets. The key changes every six hours, and the key
/// before it counts for six hours more.
pub(super) fn tickets() -> Tickets {
    ring::Ticketer::new().expect("the system has random numbers")
}

fn versions(oldest: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match oldest {
        TlsVersion::V1_2 => vec![&TLS13, &TLS12],
        TlsVersion::V1_3 => vec![&TLS13],
    }
}

/// What decides over clients' certificates, by the texts of the files with
/// their authorities, and what is wrong with these.
pub(super) fn verifier(
    auth: ClientAuth,
    authorities: &[(&Path, &[u8])],
    now: SystemTime,
) -> Result<(Verifier, Vec<Flaw>), Vec<Flaw>> {
    if auth == ClientAuth::Off {
        return Ok((None, Vec::new()));
    }
    let mut roots = RootCertStore::empty();
    let mut flaws = Vec::new();
    for (file, pem) in authorities {
        match files::chain(file, pem) {
            Err(flaw) => flaws.push(flaw),
            Ok(found) => {
                for der in found {
                    flaws.extend(doubt_authority(file, &der, now));
                    if let Err(error) = roots.add(der) {
                        let problem = format!("cannot be used: {error}");
                        let cure = "the certificates of authorities";
                        flaws.push(Flaw::fatal(file, problem, cure));
                    }
                }
            }
        }
    }
    if flaws.iter().any(|flaw| flaw.is_fatal) {
        return Err(flaws);
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required | ClientAuth::Off => builder,
    };
    let verifier = builder
        .build()
        .expect("each file has an authority, and there are no revocation lists");
    Ok((Some(verifier), flaws))
}

/// The warnings about an authority.
fn doubt_authority(file: &Path, der: &[u8], now: SystemTime) -> Option<Flaw> {
    let facts = Facts::of(der)?;
    if !facts.is_authority {
        return Some(Flaw::doubt(
            file,
            format!("has {}, which is no authority", facts.subject_text),
            "the certificate of the authority that signs the clients' certificates",
        ));
    }
    flaw::validity(file, &facts, now)
}
