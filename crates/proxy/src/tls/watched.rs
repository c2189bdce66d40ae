//! The terms of one listener, kept up with its files.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use pailou_config::{CertificateFiles, ClientAuth, Fault, Position, Severity, TlsSettings};
use pailou_telemetry::Metrics;
use pailou_telemetry::events::{AuthoritiesReloaded, CertificateDoubtful, CertificateReloaded};

use super::files::Certified;
use super::flaw::{self, Flaw};
use super::look::Look;
use super::slot::{Slot, Trouble};
use super::terms::{self, Terms, Verifier};
use super::{CertificateView, Tickets};

/// How one listener speaks TLS.
#[derive(Debug)]
pub(crate) struct Watched {
    settings: TlsSettings,
    live: ArcSwap<Terms>,
    state: Mutex<State>,
}

/// What was read, and what is used of it.
#[derive(Debug)]
struct State {
    /// In the order of the settings.
    certificates: Vec<Slot<Arc<Certified>>>,
    authorities: Slot<Trust>,
}

/// What clients are believed by.
#[derive(Clone, Debug)]
struct Trust {
    verifier: Verifier,
    tickets: Tickets,
}

/// What was read at start.
pub(super) struct Loaded {
    /// `None` if there is a fault that is an error.
    pub(super) watched: Option<Watched>,
    pub(super) faults: Vec<Fault>,
}

impl Watched {
    /// Reads the files of a listener whose `tls` has this path in the settings
    /// of this name.
    pub(super) fn load(
        settings: &TlsSettings,
        path: &str,
        document: &str,
        tickets: Tickets,
        now: SystemTime,
    ) -> Loaded {
        let mut faults = Vec::new();
        let mut report = |path: String, at: Position, flaw: Flaw| {
            faults.push(fault(document, path, at, flaw));
        };
        let mut certificates = Vec::new();
        for (index, files) in settings.certificates.iter().enumerate() {
            let look = Look::at(files);
            let (certified, flaws) = look.judge(files, now);
            let path = format!("{path}.certificates[{index}]");
            for flaw in flaws {
                report(path.clone(), files.at.0, flaw);
            }
            if let Some(certified) = certified {
                report_double(&certified, &certificates, |flaw| {
                    report(path.clone(), files.at.0, flaw);
                });
                certificates.push(Slot::new(Arc::new(certified), look.seen));
            }
        }
        let look = Look::at_authorities(settings);
        let (verifier, flaws) = match look.verifier(settings, now) {
            Ok((verifier, flaws)) => (Some(verifier), flaws),
            Err(flaws) => (None, flaws),
        };
        for flaw in flaws {
            let key = match settings.client_crl.contains(&flaw.file) {
                true => "client_crl",
                false => "client_ca",
            };
            report(format!("{path}.{key}"), settings.at.0, flaw);
        }
        let is_whole = certificates.len() == settings.certificates.len();
        let watched = verifier.filter(|_| is_whole).and_then(|verifier| {
            let trust = Trust {
                tickets: match settings.client_auth {
                    ClientAuth::Off => tickets,
                    // Its sessions are of clients that were asked who they are.
                    ClientAuth::Optional | ClientAuth::Required => terms::tickets(),
                },
                verifier,
            };
            let state = State {
                certificates,
                authorities: Slot::new(trust, look.seen),
            };
            Some(Watched {
                live: ArcSwap::from_pointee(state.terms(settings)?),
                settings: settings.clone(),
                state: Mutex::new(state),
            })
        });
        Loaded { watched, faults }
    }

    /// The terms for a connection that begins now.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.live.load_full()
    }

    /// Whether requests for hosts that the certificate is not for are refused.
    pub(crate) fn checks_host(&self) -> bool {
        self.settings.check_host
    }

    /// Looks at the files, and uses what has changed and is sound.
    pub(super) fn look(&self, metrics: &Metrics, at_once: bool, now: SystemTime) {
        let mut state = self.state();
        let mut changed = false;
        for (files, slot) in self
            .settings
            .certificates
            .iter()
            .zip(&mut state.certificates)
        {
            changed |= renew(slot, files, metrics, now);
            slot.tell(metrics, at_once);
        }
        changed |= renew_trust(&mut state.authorities, &self.settings, metrics, now);
        state.authorities.tell(metrics, at_once);
        if changed && let Some(terms) = state.terms(&self.settings) {
            self.live.store(Arc::new(terms));
        }
    }

    pub(super) fn view(&self) -> Vec<CertificateView> {
        let state = self.state();
        let certificates = state.certificates.iter();
        certificates
            .map(|slot| CertificateView {
                file: slot.used.file.display().to_string(),
                names: slot.used.names.list(),
                not_after_timestamp_seconds: slot.used.ends,
                refused: slot
                    .trouble
                    .as_ref()
                    .map(|trouble| trouble.flaw.to_string()),
            })
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn terms(&self, settings: &TlsSettings) -> Option<Terms> {
        let certificates: Vec<_> = self
            .certificates
            .iter()
            .map(|slot| slot.used.clone())
            .collect();
        let Trust { verifier, tickets } = self.authorities.used.clone();
        Terms::new(settings, &certificates, verifier, tickets)
    }
}

/// Uses a certificate that has changed, if it can be used.
fn renew(
    slot: &mut Slot<Arc<Certified>>,
    files: &CertificateFiles,
    metrics: &Metrics,
    now: SystemTime,
) -> bool {
    let look = Look::at(files);
    if look.seen == slot.seen {
        return false;
    }
    slot.seen = look.seen;
    let (certified, flaws) = look.judge(files, now);
    let Some(certified) = certified else {
        slot.trouble = Trouble::of(flaws);
        return false;
    };
    if certified.not_after < now && slot.used.not_after >= now {
        // An old file was put back by mistake. The certificate in use is better.
        let flaw = flaw::expired(&certified.file, certified.not_after, now);
        slot.trouble = Some(Trouble::new(flaw));
        return false;
    }
    tell_doubts(&flaws);
    let file = files.cert.display().to_string();
    CertificateReloaded {
        file: &file,
        names: &certified.names.list().join(", "),
        not_after_timestamp_seconds: certified.ends,
    }
    .record(metrics);
    slot.take(Arc::new(certified));
    true
}

/// Believes authorities that have changed, if they can be used.
fn renew_trust(
    slot: &mut Slot<Trust>,
    settings: &TlsSettings,
    metrics: &Metrics,
    now: SystemTime,
) -> bool {
    let look = Look::at_authorities(settings);
    if look.seen == slot.seen {
        return false;
    }
    slot.seen = look.seen;
    match look.verifier(settings, now) {
        Err(flaws) => {
            slot.trouble = Trouble::of(flaws);
            false
        }
        Ok((verifier, flaws)) => {
            tell_doubts(&flaws);
            for file in settings.client_ca.iter().chain(&settings.client_crl) {
                AuthoritiesReloaded {
                    file: &file.display().to_string(),
                }
                .record(metrics);
            }
            slot.take(Trust {
                verifier,
                // A resumed session would not verify the certificate again.
                tickets: terms::tickets(),
            });
            true
        }
    }
}

fn tell_doubts(flaws: &[Flaw]) {
    for flaw in flaws {
        CertificateDoubtful {
            file: &flaw.file.display().to_string(),
            error: &flaw.problem,
            cure: &flaw.cure,
        }
        .record();
    }
}

/// Reports names that an earlier certificate has already.
fn report_double(
    certified: &Certified,
    before: &[Slot<Arc<Certified>>],
    mut report: impl FnMut(Flaw),
) {
    for name in certified.names.list() {
        let first = before
            .iter()
            .find(|slot| slot.used.names.list().contains(&name));
        if let Some(first) = first {
            report(Flaw {
                file: certified.file.clone(),
                problem: format!(
                    "is for {name} as {} is, which is the one in use",
                    first.used.file.display()
                ),
                cure: "one certificate for each name".to_owned(),
                is_fatal: false,
            });
        }
    }
}

fn fault(document: &str, path: String, at: Position, flaw: Flaw) -> Fault {
    Fault {
        document: document.into(),
        position: Some(at),
        path,
        problem: format!("{} {}", flaw.file.display(), flaw.problem),
        expected: Some(flaw.cure),
        nearest: None,
        severity: match flaw.is_fatal {
            true => Severity::Error,
            false => Severity::Warning,
        },
    }
}

#[cfg(test)]
mod tests;
