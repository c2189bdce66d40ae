//! What is wrong with a file, and what mends it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::facts::Facts;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) file: PathBuf,
    pub(super) problem: String,
    /// What mends it.
    pub(super) cure: String,
    /// Whether the file cannot be used.
    pub(super) is_fatal: bool,
}

impl Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (file, problem, cure) = (self.file.display(), &self.problem, &self.cure);
        write!(f, "{file} {problem}; expected {cure}")
    }
}

impl Flaw {
    pub(super) fn fatal(file: &Path, problem: impl Into<String>, cure: impl Into<String>) -> Flaw {
        Flaw {
            file: file.to_owned(),
            problem: problem.into(),
            cure: cure.into(),
            is_fatal: true,
        }
    }

    pub(super) fn doubt(file: &Path, problem: impl Into<String>, cure: impl Into<String>) -> Flaw {
        Flaw {
            is_fatal: false,
            ..Flaw::fatal(file, problem, cure)
        }
    }
}

/// An expired certificate.
pub(super) fn expired(file: &Path, not_after: SystemTime, now: SystemTime) -> Flaw {
    let ago = now.duration_since(not_after).unwrap_or_default();
    let cure = "a renewed certificate, or a right clock on this machine";
    Flaw::doubt(file, format!("expired {} ago", Age(ago)), cure)
}

/// Whether a certificate is too old or too new.
pub(super) fn validity(file: &Path, facts: &Facts, now: SystemTime) -> Option<Flaw> {
    if facts.not_after < now {
        return Some(expired(file, facts.not_after, now));
    }
    if facts.not_before > now {
        let left = facts.not_before.duration_since(now).unwrap_or_default();
        let problem = format!("is not valid yet, for another {}", Age(left));
        let cure = "a certificate that is valid, or a right clock on this machine";
        return Some(Flaw::doubt(file, problem, cure));
    }
    None
}

/// A duration in words.
pub(super) struct Age(pub(super) Duration);

impl Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..=60 => f.write_str("1 minute"),
            61..7_200 => write!(f, "{} minutes", seconds.div_ceil(60)),
            7_200..172_800 => write!(f, "{} hours", seconds / 3_600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_words() {
        for (seconds, words) in [
            (1, "1 minute"),
            (7_199, "120 minutes"),
            (7_200, "2 hours"),
            (3 * 86_400, "3 days"),
        ] {
            assert_eq!(Age(Duration::from_secs(seconds)).to_string(), words);
        }
        let not_after = SystemTime::UNIX_EPOCH;
        let now = not_after + Duration::from_secs(3 * 86_400);
        assert_eq!(
            expired(Path::new("x"), not_after, now).to_string(),
            "x expired 3 days ago; expected a renewed certificate, or a right clock on this machine"
        );
    }
}
