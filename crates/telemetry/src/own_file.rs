//! Which places the gateway may write to, so that a wrong setting does not cost an operator a file.
//!
//! A place is ours when nothing is there, or a regular file that is empty or begins as our own files of that kind do.
//! The gateway never writes to a link, a folder, a FIFO, a socket, a device or a file of another program.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// How much of a file is read to see whether it is ours.
const HEAD_BYTES: u64 = 64;

/// Why a place is not written to.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Something that is no regular file is there.
    #[error("{} is {kind}, and only a regular file is written to", path.display())]
    Kind {
        /// The place.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A file of somebody else's is there.
    #[error("{} holds something else, which is not overwritten", path.display())]
    Foreign {
        /// The place.
        path: PathBuf,
    },
    /// The folder is not there, or nothing may be made in it.
    #[error("nothing can be written in the folder {}: {error}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It cannot be found out what is there.
    #[error("{} cannot be looked at: {error}", path.display())]
    Unknown {
        /// The place.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What is at a place that may be written to.
#[derive(Debug)]
pub enum Place {
    /// Nothing.
    Free,
    /// An empty file, or one of ours.
    Ours(Metadata),
}

/// Looks whether `path` may be written to. `is_ours` says of the first 64 bytes of a file, or of all of a shorter one,
/// whether it is one of ours; it is not asked about an empty file.
///
/// # Errors
/// Something of somebody else's is there, or it cannot be told what.
pub fn look(path: &Path, is_ours: impl FnOnce(&[u8]) -> bool) -> Result<Place, NotOurs> {
    let unknown = |error| NotOurs::Unknown {
        path: path.to_owned(),
        error,
    };
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        Err(error) => return Err(unknown(error)),
        Ok(metadata) => metadata,
    };
    if let Some(kind) = kind(metadata.file_type()) {
        let path = path.to_owned();
        return Err(NotOurs::Kind { path, kind });
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head))
        .map_err(unknown)?;
    if head.is_empty() || is_ours(&head) {
        Ok(Place::Ours(metadata))
    } else {
        let path = path.to_owned();
        Err(NotOurs::Foreign { path })
    }
}

/// Looks whether files can be made in the folder of `path`.
///
/// # Errors
/// The folder is not there, is none, or may not be written to.
pub fn look_at_folder(path: &Path) -> Result<(), NotOurs> {
    let folder = folder_of(path);
    let refused = |error: io::Error| NotOurs::Folder {
        folder: folder.to_owned(),
        error,
    };
    if !fs::metadata(folder).map_err(refused)?.is_dir() {
        return Err(refused(io::ErrorKind::NotADirectory.into()));
    }
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, folder, wanted, AtFlags::EACCESS).map_err(|error| refused(error.into()))
}

/// Whether `path` is a name of this very file.
pub fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => identity(&held) == identity(&named),
        _ => false,
    }
}

/// The folder that `path` is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str() != OsStr::new("") => folder,
        _ => Path::new("."),
    }
}

/// What it is, unless a regular file.
fn kind(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() {
        None
    } else if file_type.is_symlink() {
        Some("a symbolic link")
    } else if file_type.is_dir() {
        Some("a folder")
    } else if file_type.is_fifo() {
        Some("a FIFO")
    } else if file_type.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &Path) -> String {
        let looked = look(path, |head| head.starts_with(b"ours"));
        looked.map_or_else(|refusal| refusal.to_string(), |_| "fine".to_owned())
    }

    #[test]
    fn only_nothing_an_empty_file_and_our_own_are_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("empty", ""),
            ("ours", "ours/1\n"),
            ("theirs", "routes: {}"),
        ] {
            fs::write(place(name), text).expect("a file");
        }
        fs::create_dir(place("folder")).expect("a folder");
        std::os::unix::fs::symlink(place("ours"), place("link")).expect("a link");
        std::os::unix::fs::symlink(place("none"), place("dangling")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(place("socket")).expect("a socket");
        let made = std::process::Command::new("mkfifo")
            .arg(place("fifo"))
            .status();
        assert!(made.expect("mkfifo runs").success());
        for (name, expected) in [
            ("none", "fine"),
            ("empty", "fine"),
            ("ours", "fine"),
            ("theirs", "holds something else"),
            ("folder", "a folder"),
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("socket", "a socket"),
            ("fifo", "a FIFO"),
        ] {
            let said = said(&place(name));
            assert!(said.contains(expected), "{name}: {said}");
        }
        assert!(said(Path::new("/dev/null")).contains("a device"));
    }

    #[test]
    fn a_folder_that_takes_nothing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        assert!(look_at_folder(&file).is_ok());
        assert!(look_at_folder(Path::new("here")).is_ok());
        for place in [file.join("x"), folder.path().join("nowhere/x")] {
            let refusal = look_at_folder(&place).expect_err("no folder to write in");
            let name = folder_of(&place).display().to_string();
            assert!(refusal.to_string().contains(&name), "{refusal}");
        }
    }
}
