//! The signals that end a process in order.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT and returns its name. A signal is caught from the call on, not from the first poll on.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn stop() -> impl Future<Output = &'static str> {
    let mut terminate = signal(SignalKind::terminate()).expect("a handler for SIGTERM can be set");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a handler for SIGINT can be set");
    async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    }
}
