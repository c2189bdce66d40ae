//! Something that is read from files: what is in use, and why the newest is not.

use pailou_telemetry::Metrics;
use pailou_telemetry::events::CertificateRefused;

use super::flaw::Flaw;

/// Something that is read from files, and in use.
#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) used: T,
    /// What the files held when they were looked at last, in short.
    pub(super) seen: u64,
    pub(super) trouble: Option<Trouble>,
}

/// Why what was seen last is not used.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) flaw: Flaw,
    /// How often it was seen.
    looks: u64,
}

/// A certificate and its key are not always replaced in one step, so a flaw that
/// only one look has seen is not reported.
const TOLD_AT_LOOK: u64 = 2;

impl Trouble {
    pub(super) fn new(flaw: Flaw) -> Trouble {
        Trouble { flaw, looks: 0 }
    }

    /// What keeps files from being used: the first of their flaws that does.
    pub(super) fn of(flaws: Vec<Flaw>) -> Option<Trouble> {
        let flaw = flaws.into_iter().find(|flaw| flaw.is_fatal)?;
        Some(Trouble::new(flaw))
    }
}

impl<T> Slot<T> {
    pub(super) fn new(used: T, seen: u64) -> Slot<T> {
        Slot {
            used,
            seen,
            trouble: None,
        }
    }

    /// Uses what was seen.
    pub(super) fn take(&mut self, used: T) {
        self.used = used;
        self.trouble = None;
    }

    /// Tells of a flaw that is there at the second look, or at once.
    pub(super) fn tell(&mut self, metrics: &Metrics, at_once: bool) {
        let Some(trouble) = &mut self.trouble else {
            return;
        };
        trouble.looks += 1;
        if trouble.looks == TOLD_AT_LOOK || at_once {
            trouble.looks = trouble.looks.max(TOLD_AT_LOOK);
            CertificateRefused {
                file: &trouble.flaw.file.display().to_string(),
                error: &trouble.flaw.problem,
                cure: &trouble.flaw.cure,
            }
            .record(metrics);
        }
    }
}
