//! What the log says of an address that fails again and again: one line at the beginning, one a minute meanwhile, one at the end,
//! however many services list the address.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_telemetry::events::{EjectedEndpointGone, EjectionStory, EndpointStillFailing};
use tokio::time::Instant;

use crate::news::News;

/// The time between two lines meanwhile.
const REMINDER: Duration = Duration::from_secs(60);
/// The most services that a line names.
const NAMED: usize = 5;

/// The troubles of all addresses.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<HashMap<SocketAddr, Story>>);

/// The ejections of an address by all services since it was last well for good.
#[derive(Debug)]
struct Story {
    since: Instant,
    /// How many services still have trouble with it.
    open: usize,
    services: BTreeSet<String>,
    cause: &'static str,
    ejections: u32,
    /// How many of these the log has named.
    told: u32,
    next_reminder: Instant,
}

/// What is said of an ejection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) cause: &'static str,
    /// What was measured of an outlier, in words.
    pub(crate) evidence: Option<&'a str>,
    pub(crate) backoff: Duration,
    /// For how long the endpoint must be well afterwards until it is believed.
    pub(crate) calm: Duration,
}

/// The trouble of one service with an address. It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Trouble {
    address: SocketAddr,
    troubles: Arc<Troubles>,
    next_reminder: Instant,
    /// Since when it answers.
    well_since: Option<Instant>,
    /// For how long it must be well until the trouble is over.
    calm: Duration,
    is_over: bool,
}

impl Troubles {
    /// Counts an ejection by a service; `new` says that the service had no trouble with the address so far. Returns whether the log
    /// knows already that the address is in trouble.
    fn ejected(
        &self,
        address: SocketAddr,
        (service, is_new): (&str, bool),
        cause: &'static str,
        now: Instant,
    ) -> bool {
        let mut stories = self.lock();
        let is_known = stories.contains_key(&address);
        let story = stories.entry(address).or_insert(Story {
            since: now,
            open: 0,
            services: BTreeSet::new(),
            cause,
            ejections: 0,
            told: 1,
            next_reminder: now + REMINDER,
        });
        if is_new {
            story.open += 1;
            story.services.insert(service.to_owned());
        }
        story.ejections += 1;
        story.cause = cause;
        is_known
    }

    /// Logs that the trouble goes on, if a line is due and there is something new.
    fn remind(&self, address: SocketAddr, now: Instant) {
        let mut stories = self.lock();
        let story = stories.get_mut(&address);
        let Some(story) = story.filter(|story| story.next_reminder <= now) else {
            return;
        };
        story.next_reminder = now + REMINDER;
        let ejections = story.ejections - std::mem::replace(&mut story.told, story.ejections);
        if ejections > 0 {
            EndpointStillFailing {
                services: &story.names(),
                address,
                cause: story.cause,
                ejections,
            }
            .record();
        }
    }

    /// Ends the trouble for one service. Returns the whole story if it is over for all services.
    fn ended(&self, address: SocketAddr) -> Option<Story> {
        let mut stories = self.lock();
        let story = stories.get_mut(&address)?;
        story.open -= 1;
        match story.open {
            0 => stories.remove(&address),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Story>> {
        // Every section under the lock leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Story {
    fn names(&self) -> String {
        let named: Vec<&str> = self.services.iter().take(NAMED).map(|it| &**it).collect();
        match self.services.len() - named.len() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    /// Hands it over as the log tells it.
    fn tell(&self, record: impl FnOnce(EjectionStory<'_>)) {
        record(EjectionStory {
            services: &self.names(),
            ejections: self.ejections,
            lasted: self.since.elapsed(),
        });
    }
}

impl Trouble {
    /// Counts an ejection; `trouble` is the one that it belongs to, if the service has one with the address.
    pub(crate) fn ejected(
        trouble: &mut Option<Trouble>,
        told: Told<'_>,
        now: Instant,
        news: &News,
    ) {
        let service = (news.metrics().name(), trouble.is_none());
        let is_known = news
            .troubles()
            .ejected(told.address, service, told.cause, now);
        news.ejected(told, is_known);
        let trouble = trouble.get_or_insert_with(|| Trouble {
            address: told.address,
            troubles: Arc::clone(news.troubles()),
            next_reminder: now + REMINDER,
            well_since: None,
            calm: told.calm,
            is_over: false,
        });
        trouble.well_since = None;
        trouble.calm = told.calm;
    }

    /// It answers.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.well_since.get_or_insert(now);
    }

    /// Whether it is over. If not, logs what is due.
    pub(crate) fn is_calm(&mut self, now: Instant) -> bool {
        if self
            .well_since
            .is_some_and(|since| since + self.calm <= now)
        {
            return true;
        }
        if self.next_reminder <= now {
            self.next_reminder = now + REMINDER;
            self.troubles.remind(self.address, now);
        }
        false
    }

    /// The endpoint is well again. Logs that, with the reason, if it is well for all services.
    pub(crate) fn returned(mut self, reason: &'static str, news: &News) {
        self.is_over = true;
        match self.troubles.ended(self.address) {
            Some(story) => story.tell(|story| news.returned(self.address, reason, Some(story))),
            None => news.returned(self.address, reason, None),
        }
    }

    /// When the next line is due.
    pub(crate) fn due(&self) -> Instant {
        let calm = self.well_since.map(|since| since + self.calm);
        calm.map_or(self.next_reminder, |calm| calm.min(self.next_reminder))
    }
}

impl Drop for Trouble {
    /// No service lists the endpoint any more, or no route leads to its service.
    fn drop(&mut self) {
        if !self.is_over
            && let Some(story) = self.troubles.ended(self.address)
        {
            let address = self.address;
            story.tell(|story| EjectedEndpointGone { address, story }.record());
        }
    }
}
