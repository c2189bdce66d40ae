//! How many requests may be under way, by how the time to an answer changes: `Gradient2` of Netflix's concurrency-limits.
//!
//! The time of late is held against its long average. While it is no longer than that (times a tolerance), nothing queues, and the number
//! grows by the queue that is allowed. When it is longer, the number falls in proportion. So no target is needed, and a service that
//! becomes slower or faster for good is followed. Answers are judged by windows, of 100 ms to 1 s and at least ten answers, since a
//! single one says little; Netflix does the same (`WindowedLimit`).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A window has at least so many answers.
const LEAST_ANSWERS: u64 = 10;
/// And lasts twice as long as an answer takes, within these bounds, in microseconds.
const SHORTEST_US: u64 = 100_000;
const LONGEST_US: u64 = 1_000_000;
/// The long average is over so long, in seconds: in less time it would take a queue that stands for what is usual. Netflix's is over
/// 600 windows of a second. The first few windows count as much as each other.
const LONG_SECONDS: f64 = 600.0;
const FIRST_WINDOWS: u32 = 10;
/// A single bad window takes no more than so much of the number before it is smoothed.
const STEEPEST: f64 = 0.5;
/// The bits of a window's sum of microseconds; the others count its answers.
const SUM_BITS: u32 = 44;
const LONGEST_ANSWER_US: u64 = 1 << 32;

/// What can be set of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GradientSettings {
    /// So many times the long average is no sign of a queue yet: 1 or more.
    pub(crate) tolerance: f64,
    /// The share that a window has in the next number: above 0, to 1.
    pub(crate) smoothing: f64,
    /// So many requests may queue: the number grows by as many in a window without queue.
    pub(crate) queue: u32,
}

/// A window that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// The mean time to an answer, in microseconds.
    mean_us: f64,
    /// How long it was, at most a second.
    seconds: f64,
}

/// The answers of late, and the long average.
#[derive(Debug)]
pub(crate) struct Gradient {
    settings: GradientSettings,
    /// The answers of the window and the sum of their times.
    window: AtomicU64,
    /// When it began and ends, in microseconds since the beginning.
    began_at: AtomicU64,
    ends_at: AtomicU64,
    /// In microseconds, as the bits of an `f64`; 0 before the first window.
    long: AtomicU64,
    windows: AtomicU32,
}

impl Gradient {
    pub(crate) fn new(settings: GradientSettings) -> Gradient {
        Gradient {
            settings,
            window: AtomicU64::new(0),
            began_at: AtomicU64::new(0),
            ends_at: AtomicU64::new(SHORTEST_US),
            long: AtomicU64::new(0),
            windows: AtomicU32::new(0),
        }
    }

    /// The long average; zero before the first window.
    pub(crate) fn long(&self) -> Duration {
        Duration::from_micros(self.long_us() as u64)
    }

    /// Takes the time of an answer that came at `now_us`. Returns the window if this is its last one.
    ///
    /// Costs one atomic addition, but for the last answer of a window.
    pub(crate) fn answered(&self, time: Duration, now_us: u64) -> Option<Window> {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let one = 1 << SUM_BITS | time.clamp(1, LONGEST_ANSWER_US);
        let window = self.window.fetch_add(one, Relaxed).wrapping_add(one);
        let ends_at = self.ends_at.load(Relaxed);
        if now_us < ends_at || window >> SUM_BITS < LEAST_ANSWERS {
            return None;
        }
        let mean = mean_of(window);
        let next = now_us + ((2.0 * mean) as u64).clamp(SHORTEST_US, LONGEST_US);
        let is_last = self
            .ends_at
            .compare_exchange(ends_at, next, Relaxed, Relaxed);
        is_last.ok()?;
        let began_at = self.began_at.swap(now_us, Relaxed);
        let length = now_us.saturating_sub(began_at).min(LONGEST_US);
        Some(Window {
            // Answers that came meanwhile go into the mean as well.
            mean_us: mean_of(self.window.swap(0, Relaxed)),
            seconds: length as f64 / 1e6,
        })
    }

    /// The number of places after a window, from the number before. `is_used`: at least half of the places were taken,
    /// or there is nothing to learn but the time.
    pub(crate) fn judge(&self, window: Window, places: f64, is_used: bool) -> f64 {
        let long = self.average(window);
        if !is_used {
            return places;
        }
        let slope = (self.settings.tolerance * long / window.mean_us).clamp(STEEPEST, 1.0);
        let wanted = places * slope + f64::from(self.settings.queue);
        let smoothing = self.settings.smoothing;
        places * (1.0 - smoothing) + wanted * smoothing
    }

    /// The long average with another window in it.
    fn average(&self, window: Window) -> f64 {
        let before = self.windows.load(Relaxed);
        self.windows.store(before.saturating_add(1), Relaxed);
        let share = match before < FIRST_WINDOWS {
            true => 1.0 / f64::from(before + 1),
            false => 2.0 * window.seconds / LONG_SECONDS,
        };
        let mut long = self.long_us() * (1.0 - share) + window.mean_us * share;
        // After a bad time the average is far too long, and would let queues grow. It is forgotten faster.
        if long > 2.0 * window.mean_us {
            long *= 0.95;
        }
        self.long.store(long.to_bits(), Relaxed);
        long
    }

    fn long_us(&self) -> f64 {
        f64::from_bits(self.long.load(Relaxed))
    }
}

fn mean_of(window: u64) -> f64 {
    let (count, sum) = (window >> SUM_BITS, window & ((1 << SUM_BITS) - 1));
    sum as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    const SETTINGS: GradientSettings = GradientSettings {
        tolerance: 1.5,
        smoothing: 0.2,
        queue: 4,
    };
    const MOST: f64 = 1_000.0;

    /// A service with so many workers, each of which answers one request after the other, in the order in which requests come.
    struct Server {
        gradient: Gradient,
        places: f64,
        now_us: u64,
        /// When each worker is free.
        workers: BinaryHeap<Reverse<u64>>,
        /// When answers come, and when their requests began.
        answers: BinaryHeap<Reverse<(u64, u64)>>,
        random: fastrand::Rng,
    }

    impl Server {
        fn new(workers: usize) -> Server {
            Server {
                gradient: Gradient::new(SETTINGS),
                places: 4.0,
                now_us: 0,
                workers: vec![Reverse(0); workers].into(),
                answers: BinaryHeap::new(),
                random: fastrand::Rng::with_seed(7),
            }
        }

        /// Runs for so long with clients that fill every place, or `most` places if they are fewer. An answer takes `work_us` on the
        /// average, of a worker. Returns the mean of the places in the last half of the time.
        fn run(&mut self, seconds: u64, work_us: u64, most: usize) -> f64 {
            let (begin, end) = (self.now_us, self.now_us + seconds * 1_000_000);
            let (mut sum, mut count) = (0.0, 0.0);
            while self.now_us < end {
                while self.answers.len() < (self.places as usize).min(most) {
                    let Reverse(free) = self.workers.pop().expect("a worker");
                    let work = self.random.u64(work_us / 2..=work_us * 3 / 2);
                    let done = free.max(self.now_us) + work;
                    self.workers.push(Reverse(done));
                    self.answers.push(Reverse((done, self.now_us)));
                }
                let Reverse((at, began)) = self.answers.pop().expect("a request");
                self.now_us = at;
                let time = Duration::from_micros(at - began);
                let is_used = self.answers.len() * 2 >= self.places as usize;
                if let Some(window) = self.gradient.answered(time, at) {
                    let places = self.gradient.judge(window, self.places, is_used);
                    self.places = places.clamp(4.0, MOST);
                }
                if at > begin + (end - begin) / 2 {
                    sum += self.places;
                    count += 1.0;
                }
            }
            sum / count
        }

        /// Workers that come or go while nothing is under way.
        fn scale(&mut self, workers: usize) {
            self.answers.clear();
            self.workers = vec![Reverse(self.now_us); workers].into();
        }
    }

    /// With fewer places than workers the service would be idle. With twice as many each request waits as long as it is worked on.
    fn assert_fits(places: f64, workers: f64) {
        assert!(
            (workers..=2.5 * workers).contains(&places),
            "{places} places for {workers} workers"
        );
    }

    #[test]
    fn it_converges_on_the_capacity_of_a_service() {
        for workers in [10, 40, 100] {
            let places = Server::new(workers).run(60, 20_000, usize::MAX);
            assert_fits(places, workers as f64);
        }
    }

    #[test]
    fn it_follows_a_service_that_loses_half_of_its_workers_and_recovers() {
        let mut server = Server::new(40);
        assert_fits(server.run(60, 20_000, usize::MAX), 40.0);
        server.scale(20);
        let fewer = server.run(60, 20_000, usize::MAX);
        assert_fits(fewer, 20.0);
        server.scale(40);
        assert_fits(server.run(60, 20_000, usize::MAX), 40.0);
    }

    #[test]
    fn it_recovers_from_a_time_in_which_every_answer_is_slow() {
        let mut server = Server::new(40);
        let before = server.run(30, 20_000, usize::MAX);
        let places = server.places;
        server.run(3, 200_000, usize::MAX);
        assert!(
            server.places < 0.8 * places,
            "{} of {places}",
            server.places
        );
        let after = server.run(60, 20_000, usize::MAX);
        assert!(
            (0.6..=1.6).contains(&(after / before)),
            "{before}, then {after}"
        );
    }

    #[test]
    fn few_requests_prove_nothing() {
        let mut server = Server::new(40);
        server.places = 50.0;
        server.run(30, 20_000, 5);
        assert_eq!(server.places, 50.0);
    }

    #[test]
    fn a_window_needs_its_time_and_its_answers() {
        let gradient = Gradient::new(SETTINGS);
        let time = Duration::from_millis(3);
        for _ in 0..100 {
            assert_eq!(gradient.answered(time, SHORTEST_US - 1), None);
        }
        let window = Window {
            mean_us: 3_000.0,
            seconds: 0.1,
        };
        assert_eq!(gradient.answered(time, SHORTEST_US), Some(window));
        // Then for at least ten answers.
        for _ in 0..9 {
            assert_eq!(gradient.answered(time, 10 * LONGEST_US), None);
        }
        let last = gradient.answered(Duration::from_millis(13), 10 * LONGEST_US);
        let window = Window {
            mean_us: 4_000.0,
            seconds: 1.0,
        };
        assert_eq!(last, Some(window));
        assert_eq!(gradient.answered(Duration::MAX, 20 * LONGEST_US), None);
    }
}
