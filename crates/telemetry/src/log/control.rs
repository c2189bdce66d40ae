//! What can be changed of the logs while the process runs: the level, and where the lines go.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tracing_subscriber::Registry;
use tracing_subscriber::layer::Filter;
use tracing_subscriber::reload::Handle;

use super::LogError;
use super::file::{Kept, LogFile};
use crate::access_log::AccessFormat;
use crate::lines::Lines;
use crate::own_file::NotOurs;

pub(super) type AnyFilter = Box<dyn Filter<Registry> + Send + Sync>;

/// Where lines go: a file, or standard error and standard output.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogFiles<'a> {
    /// The gateway's own events; standard error without one.
    pub log: Option<&'a Path>,
    /// The access log; standard output without one.
    pub access: Option<&'a Path>,
}

impl LogFiles<'_> {
    /// Opens the sink of the gateway's own events.
    pub(super) fn open_log(&self) -> Result<Box<dyn Write + Send>, NotOurs> {
        match self.log {
            Some(path) => Ok(Box::new(LogFile::open(path, Kept::Events)?)),
            None => Ok(Box::new(io::stderr())),
        }
    }

    /// Opens the sink of the access log.
    pub(super) fn open_access(
        &self,
        format: &AccessFormat,
    ) -> Result<Box<dyn Write + Send>, NotOurs> {
        match self.access {
            Some(path) => {
                let kept = Kept::Requests(format.clone());
                Ok(Box::new(LogFile::open(path, kept)?))
            }
            None => Ok(Box::new(io::stdout())),
        }
    }
}

/// Changes the logs of a running process. Cheap to clone.
#[derive(Clone)]
pub struct LogControl {
    pub(super) log: Lines,
    pub(super) access: Option<Lines>,
    pub(super) access_format: AccessFormat,
    pub(super) filter: Handle<AnyFilter, Registry>,
    pub(super) foreign_dropped: Arc<AtomicU64>,
}

impl LogControl {
    /// Logs what this level says from now on; the text is that of [`LogOptions::level`](super::LogOptions::level).
    ///
    /// # Errors
    /// The level is not understood; the old one stays.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = super::filter(level, Arc::clone(&self.foreign_dropped))?;
        // It fails only once logging has ended, when nobody reads what it would have said.
        let _ = self.filter.reload(filter);
        Ok(())
    }

    /// Lets lines go to these files, which are opened anew, so that a rotated file is let go of.
    ///
    /// # Errors
    /// One cannot be opened; all lines go on to where they went.
    pub fn write_to(&self, files: LogFiles<'_>) -> Result<(), NotOurs> {
        let log = files.open_log()?;
        if let Some(access) = &self.access {
            access.redirect(files.open_access(&self.access_format)?);
        }
        self.log.redirect(log);
        Ok(())
    }
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").finish_non_exhaustive()
    }
}
