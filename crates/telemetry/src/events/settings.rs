//! What happens to the settings of a running gateway.

use std::time::SystemTime;

use tracing::{error, info, warn};

use crate::Metrics;

/// The settings were read again, and those that can change while the gateway runs are in force.
#[derive(Clone, Copy, Debug)]
pub struct SettingsReloaded<'a> {
    /// The settings that have changed and are in force, separated by commas.
    pub changed: &'a str,
    /// Those that have changed and need a restart.
    pub need_restart: &'a str,
}

impl SettingsReloaded<'_> {
    /// Logs it and notes the time.
    pub fn record(&self, metrics: &Metrics) {
        metrics.settings_taken(SystemTime::now());
        info!(target: "pailou", changed = self.changed, "the settings were read again");
        if !self.need_restart.is_empty() {
            warn!(target: "pailou", settings = self.need_restart, "settings have changed that need a restart");
        }
    }
}

/// The settings were read again and have faults; the old ones stay.
#[derive(Clone, Copy, Debug)]
pub struct SettingsRefused<'a> {
    /// The faults.
    pub errors: &'a [String],
}

impl SettingsRefused<'_> {
    /// Logs each fault, and lowers the gauge.
    pub fn record(&self, metrics: &Metrics) {
        metrics.totals().settings_reloaded.failed();
        for error in self.errors {
            error!(target: "pailou", error, "the settings have faults, the old ones stay");
        }
    }
}
