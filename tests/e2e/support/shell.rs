//! A person at a shell: commands run exactly as they are printed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::gateway::binary;

/// What a command wrote, and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) success: bool,
}

/// The usual places, after that of the binary, which a person has installed.
fn path() -> std::ffi::OsString {
    let own = Path::new(binary()).parent().expect("a folder").to_owned();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(own).chain(std::env::split_paths(&usual));
    std::env::join_paths(places).expect("names without colons")
}

/// Runs a command in `sh`, as somebody would who pastes it.
pub(crate) fn sh(command: &str, folder: &Path) -> Said {
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(folder)
        .env("PATH", path())
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        !err.contains("curl: not found") && !err.contains("curl: command not found"),
        "the printed commands need curl: apt install curl (make test checks for it)"
    );
    assert!(err.is_empty(), "{command}\nwrote to standard error: {err}");
    Said {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        success: output.status.success(),
    }
}
