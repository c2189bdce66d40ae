//! Revocation lists (RFC 5280 section 5): which certificates of clients no longer
//! count, though they are not over.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::facts::{self, Facts};
use super::flaw::{Age, Flaw};

const CURE: &str = "PEM, which begins with -----BEGIN X509 CRL-----: `openssl crl -inform DER -in FILE -out NEW` makes it of DER";

/// The lists of a listener.
pub(super) struct Revoked<'a> {
    lists: Vec<List<'a>>,
}

struct List<'a> {
    file: &'a Path,
    der: CertificateRevocationListDer<'static>,
    /// The name of its authority as it is encoded.
    issuer: Vec<u8>,
}

impl<'a> Revoked<'a> {
    /// Reads the lists in these files, and says what is wrong with them.
    pub(super) fn read(files: &[(&'a Path, &[u8])], now: SystemTime) -> (Revoked<'a>, Vec<Flaw>) {
        let (mut lists, mut flaws) = (Vec::new(), Vec::new());
        for &(file, pem) in files {
            let found = in_file(file, pem).unwrap_or_else(|flaw| {
                flaws.push(flaw);
                Vec::new()
            });
            for der in found {
                let Ok((_, parsed)) = CertificateRevocationList::from_der(&der) else {
                    flaws.push(Flaw::fatal(file, "holds what is no revocation list", CURE));
                    continue;
                };
                flaws.extend(overdue(file, &parsed, now));
                let issuer = parsed.issuer().as_raw().to_vec();
                lists.push(List { file, der, issuer });
            }
        }
        (Revoked { lists }, flaws)
    }

    /// Whether one of the lists is this authority's, or there are none at all.
    pub(super) fn speaks_for(&self, authority: &Facts) -> bool {
        let mut lists = self.lists.iter();
        self.lists.is_empty() || lists.any(|list| list.issuer == authority.subject)
    }

    /// What TLS says of each list, since of all together it does not say which is meant.
    pub(super) fn unusable(&self, roots: &Arc<RootCertStore>) -> Vec<Flaw> {
        let unusable = |list: &List<'_>| {
            let provider = Arc::new(ring::default_provider());
            let error = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider)
                .with_crls([list.der.clone()])
                .build()
                .err()?;
            Some(Flaw::fatal(
                list.file,
                format!("cannot be used: {error}"),
                "a complete list of version 2 with a number, as `openssl ca -gencrl` makes it with `crl_extensions` in its configuration",
            ))
        };
        self.lists.iter().filter_map(unusable).collect()
    }

    pub(super) fn into_lists(self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
        self.lists.into_iter().map(|list| list.der)
    }
}

/// The lists in a file: at least one.
fn in_file(file: &Path, pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Flaw> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Flaw::fatal(file, "has no revocation list in it", CURE)),
        Err(error) => Err(Flaw::fatal(file, format!("is damaged: {error}"), CURE)),
    }
}

/// A list that its authority should have replaced by now. It goes on to count.
fn overdue(file: &Path, list: &CertificateRevocationList<'_>, now: SystemTime) -> Option<Flaw> {
    let due = facts::time(list.next_update()?.timestamp());
    let late = now.duration_since(due).ok()?;
    let problem = format!("is overdue: the next list was due {} ago", Age(late));
    let cure = "the authority's present list, or a right clock on this machine";
    Some(Flaw::doubt(file, problem, cure))
}
