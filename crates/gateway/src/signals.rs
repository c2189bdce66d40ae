//! Signals: those that end the process in order, and those that a running gateway obeys.
//!
//! Other signals that people send by habit must not end it: USR2 and ALRM are caught and do nothing.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The number of SIGHUP, on every system.
const HANGUP: u32 = 1;

/// Waits for SIGTERM, SIGINT or SIGQUIT, and returns its name. A signal is caught from the call on, not from the first poll on.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn stop() -> impl Future<Output = &'static str> {
    let mut terminate = caught(SignalKind::terminate());
    let mut interrupt = caught(SignalKind::interrupt());
    let mut quit = caught(SignalKind::quit());
    async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = quit.recv() => "SIGQUIT",
        }
    }
}

/// The same, and SIGHUP: what runs in a terminal and has nothing to read anew ends with the terminal, unless it was started
/// with `nohup`.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn stop_or_hangup() -> impl Future<Output = &'static str> {
    let stop = stop();
    let hangup = hangup();
    async move {
        tokio::select! {
            signal = stop => signal,
            () = next(hangup) => "SIGHUP",
        }
    }
}

/// What a signal asks of a gateway that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGHUP: read the settings again.
    Reload,
    /// SIGUSR1: open the log files again.
    Reopen,
}

/// The orders as they come.
pub(crate) struct Orders {
    hangup: Option<Signal>,
    reopen: Signal,
    /// Held so that they are caught; nobody asks whether they came.
    _ignored: [Signal; 2],
}

impl Orders {
    /// Catches the signals from now on.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn new() -> Orders {
        Orders {
            hangup: hangup(),
            reopen: caught(SignalKind::user_defined1()),
            _ignored: [
                caught(SignalKind::user_defined2()),
                caught(SignalKind::alarm()),
            ],
        }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            () = next(self.hangup.as_mut()) => Order::Reload,
            _ = self.reopen.recv() => Order::Reopen,
        }
    }
}

async fn next(signal: Option<impl std::borrow::BorrowMut<Signal>>) {
    match signal {
        Some(mut signal) => {
            signal.borrow_mut().recv().await;
        }
        None => std::future::pending().await,
    }
}

/// SIGHUP, unless whoever started the process had it ignored, as `nohup` does.
fn hangup() -> Option<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (!is_ignored(&status, HANGUP)).then(|| caught(SignalKind::hangup()))
}

/// Whether a process of this status ignores the signal. Where a system has no such text, none is.
fn is_ignored(status: &str, signal: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn caught(kind: SignalKind) -> Signal {
    signal(kind).expect("a handler for a signal that ends processes can be set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_is_found_in_the_status() {
        for (status, ignored) in [
            (
                "Name:\tpailou\nSigIgn:\t0000000000001001\nSigCgt:\t0\n",
                true,
            ),
            ("SigIgn:\t0000000000001000\n", false),
            ("SigCgt:\t0000000000000001\n", false),
            ("SigIgn:\tnonsense\n", false),
            ("", false),
        ] {
            assert_eq!(is_ignored(status, HANGUP), ignored, "{status}");
        }
    }
}
