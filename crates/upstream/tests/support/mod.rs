//! What the suites share.

#![allow(dead_code, unreachable_pub, reason = "each suite uses its own part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_telemetry::Metrics;
use pailou_upstream::{
    EjectionSettings, EndpointSet, EndpointSpec, EndpointView, Hint, Outcome, Pick, Policy,
    Selection, Service, ServiceId, Services, Subset,
};

/// An answer as it should be.
pub const ANSWERED: Outcome = Outcome::Answered {
    status: 200,
    latency: Duration::from_millis(1),
};

/// One service with a selection of everything under one policy.
pub struct World {
    pub metrics: Metrics,
    pub services: Arc<Services>,
    pub service: Arc<Service>,
    pub selection: Arc<Selection>,
}

impl World {
    pub fn new(policy: &str) -> World {
        World::with(policy, EjectionSettings::default())
    }

    pub fn with(policy: &str, settings: EjectionSettings) -> World {
        let metrics = Metrics::new();
        let services = Services::new(settings, metrics.clone());
        let service = services.service(&ServiceId::new("", "DEFAULT_GROUP", "user-service"));
        let policy = Policy::named(policy).expect("the policy is listed");
        let selection = services.selection(&service, &Subset::default(), &policy);
        World {
            metrics,
            services,
            service,
            selection,
        }
    }

    /// Endpoints 1, 2, … with these weights.
    pub fn weights(&self, weights: &[f64]) {
        let spec = |(index, weight): (usize, &f64)| EndpointSpec {
            weight: *weight,
            ..spec(index as u16 + 1)
        };
        self.service
            .update(EndpointSet::of(weights.iter().enumerate().map(spec)));
    }

    pub fn update(&self, specs: impl IntoIterator<Item = EndpointSpec>) {
        self.service.update(EndpointSet::of(specs));
    }

    pub fn pick(&self) -> Pick {
        self.selection.pick(&Hint::first()).expect("an endpoint")
    }

    /// Where `count` requests go that are answered at once.
    pub fn shares(&self, count: usize) -> BTreeMap<u16, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..count {
            let pick = self.pick();
            pick.report(ANSWERED);
            *shares.entry(pick.address().port()).or_default() += 1;
        }
        shares
    }

    /// Picks until it gets that endpoint, and reports of it alone; the supervisor has seen it.
    pub fn report(&self, number: u16, outcome: Outcome) {
        self.pick_of(number).report(outcome);
        self.services.advance();
    }

    /// A pick of that endpoint.
    pub fn pick_of(&self, number: u16) -> Pick {
        (0..10_000)
            .map(|_| self.pick())
            .find(|pick| pick.address() == address(number))
            .unwrap_or_else(|| panic!("{number} is never picked"))
    }

    pub fn is_picked(&self, number: u16) -> bool {
        (0..1_000).any(|_| {
            self.selection
                .pick(&Hint::first())
                .is_ok_and(|pick| pick.address() == address(number))
        })
    }

    pub fn view(&self, number: u16) -> EndpointView {
        let view = self.service.view();
        let is_it = |endpoint: &EndpointView| endpoint.address == address(number);
        view.endpoints
            .into_iter()
            .find(is_it)
            .expect("it is listed")
    }

    /// The words that say why an endpoint is in or out.
    pub fn reasons(&self, number: u16) -> String {
        let words: Vec<&str> = self
            .view(number)
            .reasons
            .iter()
            .map(|reason| reason.word())
            .collect();
        words.join(", ")
    }

    pub fn assert_metric(&self, line: &str) {
        let text = self.metrics.render();
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

pub fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], number))
}

pub fn spec(number: u16) -> EndpointSpec {
    EndpointSpec::new(address(number))
}

/// Asserts each share of `shares` against its part of `weights`, within so many percentage points.
pub fn assert_shares(shares: &BTreeMap<u16, usize>, weights: &[f64], points: f64, what: &str) {
    let (picks, total) = (
        shares.values().sum::<usize>() as f64,
        weights.iter().sum::<f64>(),
    );
    for (index, weight) in weights.iter().enumerate() {
        let share = shares.get(&(index as u16 + 1)).copied().unwrap_or(0) as f64 / picks * 100.0;
        let exact = weight / total * 100.0;
        assert!(
            (share - exact).abs() <= points,
            "{what}: {} got {share} % for {exact} %",
            index + 1
        );
    }
}
