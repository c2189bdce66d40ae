//! Whether an endpoint may be used, with every reason: the one place that decides it.

use std::fmt;

use serde::Serialize;

use crate::member::Member;
use crate::set::EndpointSpec;

/// Why an endpoint is in or out: the one list of words, for JSON and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// No reason is against it.
    #[serde(rename = "eligible")]
    Eligible,
    /// An operator took it out.
    #[serde(rename = "disabled")]
    Disabled,
    /// Nacos marks it as unhealthy.
    #[serde(rename = "unhealthy")]
    Unhealthy,
    /// Its weight is 0.
    #[serde(rename = "weight zero")]
    WeightZero,
    /// Its weight is negative, infinite or not a number.
    #[serde(rename = "weight refused")]
    WeightRefused,
    /// It refused, reset or did not answer. In panic mode it is used all the same.
    #[serde(rename = "ejected")]
    Ejected,
    /// An active check fails; in panic mode it is used all the same.
    #[serde(rename = "check failed")]
    CheckFailed,
    /// It is back from ejection and gets one request, on which the rest depends.
    #[serde(rename = "on trial")]
    OnTrial,
    /// Discovery no longer lists it; it is kept for a while.
    #[serde(rename = "held")]
    Held,
    /// No route's subset has it.
    #[serde(rename = "filtered")]
    Filtered,
    /// It has begun to take requests a short time ago and gets a part of its weight.
    #[serde(rename = "slow start")]
    SlowStart,
}

impl Reason {
    const ALL: [Reason; 11] = [
        Reason::Eligible,
        Reason::Disabled,
        Reason::Unhealthy,
        Reason::WeightZero,
        Reason::WeightRefused,
        Reason::Ejected,
        Reason::CheckFailed,
        Reason::OnTrial,
        Reason::Held,
        Reason::Filtered,
        Reason::SlowStart,
    ];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Eligible => "eligible",
            Reason::Disabled => "disabled",
            Reason::Unhealthy => "unhealthy",
            Reason::WeightZero => "weight zero",
            Reason::WeightRefused => "weight refused",
            Reason::Ejected => "ejected",
            Reason::CheckFailed => "check failed",
            Reason::OnTrial => "on trial",
            Reason::Held => "held",
            Reason::Filtered => "filtered",
            Reason::SlowStart => "slow start",
        }
    }

    /// Whether it keeps requests away.
    fn is_against(self) -> bool {
        use Reason::*;
        match self {
            Disabled | Unhealthy | WeightZero | WeightRefused | Ejected | CheckFailed
            | Filtered => true,
            Eligible | OnTrial | Held | SlowStart => false,
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// In or out, with every reason. Who finds a new reason adds it here and nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict(u16);

impl Verdict {
    /// The verdict on one listing of an address: what discovery says of the listing, and what is known of the address.
    pub(crate) fn on(listing: &EndpointSpec, member: &Member, health_is_known: bool) -> Verdict {
        let standing = member.endpoint.standing();
        Verdict::listed(listing, health_is_known)
            .and(member.ejection.is_some(), Reason::Ejected)
            .and(member.is_failing(), Reason::CheckFailed)
            .and(standing.is_on_trial(), Reason::OnTrial)
            .and(listing.held, Reason::Held)
            .and(member.slow_start.is_some(), Reason::SlowStart)
    }

    /// What discovery alone has against a listing.
    pub(crate) fn listed(listing: &EndpointSpec, health_is_known: bool) -> Verdict {
        let is_refused = weight_fault(listing.weight).is_some();
        Verdict::default()
            .and(!listing.enabled, Reason::Disabled)
            .and(!listing.healthy && health_is_known, Reason::Unhealthy)
            .and(listing.weight == 0.0, Reason::WeightZero)
            .and(is_refused, Reason::WeightRefused)
    }

    /// The verdict with that reason, if it applies.
    pub(crate) fn and(self, applies: bool, reason: Reason) -> Verdict {
        match applies {
            true => Verdict(self.0 | reason.bit()),
            false => self,
        }
    }

    pub(crate) fn has(self, reason: Reason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// Whether requests may go to it.
    pub(crate) fn is_in(self) -> bool {
        !Reason::ALL
            .iter()
            .any(|reason| reason.is_against() && self.has(*reason))
    }

    /// Whether it is out by what the gateway found itself: requests, or checks.
    pub(crate) fn is_found_out(self) -> bool {
        self.has(Reason::Ejected) || self.has(Reason::CheckFailed)
    }

    /// Whether it would be in without what the gateway found itself, and panic may overlook that. Nobody vouches for a held endpoint.
    pub(crate) fn is_in_by_panic(self) -> bool {
        let found = Reason::Ejected.bit() | Reason::CheckFailed.bit();
        !self.has(Reason::Held) && Verdict(self.0 & !found).is_in()
    }

    /// Every reason; `eligible` if there is no other.
    pub(crate) fn reasons(self) -> Vec<Reason> {
        let given = Reason::ALL.into_iter().filter(|reason| self.has(*reason));
        match self.0 {
            0 => vec![Reason::Eligible],
            _ => given.collect(),
        }
    }
}

/// Why a weight is not one.
pub(crate) fn weight_fault(weight: f64) -> Option<&'static str> {
    if weight.is_nan() {
        Some("weight is not a number")
    } else if weight.is_infinite() {
        Some("weight is infinite")
    } else if weight < 0.0 {
        Some("weight is negative")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_in_when_enabled_and_healthy_and_of_a_weight_above_zero() {
        let good = || EndpointSpec::new(([127, 0, 0, 1], 80).into());
        let weight = |weight| EndpointSpec { weight, ..good() };
        let disabled = EndpointSpec {
            enabled: false,
            ..good()
        };
        let sick = EndpointSpec {
            healthy: false,
            ..good()
        };
        let held = EndpointSpec {
            held: true,
            ..good()
        };
        for (spec, known, unknown) in [
            (good(), true, true),
            (disabled, false, false),
            (sick, false, true),
            (weight(0.0), false, false),
            (weight(-0.0), false, false),
            (weight(-1.0), false, false),
            (weight(f64::NAN), false, false),
            (weight(f64::INFINITY), false, false),
            (weight(1e-9), true, true),
            (held, true, true),
        ] {
            assert_eq!(Verdict::listed(&spec, true).is_in(), known, "{spec:?}");
            assert_eq!(Verdict::listed(&spec, false).is_in(), unknown, "{spec:?}");
        }
    }

    #[test]
    fn panic_overlooks_what_was_found_and_nothing_else() {
        let ejected = Verdict::default().and(true, Reason::Ejected);
        assert!(!ejected.is_in() && ejected.is_in_by_panic());
        for other in [Reason::Held, Reason::Disabled, Reason::WeightZero] {
            assert!(!ejected.and(true, other).is_in_by_panic(), "{other}");
        }
        let both = ejected.and(true, Reason::CheckFailed);
        assert!(!both.is_in() && both.is_in_by_panic());
        assert_eq!(ejected.reasons(), [Reason::Ejected]);
        assert_eq!(Verdict::default().reasons(), [Reason::Eligible]);
    }
}
