//! Logs that cannot be written. These events are counted where the lines are lost.

use tracing::{info, warn};

/// A log takes no more lines, as when the disk is full. They are lost until it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogFailed<'a> {
    /// Which one.
    pub(crate) log: &'a str,
    /// Why.
    pub(crate) error: &'a str,
}

impl LogFailed<'_> {
    /// Logs it, which tells somebody as long as the other log works.
    pub(crate) fn record(&self) {
        warn!(target: "pailou", log = self.log, error = self.error, "a log cannot be written, its lines are lost");
    }
}

/// A log takes lines again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRecovered<'a> {
    /// Which one.
    pub(crate) log: &'a str,
    /// How many lines it lost.
    pub(crate) lost: u64,
}

impl LogRecovered<'_> {
    /// Logs it.
    pub(crate) fn record(&self) {
        info!(target: "pailou", log = self.log, lost = self.lost, "a log can be written again");
    }
}
