//! TLS to endpoints: the ways of it that the settings describe.

mod explain;
mod files;
mod verify;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pailou_config::{Settings, UpstreamTlsSettings};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;

pub(crate) use self::explain::explain;
use self::files::Files;

/// How often files are looked at again.
const REFRESH: Duration = Duration::from_secs(30);

/// The TLS settings for endpoints, in the order of [`Settings::all_upstream_tls`]. Clones share what was loaded.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    profiles: Arc<[Arc<Profile>]>,
}

/// The faults of some TLS settings.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path}: {problem}")]
pub struct UpstreamTlsFault {
    /// The setting, such as `upstream_tls.ca_file`.
    pub path: String,
    /// What is wrong with it, and what helps.
    pub problem: String,
}

/// TLS settings for endpoints, ready to use.
#[derive(Debug)]
pub(crate) struct Profile {
    section: String,
    settings: UpstreamTlsSettings,
    /// What certificates must be for, if the settings say so.
    name: Option<ServerName<'static>>,
    /// The files as they were read last, and what was made of them; nothing before they are needed.
    loaded: ArcSwapOption<Loaded>,
    /// The last fault of a refresh: told once.
    told: Mutex<Option<UpstreamTlsFault>>,
}

#[derive(Debug)]
struct Loaded {
    files: Files,
    config: Arc<ClientConfig>,
}

impl UpstreamTls {
    /// Reads the files that the settings name. The system's authorities are read when the first connection needs them.
    ///
    /// # Errors
    /// Every setting whose file cannot be used.
    pub fn load(settings: &Settings) -> Result<UpstreamTls, Vec<UpstreamTlsFault>> {
        let mut faults = Vec::new();
        let mut profiles = Vec::new();
        for (section, settings) in settings.all_upstream_tls() {
            match Profile::load(section, settings.clone()) {
                Ok(profile) => profiles.push(Arc::new(profile)),
                Err(fault) => faults.push(fault),
            }
        }
        match faults.is_empty() {
            true => Ok(UpstreamTls {
                profiles: profiles.into(),
            }),
            false => Err(faults),
        }
    }

    /// The TLS settings at a place in the order of the settings.
    pub(crate) fn profile(&self, place: usize) -> Option<&Arc<Profile>> {
        self.profiles.get(place)
    }

    /// Takes up files that were renewed.
    pub(crate) async fn refresh(&self) -> Infallible {
        loop {
            tokio::time::sleep(REFRESH).await;
            let profiles = Arc::clone(&self.profiles);
            let looked = tokio::task::spawn_blocking(move || {
                profiles.iter().for_each(|profile| profile.refresh());
            });
            // A look that panicked has changed nothing, and the next one comes.
            if let Err(error) = looked.await {
                tracing::error!(%error, "the files of upstream_tls could not be looked at");
            }
        }
    }
}

impl Profile {
    fn load(section: String, settings: UpstreamTlsSettings) -> Result<Profile, UpstreamTlsFault> {
        let name = settings.server_name.clone().map(ServerName::try_from);
        let name = name.transpose().map_err(|_| UpstreamTlsFault {
            path: format!("{section}.server_name"),
            problem: "no name that a certificate can have".to_owned(),
        })?;
        if !settings.verify {
            tracing::warn!(
                setting = format!("{section}.verify"),
                "certificates of endpoints are not verified: anybody who answers at an address is believed"
            );
        }
        let profile = Profile {
            section,
            settings,
            name,
            loaded: ArcSwapOption::empty(),
            told: Mutex::default(),
        };
        let files = profile.read()?;
        if profile.settings.ca_file.is_some() || !profile.settings.verify {
            profile.take(files)?;
        } else {
            files.identity(&profile.settings, &profile.section)?;
        }
        Ok(profile)
    }

    /// How connections are made.
    pub(crate) async fn config(self: &Arc<Self>) -> Result<Arc<ClientConfig>, UpstreamTlsFault> {
        if let Some(loaded) = &*self.loaded.load() {
            return Ok(Arc::clone(&loaded.config));
        }
        let profile = Arc::clone(self);
        // The system's authorities are many.
        let loaded = tokio::task::spawn_blocking(move || profile.take(profile.read()?)).await;
        loaded.unwrap_or_else(|error| {
            Err(UpstreamTlsFault {
                path: self.section.clone(),
                problem: error.to_string(),
            })
        })
    }

    /// Where it is set.
    pub(crate) fn section(&self) -> &str {
        &self.section
    }

    /// Whom the certificate of an endpoint at that address must be for.
    pub(crate) fn name(&self, host: Option<&str>, ip: IpAddr) -> ServerName<'static> {
        let of_host = || ServerName::try_from(host?.to_owned()).ok();
        let name = self.name.clone().or_else(of_host);
        name.unwrap_or_else(|| ServerName::from(ip))
    }

    fn read(&self) -> Result<Files, UpstreamTlsFault> {
        Files::read(&self.settings, &self.section)
    }

    fn take(&self, files: Files) -> Result<Arc<ClientConfig>, UpstreamTlsFault> {
        let config = Arc::new(files.config(&self.settings, &self.section)?);
        self.loaded.store(Some(Arc::new(Loaded {
            files,
            config: Arc::clone(&config),
        })));
        Ok(config)
    }

    /// Takes up what has changed; a file that cannot be used changes nothing, and is told of once.
    fn refresh(&self) {
        let Some(loaded) = self.loaded.load_full() else {
            return;
        };
        let taken = self.read().and_then(|files| match files == loaded.files {
            true => Ok(false),
            false => self.take(files).map(|_| true),
        });
        let fault = taken.as_ref().err().cloned();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &fault
            && told.as_ref() != Some(error)
        {
            tracing::warn!(%error, "renewed files for TLS to endpoints cannot be used, the old ones stay");
        }
        *told = fault;
        if taken == Ok(true) {
            tracing::info!(
                section = self.section,
                "renewed files for TLS to endpoints were taken up"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use pailou_config::{Environment, load_settings};
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(folder: &Path, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join("own.pem"), certificate.pem()).expect("a file");
        fs::write(folder.join("own.key"), key.serialize_pem()).expect("a file");
    }

    fn load(folder: &Path, text: &str) -> Result<UpstreamTls, Vec<UpstreamTlsFault>> {
        let file = folder.join("gateway.yaml");
        fs::write(&file, text).expect("a file");
        let loaded = load_settings(Some(&file), &Environment::default());
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:?}"));
        UpstreamTls::load(&loaded.settings)
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_setting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        certificate(path, "a.internal");
        fs::copy(path.join("own.key"), path.join("other.key")).expect("a copy");
        certificate(path, "b.internal");
        fs::write(path.join("empty.pem"), "nothing").expect("a file");
        let own = "cert_file: own.pem, key_file: own.key";
        for (text, expected) in [
            (format!("upstream_tls: {{ ca_file: own.pem, {own} }}"), None),
            ("{}".to_owned(), None),
            (
                "other_upstream_tls: { a: { ca_file: empty.pem } }".to_owned(),
                Some(("other_upstream_tls.a.ca_file", "no PEM certificate in it")),
            ),
            (
                "upstream_tls: { cert_file: own.pem, key_file: own.pem }".to_owned(),
                Some(("upstream_tls.key_file", "no PEM private key")),
            ),
            (
                "upstream_tls: { ca_file: own.pem, cert_file: own.pem, key_file: other.key }"
                    .to_owned(),
                Some((
                    "upstream_tls.cert_file",
                    "does not go with upstream_tls.key_file",
                )),
            ),
            (
                "upstream_tls: { server_name: 'a b' }".replace("a b", "a_/b"),
                Some((
                    "upstream_tls.server_name",
                    "no name that a certificate can have",
                )),
            ),
        ] {
            let faults = load(path, &text).err().unwrap_or_default();
            let found = faults.first().map(|it| (&*it.path, &*it.problem));
            match expected {
                None => assert_eq!(found, None, "{text}"),
                Some((path, problem)) => {
                    let (found_path, found_problem) = found.unwrap_or_else(|| panic!("{text}"));
                    assert_eq!(found_path, path, "{text}");
                    assert!(found_problem.contains(problem), "{text}: {found_problem}");
                }
            }
        }
    }

    #[tokio::test]
    async fn renewed_files_are_taken_up_and_bad_ones_change_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        certificate(path, "a.internal");
        let tls = load(path, "upstream_tls: { ca_file: own.pem }").expect("good files");
        let profile = tls.profile(0).expect("the usual one");
        let before = profile.config().await.expect("a configuration");
        profile.refresh();
        let same = profile.config().await.expect("a configuration");
        assert!(Arc::ptr_eq(&before, &same), "nothing has changed");
        fs::write(path.join("own.pem"), "half of a").expect("a file");
        profile.refresh();
        let same = profile.config().await.expect("a configuration");
        assert!(Arc::ptr_eq(&before, &same), "a bad file changes nothing");
        certificate(path, "b.internal");
        profile.refresh();
        let renewed = profile.config().await.expect("a configuration");
        assert!(!Arc::ptr_eq(&before, &renewed));
    }
}
