//! A log file: lines are added at its end, and a file that was rotated is opened anew.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::access_log::{self, AccessFormat};
use crate::own_file::{self, NotOurs, Place};

/// How often it is looked whether the file at the path is still the one that is open.
const LOOK: Duration = Duration::from_secs(1);
/// The owner writes, the group reads: an access log has addresses of clients.
const MODE: u32 = 0o640;

/// What a log has.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// The gateway's own events.
    Events,
    /// A line for each request.
    Requests(AccessFormat),
}

/// Looks whether the gateway's own events can be kept at `path`.
///
/// # Errors
/// Something that is no log of ours is there, or it cannot be written.
pub fn look_at_log(path: &Path) -> Result<(), NotOurs> {
    look(path, &Kept::Events)
}

/// Checks whether an access log of that format can be kept at `path`. A log in another format is accepted, except one that another
/// template began.
///
/// # Errors
/// Something that is no such log is there, or it cannot be written.
pub fn look_at_access_log(path: &Path, format: &AccessFormat) -> Result<(), NotOurs> {
    look(path, &Kept::Requests(format.clone()))
}

fn look(path: &Path, kept: &Kept) -> Result<(), NotOurs> {
    match own_file::look(path, |head| kept.is_ours(head))? {
        Place::Free => own_file::look_at_folder(path),
        Place::Ours(_) => OpenOptions::new()
            .append(true)
            .open(path)
            .map(drop)
            .map_err(|error| unknown(path, error)),
    }
}

/// Where lines are added. It notices a rotation by itself: a second after the file was renamed or removed, the next line goes to a
/// new file. Until that can be opened, lines go to the old one.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    kept: Kept,
    file: File,
    looked: Instant,
}

impl LogFile {
    /// Opens or makes the file at `path`.
    pub(crate) fn open(path: &Path, kept: Kept) -> Result<LogFile, NotOurs> {
        Ok(LogFile {
            path: path.to_owned(),
            file: open(path, &kept)?,
            kept,
            looked: Instant::now(),
        })
    }

    fn follow(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if !own_file::is_at(&self.file, &self.path)
                && let Ok(file) = open(&self.path, &self.kept)
            {
                self.file = file;
            }
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.follow();
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path, kept: &Kept) -> Result<File, NotOurs> {
    own_file::look(path, |head| kept.is_ours(head))?;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE);
    let file = options.open(path).map_err(|error| unknown(path, error))?;
    if own_file::is_at(&file, path) {
        Ok(file)
    } else {
        // Replaced by a link or something else in the meantime.
        let path = path.to_owned();
        Err(NotOurs::Foreign { path })
    }
}

fn unknown(path: &Path, error: io::Error) -> NotOurs {
    NotOurs::Unknown {
        path: path.to_owned(),
        error,
    }
}

impl Kept {
    /// Whether a file that begins so is such a log. Events and requests begin alike, except in the formats that only the access log has.
    fn is_ours(&self, head: &[u8]) -> bool {
        match self {
            Kept::Events => access_log::begins_with_time(head),
            Kept::Requests(format) => access_log::is_ours(format, head),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_log_is_told_by_how_its_first_line_begins() {
        for (head, expected) in [
            ("{\"timestamp\":\"2026-11-29T06:35:12Z\"", true),
            ("{\"time", true),
            ("2026-11-29T06:35:12.123Z  INFO", true),
            ("routes: {}\n", false),
            ("{\"services\":", false),
            ("2026-11-29 06:35:12", false),
            ("2026", false),
            ("pailou-snapshot/1", false),
        ] {
            assert_eq!(Kept::Events.is_ours(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn a_rotated_log_goes_on_in_a_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, rotated) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut log = LogFile::open(&path, Kept::Events).expect("a log");
        log.write_all(b"2026-01-01T00:00:00Z one\n")
            .expect("written");
        fs::rename(&path, &rotated).expect("renamed");
        log.write_all(b"2026-01-01T00:00:00Z two\n")
            .expect("written");
        log.looked = Instant::now().checked_sub(LOOK).expect("a time");
        log.write_all(b"2026-01-01T00:00:00Z three\n")
            .expect("written");
        let text = |path: &Path| fs::read_to_string(path).expect("a file");
        assert!(text(&rotated).ends_with("two\n"));
        assert!(text(&path).ends_with("three\n") && !text(&path).contains("two"));

        // A file of another program in its place is not touched.
        fs::rename(&path, &rotated).expect("renamed");
        fs::write(&path, "routes: {}\n").expect("a file");
        log.looked = Instant::now().checked_sub(LOOK).expect("a time");
        log.write_all(b"2026-01-01T00:00:00Z four\n")
            .expect("written");
        assert_eq!(text(&path), "routes: {}\n");
        assert!(text(&rotated).ends_with("four\n"));
    }

    #[test]
    fn a_log_is_added_to_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        assert!(look_at_log(&path).is_ok());
        assert!(!path.exists(), "to look makes nothing");
        for _ in 0..2 {
            let mut log = LogFile::open(&path, Kept::Events).expect("a log");
            log.write_all(b"2026-01-01T00:00:00Z one\n")
                .expect("written");
            assert!(look_at_log(&path).is_ok());
        }
        assert_eq!(
            fs::read_to_string(&path).expect("a file").lines().count(),
            2
        );
        fs::write(&path, "routes: {}\n").expect("a file");
        assert!(look_at_log(&path).is_err() && LogFile::open(&path, Kept::Events).is_err());
        assert!(look_at_log(&folder.path().join("nowhere/log")).is_err());
    }
}
