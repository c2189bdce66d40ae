//! Once in an interval: which endpoints of a service are outliers, and which of these may be ejected.
//!
//! Outliers never bring panic mode about. One that would be more than the share of endpoints that may be out stays in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::EjectionSettings;
use tokio::time::Instant;

use crate::member::Member;
use crate::news::News;
use crate::outlier::{Outlier, is_comparable, outliers};
use crate::selection::Selection;
use crate::services::Context;
use crate::state::State;
use crate::tally::Counted;

impl State {
    /// Compares the endpoints, if that is due. Returns whether one is ejected.
    pub(crate) fn judge(&mut self, now: Instant, context: &Context, news: &News) -> bool {
        if self.judged_next.is_none_or(|due| due > now) {
            return false;
        }
        self.judged_next = Some(context.judgement_after(now));
        let settings = &context.settings;
        self.count();
        let is_in = |member: &Member| member.endpoint.standing().is_well() && !member.is_failing();
        let comparable: Vec<(SocketAddr, Counted)> = self
            .members
            .iter()
            .filter(|(_, member)| is_in(member))
            .filter_map(|(address, member)| Some((*address, member.counted?)))
            .filter(|(_, counted)| is_comparable(*counted, settings))
            .collect();
        let found = outliers(&comparable, settings);
        if comparable.len() >= settings.outlier_min_endpoints as usize {
            self.forgive(&comparable, &found);
        }
        let mut changed = false;
        for outlier in found {
            changed |= self.eject_outlier(outlier, now, settings, news);
        }
        changed
    }

    /// Notes when the endpoints are compared next, if they are to be. What was counted while nobody wanted to know is not of one
    /// interval.
    pub(crate) fn await_judgement(&mut self, now: Instant, context: &Context) {
        let enough = context.settings.outlier_min_endpoints as usize;
        if !context.judges() || self.members.len() < enough {
            self.judged_next = None;
        } else if self.judged_next.is_none() {
            self.count();
            self.judged_next = Some(context.judgement_after(now));
        }
    }

    /// Takes the tallies of the interval.
    fn count(&mut self) {
        for member in self.members.values_mut() {
            let counted = member.endpoint.tally().map(|tally| tally.take());
            member.counted = counted.filter(|counted| counted.requests() > 0);
        }
    }

    /// An interval in which an endpoint is like the others makes up for one in which it was not.
    fn forgive(&mut self, comparable: &[(SocketAddr, Counted)], found: &[Outlier<SocketAddr>]) {
        for (address, _) in comparable {
            if !found.iter().any(|outlier| outlier.who == *address)
                && let Some(member) = self.members.get_mut(address)
            {
                member.strikes = member.strikes.saturating_sub(1);
            }
        }
    }

    fn eject_outlier(
        &mut self,
        outlier: Outlier<SocketAddr>,
        now: Instant,
        settings: &EjectionSettings,
        news: &News,
    ) -> bool {
        let selections = self.live_selections();
        let may = |selection: &Arc<Selection>| selection.can_lose(outlier.who, self, settings);
        let is_well = |member: &Member| member.endpoint.standing().is_well();
        if !selections.iter().all(may) || !self.members.get(&outlier.who).is_some_and(is_well) {
            return false;
        }
        let window = self.window;
        let Some(member) = self.members.get_mut(&outlier.who) else {
            return false;
        };
        member.evidence = Some(outlier.evidence.into());
        member.endpoint.judged(outlier.failure);
        member.settle(now, window, settings, news)
    }
}

impl Context {
    /// Whether endpoints are compared at all.
    fn judges(&self) -> bool {
        self.settings.success_rate.is_some() || self.settings.latency.is_some()
    }

    /// All services are judged at the same moments, so that the supervisor is not woken for each of them.
    fn judgement_after(&self, now: Instant) -> Instant {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let interval = nanos(self.settings.outlier_interval).max(1);
        let passed = nanos(now.saturating_duration_since(self.began));
        self.began + Duration::from_nanos((passed / interval + 1).saturating_mul(interval))
    }
}
