//! The tunnels over one HTTP/2 connection. Each tunnel has a task of its own. The
//! connection's task owns all of them, as the task of an HTTP/1.1 connection owns
//! the one tunnel that this may become.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use pailou_telemetry::Metrics;
use tokio::task::JoinSet;

use crate::panics::ToldOfPanic;

/// Tasks that end with their owner.
#[derive(Debug)]
pub(crate) struct Tunnels {
    running: Mutex<JoinSet<()>>,
    metrics: Metrics,
}

impl Tunnels {
    /// None yet. The connection's task holds this; a stream that may become a
    /// tunnel only knows of it.
    pub(crate) fn new(metrics: &Metrics) -> Arc<Tunnels> {
        Arc::new(Tunnels {
            running: Mutex::default(),
            metrics: metrics.clone(),
        })
    }

    /// Runs a tunnel until it ends. A panic costs this tunnel only, and is reported.
    pub(crate) fn run(&self, tunnel: impl Future<Output = ()> + Send + 'static) {
        let told = ToldOfPanic::new("tunnel", &self.metrics);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended leave room.
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            let _told = told;
            tunnel.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_and_is_told_of() {
        let metrics = Metrics::new();
        let tunnels = Tunnels::new(&metrics);
        let (alive, watched) = tokio::sync::watch::channel(());
        tunnels.run(async move {
            let _held = watched;
            std::future::pending().await
        });
        tunnels.run(async { panic!("a tunnel panics") });
        while !metrics.render().contains("\npailou_tasks_ended_total 1\n") {
            tokio::task::yield_now().await;
        }
        assert!(!alive.is_closed(), "the other one goes on");
        drop(tunnels);
        alive.closed().await;
    }

    #[tokio::test]
    async fn those_that_have_ended_take_no_room() {
        let tunnels = Tunnels::new(&Metrics::new());
        for _ in 0..100 {
            let (ended, end) = tokio::sync::oneshot::channel();
            tunnels.run(async move {
                let _ = ended.send(());
            });
            end.await.expect("it has run");
        }
        let running = tunnels.running.lock().expect("nobody panicked");
        assert!(running.len() < 10, "{}", running.len());
    }
}
