//! What happens to the keys and credentials that filters follow.

use tracing::{error, info, warn};

use crate::Metrics;

/// How far a place of keys or credentials is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// Nothing was had of it yet: whoever needs it lets nobody in.
    Missing,
    /// What it says is in use.
    Good,
    /// It cannot be had or read any more; the last good one is in use.
    Stale,
}

impl CredentialState {
    pub(crate) const ALL: [CredentialState; 3] = [
        CredentialState::Good,
        CredentialState::Missing,
        CredentialState::Stale,
    ];

    /// The static word for metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            CredentialState::Missing => "missing",
            CredentialState::Good => "good",
            CredentialState::Stale => "stale",
        }
    }
}

/// Keys or credentials were read, and are in use.
#[derive(Clone, Copy, Debug)]
pub struct CredentialsTaken<'a> {
    /// Where they come from.
    pub place: &'a str,
    /// How many there are.
    pub entries: usize,
    /// What was passed over, in a sentence each.
    pub notes: &'a [String],
}

impl CredentialsTaken<'_> {
    /// Logs it, with each note, and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics.count_credential_load("taken");
        let (place, entries) = (self.place, self.entries);
        info!(target: "pailou", place, entries, "credentials are in use");
        for note in self.notes {
            warn!(target: "pailou", place, note, "a part of the credentials is passed over");
        }
    }
}

/// Keys or credentials could not be had; the last good ones stay.
#[derive(Clone, Copy, Debug)]
pub struct CredentialsFailed<'a> {
    /// Where they come from.
    pub place: &'a str,
    /// Why.
    pub error: &'a str,
    /// Whether there are none at all.
    pub is_missing: bool,
    /// Whether it is said for the first time.
    pub is_news: bool,
}

impl CredentialsFailed<'_> {
    /// Counts it, and logs it if it is news.
    pub fn record(&self, metrics: &Metrics) {
        metrics.count_credential_load("failed");
        let (place, error) = (self.place, self.error);
        match (self.is_news, self.is_missing) {
            (false, _) => {}
            (true, true) => {
                error!(target: "pailou", place, error, "credentials cannot be had, nobody gets in by them");
            }
            (true, false) => {
                warn!(target: "pailou", place, error, "credentials cannot be had, the last good ones stay");
            }
        }
    }
}

/// Keys or credentials were had and cannot be read; the last good ones stay.
#[derive(Clone, Copy, Debug)]
pub struct CredentialsRefused<'a> {
    /// Where they come from.
    pub place: &'a str,
    /// Why.
    pub error: &'a str,
}

impl CredentialsRefused<'_> {
    /// Logs it and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics.count_credential_load("refused");
        error!(target: "pailou", place = self.place, error = self.error, "credentials cannot be read, the last good ones stay");
    }
}
