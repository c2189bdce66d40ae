//! The state of one address of one service, which survives every update.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use pailou_config::EjectionSettings;

use crate::peak::Peak;
use crate::standing::{Condition, Failure, Standing, StandingCell};
use crate::tally::Tally;
use crate::wake::Bell;

/// This many requests in a row without an answer in time eject an endpoint, which accepts and hangs.
const TIMEOUTS_TO_EJECT: u32 = 5;
/// What an endpoint says that cannot serve at all, or a proxy in front of it (RFC 9110 sections 15.6.3 to 15.6.5).
const GATEWAY_ERRORS: [u16; 3] = [502, 503, 504];
/// The newest answer counts for an eighth of the latency, as in TCP's round-trip time (RFC 6298).
const LATENCY_SHARE: u64 = 8;

/// One address of one service: its counters, and how it stands with ejection.
///
/// It is the same value for as long as the service lists the address, whatever else changes. It is not shared between services, since an
/// address may belong to another service within seconds.
pub struct Endpoint {
    address: SocketAddr,
    bell: Arc<Bell>,
    standing: StandingCell,
    in_flight: AtomicU32,
    timeouts: AtomicU32,
    /// Gateway errors in a row.
    gateway_errors: AtomicU32,
    /// So many of them eject it; 0 for never.
    most_gateway_errors: u32,
    picks: AtomicU64,
    /// Smoothed, in microseconds; 0 before the first answer.
    latency_us: AtomicU64,
    /// For policies that avoid slow ones.
    peak: Peak,
    /// Answers with a status of 500 or more.
    error_answers: AtomicU64,
    /// For finding outliers, if they are looked for.
    tally: Option<Box<Tally>>,
}

impl Endpoint {
    pub(crate) fn new(
        address: SocketAddr,
        bell: Arc<Bell>,
        settings: &EjectionSettings,
    ) -> Endpoint {
        Endpoint {
            address,
            bell,
            standing: StandingCell::new(),
            in_flight: AtomicU32::new(0),
            timeouts: AtomicU32::new(0),
            gateway_errors: AtomicU32::new(0),
            most_gateway_errors: settings.gateway_errors,
            picks: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
            peak: Peak::new(),
            error_answers: AtomicU64::new(0),
            tally: Tally::new(settings),
        }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many picks of it are held now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How often it was picked.
    pub fn picks(&self) -> u64 {
        self.picks.load(Ordering::Relaxed)
    }

    /// How long it takes to answer, smoothed over its last answers; `None` before the first.
    pub fn latency(&self) -> Option<Duration> {
        let latency = self.latency_us.load(Ordering::Relaxed);
        (latency > 0).then(|| Duration::from_micros(latency))
    }

    /// How many of its answers had a status of 500 or more, or could not be understood.
    pub fn error_answers(&self) -> u64 {
        self.error_answers.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> &Peak {
        &self.peak
    }

    pub(crate) fn tally(&self) -> Option<&Tally> {
        self.tally.as_deref()
    }

    /// Begins a request, unless it has `most` of them. Never more than `most` begin.
    pub(crate) fn begin(&self, most: u32) -> bool {
        // `SeqCst` for those who wait for room: see `Rooms::freed`.
        if self.in_flight.fetch_add(1, Ordering::SeqCst) >= most {
            self.end();
            return false;
        }
        self.picks.fetch_add(1, Ordering::Relaxed);
        true
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.bell.rooms().freed();
    }

    /// Whether it has `most` requests.
    pub(crate) fn is_full(&self, most: u32) -> bool {
        self.in_flight.load(Ordering::SeqCst) >= most
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.load()
    }

    /// Notes an answer to a request that was picked in that term. An answer of the present term makes the endpoint well.
    pub(crate) fn answered(&self, term: u32, status: u16, latency: Duration) {
        self.measure(latency);
        self.peak.answered(latency);
        self.count(term, status < 500, Some(latency));
        if status >= 500 {
            self.error_answers.fetch_add(1, Ordering::Relaxed);
        }
        if self.most_gateway_errors > 0 && self.is_ill(term, status) {
            return self.forget_timeouts();
        }
        self.lives(term);
    }

    /// It answered something that cannot be understood. One bad handler must not take the whole endpoint away.
    pub(crate) fn answered_nonsense(&self, term: u32) {
        self.error_answers.fetch_add(1, Ordering::Relaxed);
        self.count(term, false, None);
        self.lives(term);
    }

    fn lives(&self, term: u32) {
        self.forget_timeouts();
        if self.standing().is_well() {
            return;
        }
        self.mark(Condition::Well, |now| {
            now.term == term && !now.is_well() && !now.is_outlier()
        });
    }

    /// Counts a request of the present term where outliers are looked for.
    fn count(&self, term: u32, went_well: bool, latency: Option<Duration>) {
        if let Some(tally) = &self.tally
            && self.standing().term == term
        {
            tally.count(went_well, latency);
        }
    }

    /// Counts gateway errors in a row, and puts it out for too many. Whether the answer was one: it makes nobody well.
    fn is_ill(&self, term: u32, status: u16) -> bool {
        if !GATEWAY_ERRORS.contains(&status) {
            forget(&self.gateway_errors);
            return false;
        }
        let errors = self.gateway_errors.fetch_add(1, Ordering::Relaxed) + 1;
        let is_too_much = errors >= self.most_gateway_errors;
        self.mark(Condition::Out(Failure::GatewayErrors), |now| {
            now.term == term && !now.is_out() && (is_too_much || !now.is_well())
        });
        true
    }

    /// Notes a failure of a request that was picked in that term. A failure of the present term puts the endpoint out at once: picks skip
    /// it from now on, and the supervisor does the rest.
    pub(crate) fn failed(&self, term: u32, failure: Failure) {
        self.count(term, false, None);
        let now = self.standing();
        if now.term != term || now.is_out() {
            return;
        }
        if failure == Failure::Timeout {
            let timeouts = self.timeouts.fetch_add(1, Ordering::Relaxed) + 1;
            if now.is_well() && timeouts < TIMEOUTS_TO_EJECT {
                return;
            }
        }
        self.mark(Condition::Out(failure), |now| {
            now.term == term && !now.is_out()
        });
    }

    /// Puts it out since it does worse than the others, unless requests have found something else meanwhile. For the supervisor.
    pub(crate) fn judged(&self, failure: Failure) {
        self.mark(Condition::Out(failure), Standing::is_well);
    }

    /// Takes the one request of an endpoint on trial, or gives it back.
    pub(crate) fn shift(&self, term: u32, from: Condition, to: Condition) -> bool {
        self.standing.shift(term, from, to)
    }

    /// Ends an ejection by trial, unless it has ended already. For the supervisor.
    pub(crate) fn try_again(&self) -> Option<Standing> {
        self.standing.mark(Condition::OnTrial, Standing::is_out)
    }

    /// Forgets all its failures. For the writer of a new set.
    pub(crate) fn absolve(&self) -> Standing {
        if let Some(tally) = &self.tally {
            tally.take();
        }
        self.forget_timeouts();
        forget(&self.gateway_errors);
        let absolved = self.standing.mark(Condition::Well, |_| true);
        absolved.unwrap_or_else(|| self.standing())
    }

    fn mark(&self, to: Condition, may: impl Fn(Standing) -> bool) {
        if self.standing.mark(to, may).is_some() {
            self.forget_timeouts();
            forget(&self.gateway_errors);
            self.bell.ring();
        }
    }

    /// Two answers at one moment may count as one: an estimate needs no more.
    fn measure(&self, latency: Duration) {
        let new = u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX)
            .clamp(1, u64::MAX / LATENCY_SHARE);
        let old = self.latency_us.load(Ordering::Relaxed);
        let smooth = match old {
            0 => new,
            old => (old * (LATENCY_SHARE - 1) + new).div_ceil(LATENCY_SHARE),
        };
        if smooth != old {
            self.latency_us.store(smooth, Ordering::Relaxed);
        }
    }

    fn forget_timeouts(&self) {
        forget(&self.timeouts);
    }
}

/// Read first: the line stays shared between workers while all is well.
fn forget(count: &AtomicU32) {
    if count.load(Ordering::Relaxed) != 0 {
        count.store(0, Ordering::Relaxed);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .field("in_flight", &self.in_flight())
            .field("picks", &self.picks())
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_smoothed_and_follows() {
        let bell = Bell::new(Arc::default());
        let endpoint = Endpoint::new(
            ([127, 0, 0, 1], 80).into(),
            bell,
            &EjectionSettings::default(),
        );
        assert_eq!(endpoint.latency(), None);
        let answer = |millis| endpoint.answered(0, 200, Duration::from_millis(millis));
        answer(80);
        assert_eq!(endpoint.latency(), Some(Duration::from_millis(80)));
        answer(160);
        assert_eq!(endpoint.latency(), Some(Duration::from_millis(90)));
        for _ in 0..100 {
            answer(20);
        }
        let latency = endpoint.latency().unwrap_or_default();
        assert_eq!(latency.as_millis(), 20);
        endpoint.answered(0, 503, Duration::MAX);
        assert!(endpoint.latency() > Some(Duration::from_secs(3600)));
        assert_eq!(endpoint.error_answers(), 1);
    }
}
