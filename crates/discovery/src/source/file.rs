//! A route document in a watched file.
//!
//! The file is polled: that works on every file system, through symbolic links (a Kubernetes config map
//! changes by one) and across atomic renames, and one `stat` per quarter of a second costs nothing.

use std::future::Future;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pailou_config::MAX_DOCUMENT_BYTES;

use super::{Outlet, Source, SourceState};

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(250);
/// How long a changed file must rest before it is taken: half of a file that is being written may be a
/// legal document with half of the routes.
const REST: Duration = Duration::from_millis(30);
/// A file that was changed this recently may change again without its timestamp moving, so its content
/// is compared instead.
const YOUNG: Duration = Duration::from_secs(2);

/// Watches one file.
#[derive(Debug)]
pub(crate) struct FileSource {
    path: PathBuf,
}

impl FileSource {
    /// Watches `path`, which need not exist.
    pub(crate) fn new(path: impl Into<PathBuf>) -> FileSource {
        FileSource { path: path.into() }
    }
}

impl Source for FileSource {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn run(self: Arc<Self>, outlet: Outlet) -> Pin<Box<dyn Future<Output = String> + Send>> {
        Box::pin(async move {
            let mut taken = None;
            loop {
                let (stamp, state) = match self.look(taken.clone()).await {
                    Ok(Look::Same) => {
                        tokio::time::sleep(POLL).await;
                        continue;
                    }
                    Ok(Look::Restless) => {
                        tokio::time::sleep(REST).await;
                        continue;
                    }
                    Ok(Look::Changed(stamp, state)) => (stamp, state),
                    Err(error) => return error,
                };
                if stamp.as_ref().is_some_and(Stamp::is_young) && stamp != taken {
                    tokio::time::sleep(REST).await;
                    if self.stamp().await != stamp {
                        continue;
                    }
                }
                taken = stamp;
                outlet.put(state);
                tokio::time::sleep(POLL).await;
            }
        })
    }
}

impl FileSource {
    async fn look(&self, known: Option<Stamp>) -> Result<Look, String> {
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || look(&path, known.as_ref()));
        looked.await.map_err(|error| error.to_string())
    }

    async fn stamp(&self) -> Option<Stamp> {
        let metadata = tokio::fs::metadata(&self.path).await.ok()?;
        Stamp::of(&metadata).ok()
    }
}

/// What tells one version of a file from another without reading it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> std::io::Result<Stamp> {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Stamp {
            modified: metadata.modified()?,
            bytes: metadata.len(),
            inode,
        })
    }

    fn is_young(&self) -> bool {
        // A timestamp in the future has no age: look again until the clock has passed it.
        self.modified.elapsed().map_or(true, |age| age < YOUNG)
    }
}

enum Look {
    Same,
    /// It changed while it was read.
    Restless,
    /// No stamp: nothing to compare with next time.
    Changed(Option<Stamp>, SourceState),
}

fn look(path: &Path, known: Option<&Stamp>) -> Look {
    match read(path, known) {
        Ok(look) => look,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Look::Changed(None, SourceState::Missing)
        }
        Err(error) => Look::Changed(None, SourceState::Unreadable(error.to_string())),
    }
}

fn read(path: &Path, known: Option<&Stamp>) -> std::io::Result<Look> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        let reason = "not a regular file".to_owned();
        return Ok(Look::Changed(None, SourceState::Unreadable(reason)));
    }
    let before = Stamp::of(&metadata)?;
    if known == Some(&before) && !before.is_young() {
        return Ok(Look::Same);
    }
    if before.bytes > MAX_DOCUMENT_BYTES as u64 {
        let reason = format!(
            "{} bytes; a route document may have {MAX_DOCUMENT_BYTES}",
            before.bytes
        );
        return Ok(Look::Changed(Some(before), SourceState::Unreadable(reason)));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_DOCUMENT_BYTES as u64)
        .read_to_end(&mut bytes)?;
    if Stamp::of(&std::fs::metadata(path)?)? != before {
        return Ok(Look::Restless);
    }
    let state = match String::from_utf8(bytes) {
        Ok(text) => SourceState::Text(text.into()),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            SourceState::Unreadable(format!("not UTF-8 at byte {at}"))
        }
    };
    Ok(Look::Changed(Some(before), state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Inbox;

    struct Watched {
        folder: tempfile::TempDir,
        inbox: Arc<Inbox>,
        task: tokio::task::JoinHandle<String>,
    }

    impl Watched {
        fn start() -> Watched {
            let folder = tempfile::tempdir().expect("a folder");
            let inbox = Inbox::new(1);
            let source = Arc::new(FileSource::new(folder.path().join("routes.yaml")));
            let task = tokio::spawn(source.run(inbox.outlet(0)));
            Watched {
                folder,
                inbox,
                task,
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("routes.yaml")
        }

        async fn next(&self) -> SourceState {
            let wait = async {
                loop {
                    self.inbox.changed().await;
                    if let Some((_, state)) = self.inbox.take().pop() {
                        return state;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), wait)
                .await
                .expect("a state within ten seconds")
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    fn write(path: &Path, content: impl AsRef<[u8]>) {
        std::fs::write(path, content).expect("a written file");
    }

    #[tokio::test]
    async fn edits_that_leave_the_stamp_alone_are_seen() {
        let watched = Watched::start();
        assert_eq!(watched.next().await, SourceState::Missing);
        for round in 0..5 {
            let text = format!("text {round}");
            write(&watched.path(), &text);
            assert_eq!(watched.next().await, SourceState::Text(text.into()));
        }
    }

    #[tokio::test]
    async fn a_file_that_is_renamed_into_place_is_seen() {
        let watched = Watched::start();
        assert_eq!(watched.next().await, SourceState::Missing);
        for text in ["one", "two"] {
            let other = watched.folder.path().join("routes.yaml.tmp");
            write(&other, text);
            std::fs::rename(&other, watched.path()).expect("a renamed file");
            assert_eq!(watched.next().await, SourceState::Text(text.into()));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_a_document_is_unreadable_with_a_reason() {
        let watched = Watched::start();
        assert_eq!(watched.next().await, SourceState::Missing);
        write(&watched.path(), b"routes: \xff");
        let SourceState::Unreadable(reason) = watched.next().await else {
            panic!("not UTF-8 is not a text");
        };
        assert_eq!(reason, "not UTF-8 at byte 8");
        write(&watched.path(), vec![b'#'; 5 * 1024 * 1024]);
        let SourceState::Unreadable(reason) = watched.next().await else {
            panic!("5 MiB are not a document");
        };
        assert!(reason.starts_with("5242880 bytes"), "{reason}");
        std::fs::remove_file(watched.path()).expect("a removed file");
        std::fs::create_dir(watched.path()).expect("a folder");
        assert!(matches!(watched.next().await, SourceState::Unreadable(_)));
    }
}
