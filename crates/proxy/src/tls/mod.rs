//! TLS on clients' connections: which certificate is shown, who the client
//! is, and files that change while the gateway runs.
//!
//! `files` reads a certificate with its key, and a `flaw` is what is wrong with
//! them. `names` is what a certificate is for. `choice` finds the certificate for a
//! host. `terms` is how one listener speaks TLS at a moment, and `watched` keeps
//! the terms up to date with the files. `client` is what a client's certificate
//! says, and `revoked` which of them no longer count.

mod choice;
mod client;
mod facts;
mod files;
mod flaw;
mod look;
mod names;
mod revoked;
mod slot;
mod terms;
#[cfg(test)]
mod testing;
mod watched;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pailou_config::{Fault, ListenerSettings, Severity};
use pailou_telemetry::Metrics;
use rustls::server::ProducesTickets;
use serde::Serialize;

pub(crate) use client::{ClientCertificate, tell};
pub(crate) use files::Certified;
pub(crate) use watched::Watched;

/// What is spoken inside TLS, best first (ALPN, RFC 7301). A client that
/// offers none of it is refused by alert; one that offers nothing is served.
pub(crate) const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// How often the files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Warnings begin this long before a certificate ends.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

/// The time between two warnings.
const WARN_AGAIN: Duration = Duration::from_secs(86_400);

/// The certificates of all listeners, kept up with their files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates {
    listeners: Arc<[Option<Arc<Watched>>]>,
    metrics: Metrics,
    /// When each file was warned of last, as its certificate is about to end.
    warned: Arc<Mutex<Warned>>,
}

type Warned = std::collections::BTreeMap<String, SystemTime>;

/// A certificate in use, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateView {
    /// Its file.
    pub file: String,
    /// What it is for.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub not_after_timestamp_seconds: i64,
    /// Why the file as it is now is not used; an older one is.
    pub refused: Option<String>,
}

impl Certificates {
    /// Reads every file that the listeners name, and says what is worth
    /// knowing of them. `document` is the name of the settings in the faults.
    ///
    /// # Errors
    /// Every fault, at least one of them an error.
    pub fn load(
        listeners: &[ListenerSettings],
        document: &str,
        metrics: &Metrics,
    ) -> Result<(Certificates, Vec<Fault>), Vec<Fault>> {
        let now = SystemTime::now();
        let mut faults = Vec::new();
        // Listeners without client certificates treat all clients alike, so a session
        // of one may be resumed at another.
        let tickets = terms::tickets();
        let mut loaded = Vec::new();
        for (index, listener) in listeners.iter().enumerate() {
            let Some(tls) = &listener.tls else {
                loaded.push(None);
                continue;
            };
            let path = format!("listeners[{index}].tls");
            let read = Watched::load(tls, &path, document, tickets.clone(), now);
            faults.extend(read.faults);
            loaded.push(read.watched.map(Arc::new));
        }
        if faults.iter().any(|fault| fault.severity == Severity::Error) {
            return Err(faults);
        }
        let listeners = loaded.into();
        Ok((
            Certificates {
                listeners,
                ..Certificates::none(metrics)
            },
            faults,
        ))
    }

    /// For listeners that all speak plain HTTP.
    pub fn none(metrics: &Metrics) -> Certificates {
        Certificates {
            listeners: Arc::default(),
            metrics: metrics.clone(),
            warned: Arc::default(),
        }
    }

    /// How the listener at this place speaks TLS, if it does.
    pub(crate) fn of(&self, listener: usize) -> Option<Arc<Watched>> {
        self.listeners.get(listener).cloned().flatten()
    }

    /// Looks at the files for ever, and takes what has changed.
    pub async fn watch(self) -> Infallible {
        if self.watched().next().is_none() {
            return std::future::pending().await;
        }
        let mut interval = tokio::time::interval(WATCH_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let certificates = self.clone();
            // The files may lie on a slow disk.
            let looked = tokio::task::spawn_blocking(move || certificates.look(false)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "the files of certificates could not be looked at");
            }
        }
    }

    /// Looks at the files now, and reports at once what is wrong with them. Blocks
    /// while it reads.
    pub fn reload(&self) {
        self.look(true);
    }

    /// The certificates in use.
    pub fn view(&self) -> Vec<CertificateView> {
        self.watched().flat_map(Watched::view).collect()
    }

    fn look(&self, at_once: bool) {
        let now = SystemTime::now();
        for listener in self.watched() {
            listener.look(&self.metrics, at_once, now);
        }
        self.measure(now);
    }

    /// Says how long the certificates are good for.
    fn measure(&self, now: SystemTime) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = BTreeSet::new();
        for view in self.view() {
            if seen.insert(view.file.clone()) {
                self.measure_one(&view, &mut warned, now);
            }
        }
    }

    fn measure_one(&self, view: &CertificateView, warned: &mut Warned, now: SystemTime) {
        let ends = facts::time(view.not_after_timestamp_seconds);
        let seconds = view.not_after_timestamp_seconds;
        let is_refused = view.refused.is_some();
        self.metrics
            .set_certificate(&view.file, seconds, is_refused);
        let left = ends.duration_since(now).ok();
        let is_near = left.is_none_or(|left| left <= EXPIRES_SOON);
        let is_due = warned.get(&view.file).is_none_or(|last| {
            now.duration_since(*last)
                .is_ok_and(|since| since >= WARN_AGAIN)
        });
        if !is_near {
            warned.remove(&view.file);
        } else if is_due {
            warned.insert(view.file.clone(), now);
            pailou_telemetry::events::CertificateExpires {
                file: &view.file,
                left,
            }
            .record();
        }
    }

    fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.listeners.iter().flatten().map(|watched| &**watched)
    }
}

/// What makes and takes the tickets by which sessions are resumed.
type Tickets = Arc<dyn ProducesTickets>;

#[cfg(test)]
mod tests {
    use pailou_config::{ClientAuth, Place, Position, TlsSettings, TlsVersion};
    use pailou_config::{Environment, load_settings};

    use super::testing::{Folder, params};
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_told_once_a_day_until_it_is_renewed() {
        let folder = Folder::new();
        let now = SystemTime::now();
        let mut near = params(&["a.example"]);
        near.not_after = (now + EXPIRES_SOON - WARN_AGAIN).into();
        let defaults = load_settings(None, &Environment::default());
        let defaults = defaults.map_err(|_| "faults").expect("settings").settings;
        let mut listener = defaults.listeners[0].clone();
        listener.tls = Some(TlsSettings {
            certificates: vec![folder.files("a", &near)],
            min_version: TlsVersion::V1_2,
            client_auth: ClientAuth::Off,
            client_ca: Vec::new(),
            client_crl: Vec::new(),
            check_host: false,
            at: Place(Position { line: 1, column: 1 }),
        });
        let metrics = Metrics::new();
        let loaded = Certificates::load(&[listener], "g.yaml", &metrics);
        let (certificates, doubts) = loaded.expect("sound files");
        assert_eq!(doubts, []);
        let told = || {
            let warned = certificates.warned.lock().expect("nobody panics");
            warned.values().next().copied()
        };
        let hours = |hours: u64| now + Duration::from_secs(3_600 * hours);
        for (at, expected) in [
            (now, Some(now)),
            (hours(23), Some(now)),
            (hours(24), Some(hours(24))),
            // It has ended meanwhile.
            (hours(24 * 20), Some(hours(24 * 20))),
        ] {
            certificates.measure(at);
            assert_eq!(told(), expected);
        }
        let series = "pailou_certificate_expiry_timestamp_seconds{certificate=";
        assert!(metrics.render().contains(series), "{}", metrics.render());

        folder.files("a", &params(&["a.example"]));
        certificates.reload();
        assert_eq!(told(), None);
    }
}
