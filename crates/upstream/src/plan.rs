//! A selection's compiled state: what a pick reads.

use std::fmt;
use std::sync::Arc;

use crate::Policy;
use crate::balance::{Chooser, Share};
use crate::endpoint::{Condition, Endpoint};
use crate::pick::Pick;
use crate::tried::Tried;

/// How often a request whose first choice cannot be used draws again before all shares are looked at.
const REDRAWS: usize = 8;

/// Why there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// Nobody has said yet which endpoints the service has.
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
}

/// Which endpoints may be picked, and the policy's chooser over them. Immutable but for the chooser's own counters.
pub(crate) struct Plan {
    shares: Arc<[Share]>,
    chooser: Option<Box<dyn Chooser>>,
    /// Ejected endpoints are among the shares, and are used.
    panic: bool,
    /// What to say when there are no shares.
    nothing: NoEndpoint,
}

impl Plan {
    /// A plan without endpoints.
    pub(crate) fn nothing(nothing: NoEndpoint) -> Plan {
        Plan {
            shares: Arc::new([]),
            chooser: None,
            panic: false,
            nothing,
        }
    }

    /// A plan over `shares`, which goes on where `before` was.
    pub(crate) fn new(policy: &Policy, shares: Vec<Share>, panic: bool, before: &Plan) -> Plan {
        let shares: Arc<[Share]> = shares.into();
        let chooser = policy.compile(&shares, before.chooser.as_deref());
        Plan {
            shares,
            chooser: Some(chooser),
            panic,
            nothing: NoEndpoint::NoneEligible,
        }
    }

    /// Whether a new plan over these would be this one.
    pub(crate) fn is_over(&self, shares: &[Share], panic: bool) -> bool {
        self.panic == panic
            && self.shares.len() == shares.len()
            && self.shares.iter().zip(shares).all(|(own, other)| {
                own.weight == other.weight && Arc::ptr_eq(&own.endpoint, &other.endpoint)
            })
    }

    pub(crate) fn shares(&self) -> &[Share] {
        &self.shares
    }

    pub(crate) fn is_panic(&self) -> bool {
        self.panic
    }

    /// The policy's choice, or another by weight when that one was tried, is on trial or has just been ejected.
    pub(crate) fn pick(&self, tried: &Tried) -> Result<Pick, NoEndpoint> {
        let Some(chooser) = &self.chooser else {
            return Err(self.nothing);
        };
        if tried.is_empty() {
            let endpoint = &self.shares[chooser.choose()].endpoint;
            let is_out = || endpoint.standing().condition == Condition::Out;
            if let Some(pick) = Pick::take(endpoint, self.panic && is_out()) {
                return Ok(pick);
            }
        }
        self.pick_another(&**chooser, tried)
    }

    /// A retry does not take the next turn but draws by weight: otherwise the successor of a dead endpoint would get its load as well.
    #[cold]
    fn pick_another(&self, chooser: &dyn Chooser, tried: &Tried) -> Result<Pick, NoEndpoint> {
        for _ in 0..REDRAWS {
            let endpoint = &self.shares[chooser.choose_again()].endpoint;
            if !tried.contains(&endpoint.address())
                && let Some(pick) = Pick::take(endpoint, false)
            {
                return Ok(pick);
            }
        }
        let is_well = |endpoint: &Endpoint| {
            matches!(
                endpoint.standing().condition,
                Condition::Well | Condition::OnTrial
            )
        };
        // Better one that is ejected or on trial than none at all.
        self.draw_among(|endpoint| !tried.contains(&endpoint.address()) && is_well(endpoint))
            .or_else(|| self.draw_among(|endpoint| !tried.contains(&endpoint.address())))
            .and_then(|endpoint| Pick::take(endpoint, true))
            .ok_or(NoEndpoint::AllTried)
    }

    /// One of those that are wanted, drawn by weight in one pass.
    fn draw_among(&self, is_wanted: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
        let mut drawn = None;
        let mut total = 0_u64;
        for share in self
            .shares
            .iter()
            .filter(|share| is_wanted(&share.endpoint))
        {
            total += u64::from(share.weight);
            if fastrand::u64(..total) < u64::from(share.weight) {
                drawn = Some(&share.endpoint);
            }
        }
        drawn
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("shares", &self.shares)
            .field("panic", &self.panic)
            .finish_non_exhaustive()
    }
}
