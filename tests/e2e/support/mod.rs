//! What the cases stand on: the real binary as a child process, upstreams that say who they are, a load generator.

pub(crate) mod authority;
pub(crate) mod gateway;
pub(crate) mod load;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod recorder;
pub(crate) mod redis;
pub(crate) mod samples;
pub(crate) mod shell;
pub(crate) mod tls_client;
pub(crate) mod upstream;
pub(crate) mod world;

use std::time::{Duration, Instant};

/// How long a condition may take to come true. Generous, since the machines that run this are slow and shared; a
/// case that passes never waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `condition` yields a value, or fails the test with what was waited for.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
