//! What happens to the certificates of the listeners.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::Metrics;

/// A certificate that has changed in its files is in use.
#[derive(Clone, Copy, Debug)]
pub struct CertificateReloaded<'a> {
    /// The file of the certificate.
    pub file: &'a str,
    /// What it is for, separated by commas.
    pub names: &'a str,
    /// When it ends, in seconds since 1970.
    pub not_after_timestamp_seconds: i64,
}

impl CertificateReloaded<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        let reloads = &metrics.totals().certificate_reloads;
        reloads.fetch_add(1, Ordering::Relaxed);
        info!(
            target: "pailou",
            file = self.file,
            names = self.names,
            not_after_timestamp_seconds = self.not_after_timestamp_seconds,
            "a certificate was reloaded"
        );
    }
}

/// Authorities of clients, or their lists of revoked certificates, that have changed in their files count.
#[derive(Clone, Copy, Debug)]
pub struct AuthoritiesReloaded<'a> {
    /// The file.
    pub file: &'a str,
}

impl AuthoritiesReloaded<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        let reloads = &metrics.totals().certificate_reloads;
        reloads.fetch_add(1, Ordering::Relaxed);
        info!(target: "pailou", file = self.file, "the authorities of clients, with their revocation lists, were reloaded");
    }
}

/// Files of a certificate have changed and cannot be used; what was read before stays in use.
#[derive(Clone, Copy, Debug)]
pub struct CertificateRefused<'a> {
    /// The file.
    pub file: &'a str,
    /// What is wrong with it.
    pub error: &'a str,
    /// What it should be.
    pub cure: &'a str,
}

impl CertificateRefused<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        let refusals = &metrics.totals().certificate_refusals;
        refusals.fetch_add(1, Ordering::Relaxed);
        error!(
            target: "pailou",
            file = self.file,
            error = self.error,
            expected = self.cure,
            "a changed certificate cannot be used: the one before it stays"
        );
    }
}

/// A certificate in use has a flaw for which some clients will refuse it.
#[derive(Clone, Copy, Debug)]
pub struct CertificateDoubtful<'a> {
    /// The file.
    pub file: &'a str,
    /// What is wrong with it.
    pub error: &'a str,
    /// What it should be.
    pub cure: &'a str,
}

impl CertificateDoubtful<'_> {
    /// Logs it.
    pub fn record(&self) {
        warn!(
            target: "pailou",
            file = self.file,
            error = self.error,
            expected = self.cure,
            "some clients will refuse a certificate"
        );
    }
}

/// A certificate in use ends soon, or has ended.
#[derive(Clone, Copy, Debug)]
pub struct CertificateExpires<'a> {
    /// The file.
    pub file: &'a str,
    /// How long it is still valid; `None` if it has expired.
    pub left: Option<Duration>,
}

impl CertificateExpires<'_> {
    /// Logs it. The metric is the time itself: [`Metrics::set_certificate`].
    pub fn record(&self) {
        let days_left = self.left.map(|left| left.as_secs() / 86_400);
        match days_left {
            Some(days_left) => {
                warn!(target: "pailou", file = self.file, days_left, "a certificate expires soon: renew it");
            }
            None => {
                error!(target: "pailou", file = self.file, "a certificate has expired: renew it")
            }
        }
    }
}
