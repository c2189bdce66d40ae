//! The signals that end a process in order.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for one of the signals that ask a process to end, and returns its name. A signal is caught from the call on, not from the
/// first poll on.
///
/// SIGHUP and SIGQUIT are among them: left alone they end a process at once. A supervisor starts it anew, which is how new settings
/// come into force; routes need no signal.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn stop() -> impl Future<Output = &'static str> {
    let mut terminate = caught(SignalKind::terminate());
    let mut interrupt = caught(SignalKind::interrupt());
    let mut hangup = caught(SignalKind::hangup());
    let mut quit = caught(SignalKind::quit());
    async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => "SIGHUP",
            _ = quit.recv() => "SIGQUIT",
        }
    }
}

fn caught(kind: SignalKind) -> Signal {
    signal(kind).expect("a handler for a signal that ends processes can be set")
}
