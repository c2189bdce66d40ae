//! Active checks: every endpoint that a route wants checked is asked, again and again.
//!
//! One prober for each service, address and check, however many routes want it. It begins when the address is listed and a route wants
//! the check, and ends with either. On a connection of its own each time: what is checked is that one comes about.

mod probe;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pailou_telemetry::tasks::Tasks;
use pailou_upstream::{Services, Target, TargetId};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::server::Server;

/// Changes that come close together are one: a push of a thousand endpoints is looked at once.
const SETTLE: Duration = Duration::from_millis(50);
/// The first question comes within this time, and not of all endpoints at once.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// An interval is up to so much shorter or longer, so that gateways and endpoints do not march in step.
const JITTER: f64 = 0.1;
/// The most questions at once: a network that swallows everything must not take the descriptors of requests.
const MOST_AT_ONCE: usize = 256;

static AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(MOST_AT_ONCE));

/// A prober. It ends when this is dropped.
struct Prober {
    target: Target,
    _task: Tasks,
}

impl Server {
    /// Asks whatever is to be asked. Never ends, and may be dropped at any time.
    pub(crate) async fn check(self: Arc<Self>, services: Arc<Services>) -> Infallible {
        let mut probers: HashMap<TargetId, Prober> = HashMap::new();
        loop {
            let targets = services.targets();
            let mut running = HashMap::with_capacity(targets.len());
            for target in targets {
                let same = probers.remove(&target.id());
                let same = same.filter(|prober| prober.target == target);
                let id = target.id();
                let prober = same.unwrap_or_else(|| Prober::start(target, &self));
                running.insert(id, prober);
            }
            // What is left over ends here.
            probers = running;
            services.checks_changed().await;
            tokio::time::sleep(SETTLE).await;
        }
    }
}

impl Prober {
    fn start(target: Target, server: &Arc<Server>) -> Prober {
        let mut task = Tasks::new(&server.metrics);
        let (asked, server) = (target.clone(), Arc::clone(server));
        task.keep("health check", move || {
            ask(asked.clone(), Arc::clone(&server))
        });
        Prober {
            target,
            _task: task,
        }
    }
}

/// Asks an endpoint until this is dropped.
async fn ask(target: Target, server: Arc<Server>) -> Infallible {
    let spec = &target.check.spec;
    let mut next = Instant::now() + FIRST_WITHIN.min(spec.interval).mul_f64(fastrand::f64());
    loop {
        tokio::time::sleep_until(next).await;
        next = Instant::now()
            + spec
                .interval
                .mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0));
        // It is never closed. An endpoint that waits for its turn has not failed.
        let _permit = AT_ONCE.acquire().await;
        if let Some(answer) = probe::ask(&target, &server.transport).await {
            target.report(answer);
        }
    }
}
