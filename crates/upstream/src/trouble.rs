//! What is said of an endpoint that fails again and again: one line when it begins, one a minute while it lasts, one when it is over.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::news::News;

/// How often it is said that it lasts.
const REMINDER: Duration = Duration::from_secs(60);
/// An endpoint that has answered is believed after this long without a further ejection.
const CALM: Duration = Duration::from_secs(10);

/// The ejections of an endpoint since it was last well for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    since: Instant,
    cause: &'static str,
    ejections: u32,
    /// How many of them the log knows of.
    told: u32,
    next_reminder: Instant,
    /// Since when it answers.
    well_since: Option<Instant>,
}

impl Trouble {
    /// Counts an ejection; `trouble` is the one that it belongs to, if there is one.
    pub(crate) fn ejected(
        trouble: &mut Option<Trouble>,
        address: SocketAddr,
        cause: &'static str,
        backoff: Duration,
        now: Instant,
        news: &News,
    ) {
        news.ejected(address, cause, backoff, trouble.is_some());
        let trouble = trouble.get_or_insert(Trouble {
            since: now,
            cause,
            ejections: 0,
            told: 1,
            next_reminder: now + REMINDER,
            well_since: None,
        });
        trouble.ejections += 1;
        trouble.cause = cause;
        trouble.well_since = None;
    }

    /// It answers.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.well_since.get_or_insert(now);
    }

    /// Says what is due; whether it is over.
    pub(crate) fn is_over(&mut self, address: SocketAddr, now: Instant, news: &News) -> bool {
        if self.well_since.is_some_and(|since| since + CALM <= now) {
            self.returned(address, "answered", now, news);
            return true;
        }
        if self.next_reminder <= now {
            self.next_reminder = now + REMINDER;
            if self.ejections > self.told {
                news.still_failing(address, self.cause, self.ejections - self.told);
                self.told = self.ejections;
            }
        }
        false
    }

    /// Says that the endpoint is well again, and why.
    pub(crate) fn returned(
        self,
        address: SocketAddr,
        reason: &'static str,
        now: Instant,
        news: &News,
    ) {
        news.returned(address, reason, self.ejections, now - self.since);
    }

    /// Says that nobody lists the endpoint any more.
    pub(crate) fn gone(self, address: SocketAddr, now: Instant, news: &News) {
        news.gone(address, self.ejections, now - self.since);
    }

    /// When there is something to say.
    pub(crate) fn due(&self) -> Instant {
        let calm = self.well_since.map(|since| since + CALM);
        calm.map_or(self.next_reminder, |calm| calm.min(self.next_reminder))
    }
}
