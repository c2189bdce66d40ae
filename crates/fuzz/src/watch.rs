//! Inputs that take too long: a check that never returns cannot be ended, so the process is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the thread looks.
const LOOK: Duration = Duration::from_millis(200);

/// Looks at how long the present input takes, from a thread of its own, for as long as it lives.
pub(crate) struct Watch(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    input: Vec<u8>,
    since: Option<Instant>,
    is_over: bool,
}

impl Watch {
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own, for an input that never comes back: there is nobody to return to"
    )]
    pub(crate) fn start(name: &'static str, limit: Duration) -> Watch {
        let state = Arc::new(Mutex::new(State::default()));
        let watched = Arc::clone(&state);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(LOOK);
                let state = watched.lock().unwrap_or_else(PoisonError::into_inner);
                if state.is_over {
                    return;
                }
                if state.since.is_some_and(|since| since.elapsed() > limit) {
                    eprintln!(
                        "fuzz {name} failed: an input takes longer than {limit:?}\n  input: b\"{}\"\n  kept in {}",
                        state.input.escape_ascii(),
                        crate::keep(name, &state.input).display(),
                    );
                    std::process::exit(101);
                }
            }
        });
        Watch(state)
    }

    /// An input is about to be checked.
    pub(crate) fn begin(&self, input: &[u8]) {
        let mut state = self.state();
        state.input.clear();
        state.input.extend_from_slice(input);
        state.since = Some(Instant::now());
    }

    /// It was checked.
    pub(crate) fn end(&self) {
        self.state().since = None;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.state().is_over = true;
    }
}
