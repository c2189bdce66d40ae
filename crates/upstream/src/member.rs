//! One address as its service knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::check::{CheckFailure, Checking, Health};
use crate::ejection::Ejection;
use crate::endpoint::Endpoint;
use crate::selection::Subset;
use crate::set::EndpointSpec;
use crate::slow_start::SlowStart;
use crate::tally::Counted;
use crate::trouble::Trouble;
use crate::verdict::Verdict;

/// What discovery says of an address, what ejection made of it, and its state that survives both.
#[derive(Debug)]
pub(crate) struct Member {
    /// What discovery lists under the address, at least once: two versions or two clusters may share it.
    pub(crate) listings: Vec<EndpointSpec>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// The term that the supervisor has seen last.
    pub(crate) seen: u32,
    pub(crate) ejection: Option<Ejection>,
    /// Ejections in a row, without an answer between them.
    pub(crate) failures: u32,
    /// How often it was an outlier, less the intervals in which it was like the others.
    pub(crate) strikes: u32,
    /// How its requests went in the last interval, if it had enough of them to be compared.
    pub(crate) counted: Option<Counted>,
    /// What was measured when it was last an outlier, in words.
    pub(crate) evidence: Option<Arc<str>>,
    pub(crate) slow_start: Option<SlowStart>,
    pub(crate) trouble: Option<Trouble>,
    /// What active checks have found.
    pub(crate) health: Vec<Health>,
}

impl Member {
    pub(crate) fn new(listings: Vec<EndpointSpec>, endpoint: Arc<Endpoint>) -> Member {
        Member {
            listings,
            seen: endpoint.standing().term,
            endpoint,
            ejection: None,
            failures: 0,
            strikes: 0,
            counted: None,
            evidence: None,
            slow_start: None,
            trouble: None,
            health: Vec::new(),
        }
    }

    /// Whether a check says that it is not well.
    pub(crate) fn is_failing(&self) -> bool {
        self.health.iter().any(|health| health.is_failing)
    }

    /// Forgets what checks found that nobody wants any more; whether that changes how it stands.
    pub(crate) fn forget_checks(&mut self) -> bool {
        let was_failing = self.is_failing();
        self.health
            .retain(|health| health.checking.strong_count() > 0);
        was_failing != self.is_failing()
    }

    /// Takes the answer to a check; whether that changes how it stands.
    pub(crate) fn checked(
        &mut self,
        checking: &Arc<Checking>,
        answer: Result<(), CheckFailure>,
    ) -> bool {
        let was_failing = self.is_failing();
        let is_it = |health: &Health| health.checking.as_ptr() == Arc::as_ptr(checking);
        let place = self.health.iter().position(is_it).unwrap_or_else(|| {
            self.health.push(Health::new(checking));
            self.health.len() - 1
        });
        self.health[place].take(&checking.check().spec, answer);
        was_failing != self.is_failing()
    }

    /// The listing that a subset uses: of those that it has and discovery lets have traffic, the heaviest, and of equals the first.
    pub(crate) fn listing(&self, subset: &Subset, health_is_known: bool) -> Option<&EndpointSpec> {
        let usable = self.listings.iter().filter(|listing| {
            subset.has(listing) && Verdict::listed(listing, health_is_known).is_in()
        });
        usable.reduce(|best, other| match other.weight > best.weight {
            true => other,
            false => best,
        })
    }

    /// The verdict on the address as a whole: that on its best listing, or else on its first.
    pub(crate) fn verdict(&self, health_is_known: bool) -> Verdict {
        let best = self.listing(&Subset::default(), health_is_known);
        best.or(self.listings.first())
            .map(|listing| Verdict::on(listing, self, health_is_known))
            .unwrap_or_default()
    }

    /// Whether discovery lists it no longer.
    pub(crate) fn is_held(&self) -> bool {
        self.listings.iter().all(|listing| listing.held)
    }

    /// Its registration: one for all listings of an address.
    pub(crate) fn registration(&self) -> Option<u64> {
        self.listings.first().map(|listing| listing.registration)
    }

    /// Whether it must be remembered although it is no longer listed: its requests are under way, or it is ejected and would otherwise
    /// return as well.
    pub(crate) fn is_remembered(&self, now: Instant) -> bool {
        self.endpoint.in_flight() > 0
            || self
                .ejection
                .as_ref()
                .is_some_and(|ejection| ejection.until > now)
    }

    /// How much of its weight it gets now from those who give it so long for a slow start.
    pub(crate) fn part(&self, window: Duration, now: Instant) -> f64 {
        self.slow_start
            .map_or(1.0, |slow_start| slow_start.part(window, now))
    }

    /// It takes requests from now on, and did not before: it starts slowly where a route wants that, the longest within `window`. After an
    /// ejection that another registration has lifted it does so anyway.
    pub(crate) fn begins(&mut self, is_lifted: bool, window: Duration, now: Instant) {
        self.slow_start = SlowStart::begin(is_lifted, window, now);
    }

    /// When its next change or log line is due.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let returns = self
            .ejection
            .as_ref()
            .filter(|_| self.may_return())
            .map(|ejection| ejection.until);
        let steps = self.slow_start.map(|slow_start| slow_start.next_step(now));
        let line = self.trouble.as_ref().map(Trouble::due);
        [returns, steps, line].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pailou_config::EjectionSettings;

    use crate::wake::Bell;

    fn member(listings: Vec<EndpointSpec>) -> Member {
        let bell = Bell::new(Arc::default());
        let endpoint = Endpoint::new(
            ([127, 0, 0, 1], 80).into(),
            bell,
            &EjectionSettings::default(),
        );
        Member::new(listings, Arc::new(endpoint))
    }

    #[test]
    fn the_listing_that_fits_is_the_heaviest_that_can_be_used() {
        let of = |cluster: &str, weight, enabled| EndpointSpec {
            cluster: cluster.into(),
            weight,
            enabled,
            ..EndpointSpec::new(([127, 0, 0, 1], 80).into())
        };
        let cluster = |name: &str| Subset {
            split: None,
            cluster: Some(name.to_owned()),
            ..Subset::default()
        };
        let member = member(vec![
            of("a", 0.0, true),
            of("b", 1.0, true),
            of("b", 3.0, true),
            of("c", 9.0, false),
        ]);
        for (subset, expected) in [
            (Subset::default(), Some(3.0)),
            (cluster("a"), None),
            (cluster("b"), Some(3.0)),
            (cluster("c"), None),
        ] {
            let listing = member.listing(&subset, true);
            assert_eq!(listing.map(|listing| listing.weight), expected, "{subset}");
        }
        assert!(member.verdict(true).is_in());
    }
}
