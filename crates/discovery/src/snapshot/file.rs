//! The file: one line with format, digest and length, then JSON.
//!
//! It is written beside its place, flushed to the disk and renamed, so that at every moment the place
//! holds a whole snapshot or none. Whatever the disk does to it all the same, the digest tells. Neither
//! place is written to when it holds anything that is no snapshot: see [`own_file`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use md5::{Digest, Md5};
use pailou_telemetry::own_file::{self, NotOurs, Place};
use thiserror::Error;

use super::contents::Contents;
use super::lock::Lock;

/// How the file begins; the number grows when what is in it changes its meaning.
const FORMAT: &str = "pailou-snapshot/1";
/// How a snapshot of any format begins.
const MARK: &[u8] = b"pailou-snapshot/";
/// The longest header that is looked for.
const MAX_HEADER_BYTES: usize = 128;
/// The longest snapshot that is written or read: 50,000 endpoints with a few labels are 10 MiB.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// Why a snapshot cannot be used or written.
#[derive(Debug, Error)]
pub(super) enum SnapshotError {
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    #[error(transparent)]
    Place(#[from] NotOurs),
    #[error(
        "another gateway keeps its snapshot there; give each gateway a snapshot.path of its own"
    )]
    Shared,
    #[error("everybody may write to it")]
    WorldWritable,
    #[error("{0} bytes are more than the {MAX_BYTES} that a snapshot may have")]
    TooLong(u64),
    #[error("it is of another format than {FORMAT}")]
    Foreign,
    #[error("it is torn or was changed: its digest does not fit")]
    Torn,
    #[error("its contents are not understood: {0}")]
    Contents(serde_json::Error),
    #[error("{} cannot be written: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

/// A snapshot that was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) contents: Contents<'static>,
    pub(super) digest: String,
    pub(super) bytes: u64,
    pub(super) written: SystemTime,
}

/// What came of writing.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The file has these contents already.
    Unchanged,
    /// The file has them now.
    Written { digest: String, bytes: u64 },
}

/// Looks whether a snapshot can be kept at `path`.
///
/// # Errors
/// Something that is no snapshot is there or beside it, or nothing can be written in the folder.
pub fn look_at_snapshot(path: &Path) -> Result<(), NotOurs> {
    own_file::look(path, is_ours)?;
    own_file::look(&temporary(path), is_ours)?;
    own_file::look_at_folder(path)
}

/// Reads the snapshot at `path`; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Found>, SnapshotError> {
    let Place::Ours(metadata) = own_file::look(path, is_ours)? else {
        return Ok(None);
    };
    if metadata.len() == 0 {
        return Ok(None);
    }
    if is_world_writable(&metadata) {
        return Err(SnapshotError::WorldWritable);
    }
    if metadata.len() > MAX_BYTES {
        return Err(SnapshotError::TooLong(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(SnapshotError::Read)?;
    let (digest, body) = split(&bytes)?;
    Ok(Some(Found {
        contents: serde_json::from_slice(body).map_err(SnapshotError::Contents)?,
        digest,
        bytes: bytes.len() as u64,
        written: metadata.modified().unwrap_or_else(|_| SystemTime::now()),
    }))
}

/// Removes what an earlier run left when it was killed while it wrote.
pub(super) fn tidy(path: &Path) {
    let temporary = temporary(path);
    if let Ok(Place::Ours(_)) = own_file::look(&temporary, is_ours) {
        // The next write tries again, and says what is wrong.
        let _ = fs::remove_file(temporary);
    }
}

/// Writes the snapshot, unless the file is known to have the contents with digest `present`. `lock` is held from then on.
pub(super) fn write(
    path: &Path,
    contents: &Contents<'_>,
    present: Option<&str>,
    lock: &mut Lock,
) -> Result<Outcome, SnapshotError> {
    let body = serde_json::to_vec(contents).map_err(SnapshotError::Contents)?;
    let digest = digest(&body);
    let place = own_file::look(path, is_ours)?;
    if let Place::Ours(_) = place {
        lock.take(path)?;
        if present == Some(&*digest) {
            return Ok(Outcome::Unchanged);
        }
    }
    let header = format!("{FORMAT} {digest} {}\n", body.len());
    let bytes = (header.len() + body.len()) as u64;
    if bytes > MAX_BYTES {
        return Err(SnapshotError::TooLong(bytes));
    }
    let temporary = temporary(path);
    own_file::look(&temporary, is_ours)?;
    let failed = |path: &Path, error| SnapshotError::Write {
        path: path.to_owned(),
        error,
    };
    let file = create(&temporary, header.as_bytes(), &body);
    let file = file.map_err(|error| failed(&temporary, error))?;
    // Locked before the name points to it, so that nobody finds a snapshot that nobody keeps.
    let placed = Lock::of(file).and_then(|held| {
        let renamed = fs::rename(&temporary, path).map_err(|error| failed(path, error));
        renamed.map(|()| *lock = held)
    });
    if let Err(error) = placed {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    // The name is as durable as the contents only when the folder is flushed too. Where a folder cannot
    // be opened, the old snapshot may come back after a power cut, which is no harm.
    if let Ok(folder) = File::open(own_file::folder_of(path)) {
        let _ = folder.sync_all();
    }
    Ok(Outcome::Written { digest, bytes })
}

/// Whether a file that begins so is a snapshot, of whatever format, or the beginning of one.
fn is_ours(head: &[u8]) -> bool {
    head.starts_with(MARK) || MARK.starts_with(head)
}

/// The digest and the body of a whole snapshot.
fn split(bytes: &[u8]) -> Result<(String, &[u8]), SnapshotError> {
    let head = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
    if !head.starts_with(FORMAT.as_bytes()) && !FORMAT.as_bytes().starts_with(head) {
        return Err(SnapshotError::Foreign);
    }
    let end = head.iter().position(|byte| *byte == b'\n');
    let header = end.and_then(|end| std::str::from_utf8(&head[..end]).ok());
    let Some((header, end)) = header.zip(end) else {
        return Err(SnapshotError::Torn);
    };
    let mut words = header.split(' ');
    if words.next() != Some(FORMAT) {
        return Err(SnapshotError::Foreign);
    }
    let body = &bytes[end + 1..];
    let (told, length) = (words.next(), words.next());
    let is_whole = length.and_then(|length| length.parse().ok()) == Some(body.len());
    match told {
        Some(told) if is_whole && words.next().is_none() && told == digest(body) => {
            Ok((told.to_owned(), body))
        }
        _ => Err(SnapshotError::Torn),
    }
}

/// Makes a new file that only its owner may read, and writes it through to the disk.
fn create(path: &Path, header: &[u8], body: &[u8]) -> io::Result<File> {
    // One that an earlier run left may have another owner or mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file
        .write_all(header)
        .and_then(|()| file.write_all(body))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // A disk that is full is not made fuller.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn digest(body: &[u8]) -> String {
    crate::documents::hex(Md5::new_with_prefix(body))
}

#[cfg(unix)]
fn is_world_writable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o002 != 0
}

#[cfg(not(unix))]
fn is_world_writable(_: &fs::Metadata) -> bool {
    false
}
