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
use super::revoked::Revoked;
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
/// their authorities and the lists of these, and what is wrong with the files.
pub(super) fn verifier(
    auth: ClientAuth,
    authorities: &[(&Path, &[u8])],
    lists: &[(&Path, &[u8])],
    now: SystemTime,
) -> Result<(Verifier, Vec<Flaw>), Vec<Flaw>> {
    if auth == ClientAuth::Off {
        return Ok((None, Vec::new()));
    }
    let (revoked, mut flaws) = Revoked::read(lists, now);
    let mut roots = RootCertStore::empty();
    for (file, pem) in authorities {
        match files::chain(file, pem) {
            Err(flaw) => flaws.push(flaw),
            Ok(found) => {
                for der in found {
                    flaws.extend(doubt_authority(file, &der, &revoked, now));
                    if let Err(error) = roots.add(der) {
                        let problem = format!("cannot be used: {error}");
                        let cure = "the certificates of authorities";
                        flaws.push(Flaw::fatal(file, problem, cure));
                    }
                }
            }
        }
    }
    let roots = Arc::new(roots);
    if !roots.is_empty() {
        flaws.extend(revoked.unusable(&roots));
    }
    if flaws.iter().any(|flaw| flaw.is_fatal) {
        return Err(flaws);
    }
    let provider = Arc::new(ring::default_provider());
    // Of each certificate of the chain a list has to say that it is not revoked. One
    // that is overdue counts, since clients cannot mend it.
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider)
        .with_crls(revoked.into_lists());
    let builder = match auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required | ClientAuth::Off => builder,
    };
    let verifier = builder
        .build()
        .expect("each file has an authority, and each list can be used");
    Ok((Some(verifier), flaws))
}

/// The warning about an authority.
fn doubt_authority(
    file: &Path,
    der: &[u8],
    revoked: &Revoked<'_>,
    now: SystemTime,
) -> Option<Flaw> {
    let facts = Facts::of(der)?;
    if !facts.is_authority {
        return Some(Flaw::doubt(
            file,
            format!("has {}, which is no authority", facts.subject_text),
            "the certificate of the authority that signs the clients' certificates",
        ));
    }
    if !revoked.speaks_for(&facts) {
        return Some(Flaw::doubt(
            file,
            format!(
                "has {}, for which no list speaks, so that its clients are refused",
                facts.subject_text
            ),
            "its revocation list among `client_crl`; a list may be empty",
        ));
    }
    flaw::validity(file, &facts, now)
}
