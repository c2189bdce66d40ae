//! The files that the gateway writes: whether each may be written where the settings say, before anything is started.

use std::path::{Path, PathBuf};

use pailou_config::{Fault, LoadedSettings};
use pailou_discovery::look_at_snapshot;
use pailou_telemetry::own_file::{NotOurs, folder_of};
use pailou_telemetry::{look_at_access_log, look_at_log};

use crate::access_log;

const CURE: &str =
    "a path that nothing else uses, in a folder that the gateway may write to, or `off`";

/// Every file that cannot be written, or that is something else as well. `file` is where the settings come from.
pub(crate) fn faults(loaded: &LoadedSettings, file: Option<&Path>) -> Vec<Fault> {
    let settings = &loaded.settings;
    let mut taken: Vec<(String, PathBuf)> = Vec::new();
    taken.extend(file.map(|file| ("the file of these settings".to_owned(), identity(file))));
    let read = settings.files_read().into_iter();
    taken.extend(read.map(|(setting, file)| (setting, identity(file))));
    let mut faults = Vec::new();
    for (setting, path) in settings.files_written() {
        let place = identity(path);
        let other = taken.iter().find(|(_, other)| *other == place);
        let problem = match other {
            Some((other, _)) => Some(format!("{} is also {other}", path.display())),
            None => look(loaded, setting, path)
                .err()
                .map(|refusal| refusal.to_string()),
        };
        faults.extend(problem.map(|problem| loaded.fault(setting, problem, CURE)));
        taken.push((setting.to_owned(), place));
    }
    faults
}

fn look(loaded: &LoadedSettings, setting: &str, path: &Path) -> Result<(), NotOurs> {
    match setting {
        "log.file" => look_at_log(path),
        // A template that is wrong is a fault of its own.
        "log.access_file" => {
            let format = access_log::format(&loaded.settings.log);
            look_at_access_log(path, &format.unwrap_or_default())
        }
        _ => look_at_snapshot(path),
    }
}

/// The same for every way to write a path, also of a file that is not there yet.
fn identity(path: &Path) -> PathBuf {
    let of_folder = || {
        let folder = folder_of(path).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    path.canonicalize()
        .ok()
        .or_else(of_folder)
        .unwrap_or_else(|| path.to_owned())
}
