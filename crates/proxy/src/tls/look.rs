//! One look at files: what they hold at that moment.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::SystemTime;

use pailou_config::{CertificateFiles, TlsSettings};

use super::files::{self, Certified};
use super::flaw::Flaw;
use super::terms::{self, Verifier};

/// What the files of a slot hold.
pub(super) struct Look {
    /// Each file's bytes, in the order of the settings.
    texts: Vec<Result<Vec<u8>, Flaw>>,
    pub(super) seen: u64,
}

impl Look {
    pub(super) fn at(files: &CertificateFiles) -> Look {
        Look::new([&*files.cert, &*files.key])
    }

    pub(super) fn at_authorities(settings: &TlsSettings) -> Look {
        let files = settings.client_ca.iter().chain(&settings.client_crl);
        Look::new(files.map(|file| &**file))
    }

    fn new<'a>(files: impl IntoIterator<Item = &'a Path>) -> Look {
        let texts: Vec<_> = files.into_iter().map(files::read).collect();
        let mut hasher = DefaultHasher::new();
        for text in &texts {
            match text {
                Ok(bytes) => bytes.hash(&mut hasher),
                Err(flaw) => flaw.problem.hash(&mut hasher),
            }
        }
        Look {
            texts,
            seen: hasher.finish(),
        }
    }

    /// The certificate, if it can be used, and its flaws.
    pub(super) fn judge(
        &self,
        files: &CertificateFiles,
        now: SystemTime,
    ) -> (Option<Certified>, Vec<Flaw>) {
        match &self.texts[..] {
            [Ok(cert), Ok(key)] => files::certify(files, cert, key, now),
            texts => (None, unread(texts)),
        }
    }

    pub(super) fn verifier(
        &self,
        settings: &TlsSettings,
        now: SystemTime,
    ) -> Result<(Verifier, Vec<Flaw>), Vec<Flaw>> {
        let unread = unread(&self.texts);
        if !unread.is_empty() {
            return Err(unread);
        }
        let texts = self.texts.iter().flatten().map(Vec::as_slice);
        let files = settings.client_ca.iter().chain(&settings.client_crl);
        let files: Vec<_> = files.map(|file| &**file).zip(texts).collect();
        let (authorities, lists) = files.split_at(settings.client_ca.len());
        terms::verifier(settings.client_auth, authorities, lists, now)
    }
}

fn unread(texts: &[Result<Vec<u8>, Flaw>]) -> Vec<Flaw> {
    let flaws = texts.iter().filter_map(|text| text.as_ref().err());
    flaws.cloned().collect()
}
