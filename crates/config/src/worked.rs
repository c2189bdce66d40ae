//! How much tests have worked, which is not how long they took: a busy machine may let them wait for minutes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has worked so far.
pub(crate) fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it counts from zero")
}
