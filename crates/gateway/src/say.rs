//! Standard output and standard error, for text that a person reads.
//!
//! `print!` panics when the reader is gone, as in `pailou check … | head -1`. A reader may close the pipe, so that is no
//! fault here. A full disk is.

use std::io::{self, ErrorKind, Write};

/// Writes to standard output.
///
/// # Errors
/// It cannot be written to, for another reason than a reader that has gone.
pub(crate) fn out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Writes a line to standard error. If that is closed, the line is lost.
pub(crate) fn err(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
