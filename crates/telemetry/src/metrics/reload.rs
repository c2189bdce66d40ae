//! When something was taken anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The last time that something was read again and taken, and whether that is the last time that it was read.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    /// In milliseconds since 1970; 0 is never.
    at: AtomicU64,
    /// 1 if the last attempt went well.
    went_well: AtomicU64,
}

impl Reload {
    /// It was taken at this time.
    pub(crate) fn succeeded(&self, at: SystemTime) {
        let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        self.at.store(milliseconds, Ordering::Relaxed);
        self.went_well.store(1, Ordering::Relaxed);
    }

    /// It was refused.
    pub(crate) fn failed(&self) {
        self.went_well.store(0, Ordering::Relaxed);
    }

    /// 1 if the last attempt went well.
    pub(crate) fn went_well(&self) -> u64 {
        self.went_well.load(Ordering::Relaxed)
    }

    /// When it was taken last, in seconds since 1970; 0 is never.
    pub(crate) fn at_seconds(&self) -> f64 {
        self.at.load(Ordering::Relaxed) as f64 / 1e3
    }
}
