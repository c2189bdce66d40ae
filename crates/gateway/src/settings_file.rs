//! Which file the settings are read from.

use std::path::{Path, PathBuf};

/// What is read when no file is named.
const USUAL: &str = "gateway.yaml";

/// The file that is named, or `gateway.yaml` of the working folder if there is one. Without either the settings are the defaults
/// and the environment's.
pub(crate) fn find(named: Option<&Path>) -> Option<PathBuf> {
    named.map(Path::to_owned).or_else(|| {
        let usual = Path::new(USUAL);
        usual.exists().then(|| usual.to_owned())
    })
}
