//! One gateway for each snapshot: whoever keeps it holds a lock on it, as long as the process lives.
//!
//! The lock is that of `flock(2)`: it ends with the process, whatever ends it, and disturbs nobody who only reads. Where a
//! file system has no locks, nobody is kept out.

use std::fs::{File, TryLockError};
use std::path::Path;

use pailou_telemetry::own_file::is_at;

use super::file::SnapshotError;

/// How often the file is opened anew when another process has replaced it meanwhile.
const ATTEMPTS: usize = 3;

/// The lock, if it is held.
#[derive(Debug, Default)]
pub(super) struct Lock(Option<File>);

impl Lock {
    /// Locks the file at `path`, if there is one, unless that is held already.
    pub(super) fn take(&mut self, path: &Path) -> Result<(), SnapshotError> {
        for _ in 0..ATTEMPTS {
            if self.0.as_ref().is_some_and(|held| is_at(held, path)) {
                return Ok(());
            }
            let Ok(file) = File::open(path) else {
                // Nothing to lock, or nothing to be told by it: writing says why.
                return Ok(());
            };
            *self = Lock::of(file)?;
        }
        Err(SnapshotError::Shared)
    }

    /// Locks `file`.
    pub(super) fn of(file: File) -> Result<Lock, SnapshotError> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(SnapshotError::Shared),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Lock(Some(file))),
        }
    }
}
