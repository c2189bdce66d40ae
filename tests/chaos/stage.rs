//! What most scenarios begin with: a registry, endpoints that keep account, a gateway, all of one length.

use std::sync::Arc;
use std::time::Duration;

use crate::origin::{Ledger, Manner, Origin};
use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{Registered, World};

/// The service behind the gateway.
pub(crate) const SERVICE: &str = "user-service";

/// The path of its route.
pub(crate) const PATH: &str = "/api/users/1";

/// How long and how hard a scenario runs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// For every change: a few seconds, and a load that an unoptimised gateway on a busy machine bears.
    Short,
    /// For figures: a minute, at a load of the order of real ones.
    Long,
}

impl Length {
    /// One of two.
    pub(crate) fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Length::Short => short,
            Length::Long => long,
        }
    }

    /// So many seconds of either.
    pub(crate) fn seconds(self, short: u64, long: u64) -> Duration {
        Duration::from_secs(self.pick(short, long))
    }

    /// Requests a second of the main load.
    pub(crate) fn rate(self) -> f64 {
        self.pick(100.0, 2_000.0)
    }
}

/// One endpoint and its registration.
pub(crate) struct Instance {
    pub(crate) origin: Origin,
    pub(crate) registered: Registered,
}

/// A registry, a service with some instances, and a gateway with one route to it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) gateway: Gateway,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) instances: Vec<Instance>,
}

impl Stage {
    /// The whole of it, with these further settings.
    pub(crate) async fn set(instances: usize, manner: Manner, more: &str) -> Stage {
        let world = World::new().await;
        let ledger = Arc::default();
        let mut all = Vec::new();
        for n in 0..instances {
            all.push(instance(&world, &ledger, &format!("i{n}"), manner.clone()).await);
        }
        world
            .publish(&format!("routes: {{ /api/users/**: {SERVICE} }}"))
            .await;
        let gateway = world.gateway_with(&settings(more)).await.ready().await;
        endpoints(&gateway, instances).await;
        Stage {
            world,
            gateway,
            ledger,
            instances: all,
        }
    }
}

/// Further settings, and no line for each request: the harness keeps every line of the gateway.
pub(crate) fn settings(more: &str) -> String {
    format!("log: {{ access: false }}\n{more}")
}

/// A fresh instance, registered.
pub(crate) async fn instance(
    world: &World,
    ledger: &Arc<Ledger>,
    name: &str,
    manner: Manner,
) -> Instance {
    let origin = Origin::start(name, ledger, manner);
    let registered = world.register(SERVICE, origin.address()).await;
    Instance { origin, registered }
}

/// Waits until the gateway has so many endpoints.
pub(crate) async fn endpoints(gateway: &Gateway, number: usize) {
    until(&format!("{number} endpoints"), async || {
        let view = gateway
            .admin_json(&format!("/api/v1/services/{SERVICE}"))
            .await;
        (view["endpoints"].as_array()?.len() == number).then_some(())
    })
    .await;
}
