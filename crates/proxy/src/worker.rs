//! Which worker thread this is, for values that are kept for each.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A number for the thread; the first ones are counted from 0.
pub(crate) fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Relaxed);
    }
    OWN.with(|own| *own)
}
