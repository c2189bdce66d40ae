//! The file: one line with format, digest and length, then JSON.
//!
//! It is written beside its place, flushed to the disk and renamed, so that at every moment the place
//! holds a whole snapshot or none. Whatever the disk does to it all the same, the digest tells.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use md5::{Digest, Md5};
use thiserror::Error;

use super::contents::Contents;

/// How the file begins; the number grows when what is in it changes its meaning.
const FORMAT: &str = "pailou-snapshot/1";
/// The longest header that is looked for.
const MAX_HEADER_BYTES: usize = 128;
/// The longest snapshot that is written or read: 50,000 endpoints with a few labels are 10 MiB.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// Why a snapshot cannot be used or written.
#[derive(Debug, Error)]
pub(super) enum SnapshotError {
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    #[error("it is no file")]
    NoFile,
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

/// Reads the snapshot at `path`; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Found>, SnapshotError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SnapshotError::Read(error)),
        Ok(metadata) => metadata,
    };
    if !metadata.is_file() {
        return Err(SnapshotError::NoFile);
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

/// Writes the snapshot, unless the file is known to have the contents with digest `present`.
pub(super) fn write(
    path: &Path,
    contents: &Contents<'_>,
    present: Option<&str>,
) -> Result<Outcome, SnapshotError> {
    let body = serde_json::to_vec(contents).map_err(SnapshotError::Contents)?;
    let digest = digest(&body);
    if present == Some(&*digest) && path.exists() {
        return Ok(Outcome::Unchanged);
    }
    let header = format!("{FORMAT} {digest} {}\n", body.len());
    let bytes = (header.len() + body.len()) as u64;
    if bytes > MAX_BYTES {
        return Err(SnapshotError::TooLong(bytes));
    }
    let temporary = temporary(path);
    let failed = |path: &Path, error| SnapshotError::Write {
        path: path.to_owned(),
        error,
    };
    create(&temporary, header.as_bytes(), &body).map_err(|error| failed(&temporary, error))?;
    fs::rename(&temporary, path).map_err(|error| failed(path, error))?;
    // The name is as durable as the contents only when the folder is flushed too. Where a folder cannot
    // be opened, the old snapshot may come back after a power cut, which is no harm.
    if let Ok(folder) = File::open(folder(path)) {
        let _ = folder.sync_all();
    }
    Ok(Outcome::Written { digest, bytes })
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
fn create(path: &Path, header: &[u8], body: &[u8]) -> io::Result<()> {
    // One that an earlier run left may have another owner or mode, or be a link to somewhere else.
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
    if written.is_err() {
        // A disk that is full is not made fuller.
        let _ = fs::remove_file(path);
    }
    written
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
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
