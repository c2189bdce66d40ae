//! The calls that a breaker goes by: the last ones, or those of the last seconds.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::BreakerWindow;

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallEnd {
    pub(super) is_failure: bool,
    pub(super) is_slow: bool,
}

/// How many calls there were, and how many of them failed or were slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) failures: u32,
    pub(super) slow: u32,
}

/// The ends of calls.
#[derive(Debug)]
pub(super) enum Window {
    Calls(LastCalls),
    Seconds(Mutex<LastSeconds>),
}

impl Window {
    pub(super) fn new(window: BreakerWindow) -> Window {
        match window {
            BreakerWindow::Calls(size) => Window::Calls(LastCalls::new(size)),
            BreakerWindow::Seconds(size) => Window::Seconds(Mutex::new(LastSeconds::new(size))),
        }
    }

    /// Counts a call; what the window holds then.
    pub(super) fn count(&self, end: CallEnd, now: Instant) -> Counts {
        match self {
            Window::Calls(last) => last.count(end),
            Window::Seconds(last) => {
                // Every section under the lock leaves the window whole.
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                last.count(end, now)
            }
        }
    }
}

impl Counts {
    fn of(end: CallEnd) -> Counts {
        Counts {
            calls: 1,
            failures: u32::from(end.is_failure),
            slow: u32::from(end.is_slow),
        }
    }

    fn add(&mut self, other: Counts) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    fn take_away(&mut self, other: Counts) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// The last calls, so many of them.
#[derive(Debug)]
pub(super) struct LastCalls {
    /// For each place nothing, or what is said of a call by bits.
    calls: Box<[AtomicU8]>,
    next: AtomicUsize,
    failures: AtomicU32,
    slow: AtomicU32,
}

impl LastCalls {
    const CALL: u8 = 1;
    const FAILURE: u8 = 2;
    const SLOW: u8 = 4;

    fn new(size: u32) -> LastCalls {
        LastCalls {
            calls: (0..size).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            slow: AtomicU32::new(0),
        }
    }

    fn count(&self, end: CallEnd) -> Counts {
        let number = self.next.fetch_add(1, Relaxed);
        let place = number.checked_rem(self.calls.len());
        if let Some(call) = place.and_then(|place| self.calls.get(place)) {
            let mut now = LastCalls::CALL;
            // Added first, so that the numbers are never less than none.
            if end.is_failure {
                now |= LastCalls::FAILURE;
                self.failures.fetch_add(1, Relaxed);
            }
            if end.is_slow {
                now |= LastCalls::SLOW;
                self.slow.fetch_add(1, Relaxed);
            }
            let before = call.swap(now, Relaxed);
            if before & LastCalls::FAILURE != 0 {
                self.failures.fetch_sub(1, Relaxed);
            }
            if before & LastCalls::SLOW != 0 {
                self.slow.fetch_sub(1, Relaxed);
            }
        }
        Counts {
            calls: (number + 1).min(self.calls.len()) as u32,
            failures: self.failures.load(Relaxed),
            slow: self.slow.load(Relaxed),
        }
    }
}

/// The calls of the last seconds, of which the current one is not over.
#[derive(Debug)]
pub(super) struct LastSeconds {
    /// When the first call ended; seconds are counted from there.
    began: Option<Instant>,
    /// The last second that a call ended in.
    second: u64,
    seconds: Box<[Counts]>,
    all: Counts,
}

impl LastSeconds {
    fn new(size: u32) -> LastSeconds {
        LastSeconds {
            began: None,
            second: 0,
            seconds: (0..size.max(1)).map(|_| Counts::default()).collect(),
            all: Counts::default(),
        }
    }

    fn count(&mut self, end: CallEnd, now: Instant) -> Counts {
        let began = *self.began.get_or_insert(now);
        self.go_on_to(now.saturating_duration_since(began).as_secs());
        let call = Counts::of(end);
        self.at(self.second).add(call);
        self.all.add(call);
        self.all
    }

    /// Forgets the seconds that are too long ago by then.
    fn go_on_to(&mut self, second: u64) {
        let passed = second.saturating_sub(self.second);
        for step in 1..=passed.min(self.seconds.len() as u64) {
            let forgotten = std::mem::take(self.at(self.second + step));
            self.all.take_away(forgotten);
        }
        self.second = self.second.max(second);
    }

    fn at(&mut self, second: u64) -> &mut Counts {
        let place = second % self.seconds.len() as u64;
        &mut self.seconds[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GOOD: CallEnd = CallEnd {
        is_failure: false,
        is_slow: false,
    };
    const BAD: CallEnd = CallEnd {
        is_failure: true,
        is_slow: false,
    };
    const SLOW: CallEnd = CallEnd {
        is_failure: false,
        is_slow: true,
    };

    fn counts(calls: u32, failures: u32, slow: u32) -> Counts {
        Counts {
            calls,
            failures,
            slow,
        }
    }

    #[test]
    fn the_last_calls_are_counted() {
        let (window, now) = (Window::new(BreakerWindow::Calls(3)), Instant::now());
        for (end, expected) in [
            (BAD, counts(1, 1, 0)),
            (SLOW, counts(2, 1, 1)),
            (GOOD, counts(3, 1, 1)),
            (GOOD, counts(3, 0, 1)),
            (BAD, counts(3, 1, 0)),
        ] {
            assert_eq!(window.count(end, now), expected);
        }
        let none = Window::new(BreakerWindow::Calls(0));
        assert_eq!(none.count(BAD, now), counts(0, 0, 0));
    }

    #[test]
    fn the_calls_of_the_last_seconds_are_counted() {
        let (window, start) = (Window::new(BreakerWindow::Seconds(3)), Instant::now());
        for (millis, end, expected) in [
            (0, BAD, counts(1, 1, 0)),
            (900, SLOW, counts(2, 1, 1)),
            (1_500, GOOD, counts(3, 1, 1)),
            (2_900, BAD, counts(4, 2, 1)),
            // The first second is too long ago.
            (3_000, GOOD, counts(3, 1, 0)),
            // Of a call that is told late the current second is taken.
            (2_000, BAD, counts(4, 2, 0)),
            (4_100, GOOD, counts(4, 2, 0)),
            (60_000, GOOD, counts(1, 0, 0)),
        ] {
            let now = start + Duration::from_millis(millis);
            assert_eq!(window.count(end, now), expected, "after {millis} ms");
        }
    }
}
