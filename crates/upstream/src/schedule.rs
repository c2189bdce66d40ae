//! A selection's schedule: which endpoints may be picked, and which is next. A pick reads nothing else.

use std::fmt;
use std::sync::Arc;

use crate::Policy;
use crate::balance::{Chooser, Share};
use crate::hint::Hint;
use crate::pick::Pick;
use crate::split::{Fallback, Parts};
use crate::standing::Condition;

/// How often a request whose first choice cannot be used draws again before all shares are looked at.
const REDRAWS: usize = 8;

/// Why there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// It is not known yet which endpoints the service has.
    #[error("the service's endpoints are not known yet")]
    Unknown,
    /// The service has none.
    #[error("the service has no endpoints")]
    Empty,
    /// It has some, and none of them may be used by this selection now.
    #[error("none of the service's endpoints is eligible")]
    NoneEligible,
    /// All that may be used were tried.
    #[error("every eligible endpoint was tried")]
    AllTried,
    /// All that may be used have as many requests as they may have.
    #[error("every eligible endpoint has as many requests as it may have")]
    Full,
}

/// The shares of a schedule, and of the one for requests that find nobody there.
#[derive(Debug, Default)]
pub(crate) struct Arranged {
    pub(crate) shares: Vec<Share>,
    pub(crate) elsewhere: Vec<Share>,
    /// The share of requests that goes to other clusters, in percent.
    pub(crate) away_percent: u8,
}

/// Which endpoints may be picked, and the policy's chooser over them. Immutable but for the chooser's own counters.
pub(crate) struct Schedule {
    shares: Arc<[Share]>,
    chooser: Option<Box<dyn Chooser>>,
    /// The most requests that an endpoint may have.
    most: u32,
    /// Ejected endpoints are among the shares, and are used.
    panic: bool,
    /// The error when there are no shares.
    nothing: NoEndpoint,
    /// The same by parts, where the selection is parted.
    parts: Parts,
    /// Endpoints of other clusters, for requests that find none here.
    elsewhere: Option<Box<Schedule>>,
    /// The share of requests that goes to other clusters, in percent.
    away_percent: u8,
}

impl Schedule {
    /// A schedule without endpoints.
    pub(crate) fn nothing(nothing: NoEndpoint) -> Schedule {
        Schedule {
            shares: Arc::new([]),
            chooser: None,
            most: u32::MAX,
            panic: false,
            nothing,
            parts: Parts::default(),
            elsewhere: None,
            away_percent: 0,
        }
    }

    /// A schedule over what is arranged, which goes on where `before` was.
    pub(crate) fn new(
        policy: &Policy,
        arranged: Arranged,
        panic: bool,
        before: &Schedule,
    ) -> Schedule {
        let Arranged {
            shares,
            elsewhere,
            away_percent,
        } = arranged;
        let other = before.elsewhere.as_deref();
        let elsewhere = (!elsewhere.is_empty()).then(|| {
            let nobody = Schedule::nothing(NoEndpoint::Unknown);
            Schedule::over(policy, elsewhere, panic, other.unwrap_or(&nobody))
        });
        Schedule {
            elsewhere: elsewhere.map(Box::new),
            away_percent,
            ..Schedule::over(policy, shares, panic, before)
        }
    }

    fn over(policy: &Policy, shares: Vec<Share>, panic: bool, before: &Schedule) -> Schedule {
        let shares: Arc<[Share]> = shares.into();
        let chooser = policy.compile(&shares, before.chooser.as_deref());
        Schedule {
            shares,
            chooser: Some(chooser),
            most: policy
                .endpoint_limit()
                .map_or(u32::MAX, |limit| limit.requests),
            panic,
            nothing: NoEndpoint::NoneEligible,
            parts: Parts::default(),
            elsewhere: None,
            away_percent: 0,
        }
    }

    /// This schedule with its parts.
    pub(crate) fn with_parts(self, parts: Parts) -> Schedule {
        Schedule { parts, ..self }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// An endpoint of the part that the hint names, or what the fallback gives.
    pub(crate) fn pick_part(
        &self,
        hint: &Hint<'_>,
        fallback: Fallback,
    ) -> Result<Pick, NoEndpoint> {
        let named = hint.part.and_then(|name| self.parts.get(name));
        let of_part = named.map(|part| part.pick(hint));
        if let Some(Ok(pick)) = of_part {
            return Ok(pick);
        }
        let untagged = || self.parts.untagged().and_then(|part| part.pick(hint).ok());
        match (fallback, hint.part) {
            (Fallback::Any, _) => self.pick(hint),
            (Fallback::Refuse, Some(_)) if matches!(of_part, Some(Err(NoEndpoint::Full))) => {
                Err(NoEndpoint::Full)
            }
            (Fallback::Refuse, Some(_)) => Err(match (self.nothing, hint.tried.is_empty()) {
                (NoEndpoint::NoneEligible, false) => NoEndpoint::AllTried,
                (nothing, _) => nothing,
            }),
            (Fallback::Untagged | Fallback::Refuse, _) => {
                untagged().map_or_else(|| self.pick(hint), Ok)
            }
        }
    }

    /// Whether a new schedule over these would be this one.
    pub(crate) fn is_over(&self, arranged: &Arranged, panic: bool) -> bool {
        let elsewhere = self.elsewhere.as_deref();
        self.away_percent == arranged.away_percent
            && self.has(&arranged.shares, panic)
            && elsewhere.map_or(arranged.elsewhere.is_empty(), |elsewhere| {
                elsewhere.has(&arranged.elsewhere, panic)
            })
    }

    fn has(&self, shares: &[Share], panic: bool) -> bool {
        self.panic == panic
            && self.shares.len() == shares.len()
            && self
                .shares
                .iter()
                .zip(shares)
                .all(|(own, other)| own.is(other))
    }

    pub(crate) fn shares(&self) -> &[Share] {
        &self.shares
    }

    pub(crate) fn away_percent(&self) -> u8 {
        self.away_percent
    }

    pub(crate) fn is_panic(&self) -> bool {
        self.panic
    }

    /// An endpoint, if there is one here or elsewhere.
    pub(crate) fn pick(&self, hint: &Hint<'_>) -> Result<Pick, NoEndpoint> {
        match (self.pick_here(hint), &self.elsewhere) {
            (Err(NoEndpoint::Full), Some(elsewhere)) => {
                elsewhere.pick_here(hint).map_err(|_| NoEndpoint::Full)
            }
            (Err(_), Some(elsewhere)) => elsewhere.pick_here(hint),
            (picked, _) => picked,
        }
    }

    /// The policy's choice. If that was tried, is on trial or has just been ejected, another one is drawn by weight.
    fn pick_here(&self, hint: &Hint<'_>) -> Result<Pick, NoEndpoint> {
        let Some(chooser) = &self.chooser else {
            return Err(self.nothing);
        };
        if hint.tried.is_empty() {
            let share = &self.shares[chooser.choose(hint.key)];
            let is_revived = || self.panic && !share.held && share.endpoint.standing().is_out();
            if let Some(pick) = Pick::take(share, is_revived(), self.most) {
                return Ok(pick);
            }
        }
        self.pick_another(&**chooser, hint)
    }

    /// A retry does not take the next turn but draws by weight: otherwise the successor of a dead endpoint would get its load as well.
    ///
    /// An endpoint that discovery lists comes before a held one: held ones may all be dead together.
    #[cold]
    fn pick_another(&self, chooser: &dyn Chooser, hint: &Hint<'_>) -> Result<Pick, NoEndpoint> {
        let tried = hint.tried;
        let is_left = |share: &Share| !tried.contains(&share.endpoint.address());
        let may = |index: usize| {
            let share = &self.shares[index];
            is_left(share) && !share.held && self.is_free(share)
        };
        let next = hint.key.and_then(|key| chooser.next_of(key, &may));
        if let Some(pick) = next.and_then(|index| Pick::take(&self.shares[index], false, self.most))
        {
            return Ok(pick);
        }
        for _ in 0..REDRAWS {
            let share = &self.shares[chooser.choose_again()];
            if is_left(share)
                && !share.held
                && let Some(pick) = Pick::take(share, false, self.most)
            {
                return Ok(pick);
            }
        }
        // A listed endpoint that is ejected or on trial is better than none.
        let drawn = self
            .draw_among(|share| is_left(share) && !share.held && self.is_free(share))
            .or_else(|| {
                self.draw_among(|share| is_left(share) && share.held && self.is_free(share))
            })
            .or_else(|| {
                self.draw_among(|share| is_left(share) && !share.held && !self.is_full(share))
            });
        let picked = drawn.and_then(|share| Pick::take(share, true, self.most));
        // One that was drawn and not taken has got its last request meanwhile.
        let is_full = |share: &Share| is_left(share) && self.is_full(share);
        picked.ok_or_else(|| match tried.is_empty() {
            _ if drawn.is_some() || self.shares.iter().any(is_full) => NoEndpoint::Full,
            true => NoEndpoint::NoneEligible,
            false => NoEndpoint::AllTried,
        })
    }

    /// Whether a request may have it, rather than must.
    fn is_free(&self, share: &Share) -> bool {
        let condition = share.endpoint.standing().condition;
        matches!(condition, Condition::Well | Condition::OnTrial) && !self.is_full(share)
    }

    fn is_full(&self, share: &Share) -> bool {
        share.endpoint.is_full(self.most)
    }

    /// Whether an endpoint has room for a request.
    pub(crate) fn has_room(&self) -> bool {
        let elsewhere = self.elsewhere.as_deref();
        self.shares.iter().any(|share| self.is_free(share))
            || elsewhere.is_some_and(|elsewhere| elsewhere.has_room())
    }

    /// One of those that are wanted, drawn by weight in one pass.
    fn draw_among(&self, is_wanted: impl Fn(&Share) -> bool) -> Option<&Share> {
        let mut drawn = None;
        let mut total = 0_u64;
        for share in self.shares.iter().filter(|share| is_wanted(share)) {
            total += u64::from(share.weight);
            if fastrand::u64(..total) < u64::from(share.weight) {
                drawn = Some(share);
            }
        }
        drawn
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("shares", &self.shares)
            .field("panic", &self.panic)
            .finish_non_exhaustive()
    }
}
