//! What other crates may log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};

/// A target that logs each refused connection to an endpoint as an error. The gateway logs and counts refusals itself, and goes on
/// to another endpoint.
const TOLD_BY_US: &str = "pingora_core::connectors";

/// The most lines a second of all foreign targets together.
const LINES_PER_SECOND: u64 = 50;

/// Limits other crates to INFO and above, and to a rate. Targets of this workspace are not limited.
#[derive(Debug)]
pub(super) struct Foreign {
    start: Instant,
    /// The present second since the start, and how many lines it has had: two halves of one word.
    second: AtomicU64,
    dropped: Arc<AtomicU64>,
}

impl Foreign {
    /// Lines beyond the rate are counted in `dropped`.
    pub(super) fn new(dropped: Arc<AtomicU64>) -> Foreign {
        Foreign {
            start: Instant::now(),
            second: AtomicU64::new(0),
            dropped,
        }
    }

    fn has_room(&self) -> bool {
        let now = self.start.elapsed().as_secs() << 32;
        let count = |word: u64| {
            if word & !u64::from(u32::MAX) == now {
                Some(word + 1)
            } else {
                Some(now + 1)
            }
        };
        let before = self
            .second
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        let word = before.unwrap_or_else(|word| word);
        let is_same_second = word & !u64::from(u32::MAX) == now;
        !is_same_second || word & u64::from(u32::MAX) < LINES_PER_SECOND
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("pailou")
}

fn is_quiet_enough(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO && !metadata.target().starts_with(TOLD_BY_US)
}

impl<S: Subscriber> Filter<S> for Foreign {
    /// The rate is kept here, although a line that comes through the `log` crate asks twice and so counts twice: a filter that refuses in
    /// `event_enabled` leaves its mark on the next event of the thread (tracing-subscriber 0.3.23).
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        if is_ours(metadata) {
            return true;
        }
        if !is_quiet_enough(metadata) {
            return false;
        }
        let has_room = self.has_room();
        if !has_room {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) {
            Interest::always()
        } else if is_quiet_enough(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    /// Without this hint the whole set-up counts as wanting TRACE. Each DEBUG line of pingora, through the `log` crate, would be formatted
    /// before it is refused, which costs a tenth of a request's instructions.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}
