//! Counts that several threads write without getting into each other's way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More threads than these share what they write.
const SHARDS: usize = 8;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The shard of this thread: threads take them in turn.
    static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// One `T` for each thread that writes, made when it writes first.
#[derive(Debug)]
pub(crate) struct Sharded<T>([OnceLock<Box<Padded<T>>>; SHARDS]);

/// Alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Padded<T>(T);

impl<T> Default for Sharded<T> {
    fn default() -> Sharded<T> {
        Sharded(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl<T: Default> Sharded<T> {
    /// The calling thread's.
    pub(crate) fn own(&self) -> &T {
        // A thread that ends has lost its shard already. Any shard will do for its last counts.
        let at = OWN.try_with(|at| *at).unwrap_or_default();
        &self.0[at].get_or_init(Box::default).0
    }

    /// Those that have been written.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get).map(|it| &it.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn what_threads_count_comes_together() {
        let counts = Sharded::<AtomicU64>::default();
        assert_eq!(counts.all().count(), 0);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counts.own().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let sum: u64 = counts
            .all()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        assert_eq!(sum, 20_000);
        assert!(counts.all().count() > 1);
    }
}
