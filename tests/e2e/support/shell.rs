//! A person at a shell: commands run exactly as they are printed.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a command wrote, and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) success: bool,
}

/// Runs a command in `sh`, as somebody would who pastes it.
pub(crate) fn sh(command: &str, folder: &Path) -> Said {
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(folder)
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
