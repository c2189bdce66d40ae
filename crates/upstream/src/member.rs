//! One endpoint as its service knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::set::EndpointSpec;

/// How long an endpoint that was registered afresh after an ejection takes to its full share.
const SLOW_START: Duration = Duration::from_secs(10);
/// It rises in steps: each is a rebuild.
const SLOW_START_STEP: Duration = Duration::from_secs(1);
/// What it begins with, of its weight.
const SLOW_START_FROM: f64 = 0.1;

/// What the source says of an endpoint, what ejection made of it, and its state that survives both.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) spec: EndpointSpec,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) ejection: Option<Ejection>,
    /// Ejections in a row, without an answer between them.
    pub(crate) failures: u32,
    pub(crate) slow_since: Option<Instant>,
}

/// Since when an endpoint is out, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ejection {
    pub(crate) until: Instant,
    pub(crate) cause: &'static str,
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

impl EndpointSpec {
    /// Whether the source lets it have traffic.
    pub(crate) fn is_eligible(&self, health_is_known: bool) -> bool {
        self.enabled
            && (self.healthy || !health_is_known)
            && weight_fault(self.weight).is_none()
            && self.weight > 0.0
    }
}

impl Member {
    pub(crate) fn new(spec: EndpointSpec, endpoint: Arc<Endpoint>) -> Member {
        Member {
            spec,
            endpoint,
            ejection: None,
            failures: 0,
            slow_since: None,
        }
    }

    /// Whether it is worth remembering although it is no longer listed: its requests are under way, or it would escape its ejection.
    pub(crate) fn is_remembered(&self, now: Instant) -> bool {
        self.endpoint.in_flight() > 0 || self.ejection.is_some_and(|ejection| ejection.until > now)
    }

    /// Whether an ejected one may return by itself. A held one may not: nobody lists it, so that nothing speaks for it.
    pub(crate) fn may_return(&self) -> bool {
        !self.spec.held
    }

    /// Its weight now, slow start considered.
    pub(crate) fn weight(&self, now: Instant) -> f64 {
        self.spec.weight * self.slow_start(now).unwrap_or(1.0)
    }

    /// How much of its weight it gets, if it starts slowly.
    pub(crate) fn slow_start(&self, now: Instant) -> Option<f64> {
        let age = now.saturating_duration_since(self.slow_since?);
        if age >= SLOW_START {
            return None;
        }
        let steps = SLOW_START.as_secs_f64() / SLOW_START_STEP.as_secs_f64();
        let step = (age.as_secs_f64() / SLOW_START_STEP.as_secs_f64()).floor();
        Some(SLOW_START_FROM + (1.0 - SLOW_START_FROM) * step / steps)
    }

    /// When it changes by itself next.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let returns = self
            .ejection
            .filter(|_| self.may_return())
            .map(|ejection| ejection.until);
        let steps = self.slow_since.map(|since| {
            let done =
                now.saturating_duration_since(since).as_secs_f64() / SLOW_START_STEP.as_secs_f64();
            since + SLOW_START_STEP.mul_f64(done.floor() + 1.0)
        });
        [returns, steps].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    #[test]
    fn eligible_is_enabled_and_healthy_and_of_a_weight_above_zero() {
        let good = EndpointSpec::new(([127, 0, 0, 1], 80).into());
        for (spec, known, unknown) in [
            (good.clone(), true, true),
            (
                EndpointSpec {
                    enabled: false,
                    ..good.clone()
                },
                false,
                false,
            ),
            (
                EndpointSpec {
                    healthy: false,
                    ..good.clone()
                },
                false,
                true,
            ),
            (
                EndpointSpec {
                    weight: 0.0,
                    ..good.clone()
                },
                false,
                false,
            ),
            (
                EndpointSpec {
                    weight: -0.0,
                    ..good.clone()
                },
                false,
                false,
            ),
            (
                EndpointSpec {
                    weight: -1.0,
                    ..good.clone()
                },
                false,
                false,
            ),
            (
                EndpointSpec {
                    weight: f64::NAN,
                    ..good.clone()
                },
                false,
                false,
            ),
            (
                EndpointSpec {
                    weight: f64::INFINITY,
                    ..good.clone()
                },
                false,
                false,
            ),
            (
                EndpointSpec {
                    weight: 1e-9,
                    ..good.clone()
                },
                true,
                true,
            ),
            (
                EndpointSpec {
                    held: true,
                    ..good.clone()
                },
                true,
                true,
            ),
        ] {
            assert_eq!(spec.is_eligible(true), known, "{spec:?}");
            assert_eq!(spec.is_eligible(false), unknown, "{spec:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_start_rises_from_a_tenth_to_all_in_ten_seconds() {
        let address = ([127, 0, 0, 1], 80).into();
        let endpoint = Arc::new(Endpoint::new(address, Weak::new()));
        let mut member = Member::new(EndpointSpec::new(address), endpoint);
        let start = Instant::now();
        assert_eq!(member.weight(start), 1.0);
        member.slow_since = Some(start);
        for (milliseconds, percent, next) in [
            (0, 10, 1),
            (999, 10, 1),
            (1_000, 19, 2),
            (5_500, 55, 6),
            (9_999, 91, 10),
        ] {
            let now = start + Duration::from_millis(milliseconds);
            assert_eq!((member.weight(now) * 100.0).round(), f64::from(percent));
            assert_eq!(
                member.next_change(now),
                Some(start + Duration::from_secs(next))
            );
        }
        assert_eq!(member.weight(start + SLOW_START), 1.0);
    }
}
