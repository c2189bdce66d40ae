//! The pause between two attempts to connect, which ends early when a server can be reached again.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{core::Core, error::Error};

/// A longer pause is ended by a server that can be reached again; a shorter one is over soon anyway. So everything is live
/// again two seconds after an outage.
const SHORT: Duration = Duration::from_secs(1);

/// How long one look may take: a server that takes a connection does so at once.
const LOOK: Duration = Duration::from_secs(1);

/// Waits as long as the back-off says, and returns the server to try next when one can be reached before.
///
/// Where a server takes connections and does not answer, being reached says nothing: the pause is short then, since the attempt
/// itself has waited for its answer.
pub(super) async fn pause(
    core: &Core,
    backoff: Duration,
    failure: Option<&Error>,
    random: &mut fastrand::Rng,
) -> Option<usize> {
    let jitter = SHORT.mul_f64(0.8 + 0.2 * random.f64());
    if backoff <= jitter {
        sleep(backoff).await;
        return None;
    }
    match failure {
        // Nobody was there.
        Some(Error::NotConnected(_)) => {}
        // It is there, and asks to be left alone.
        Some(Error::Overloaded | Error::Forbidden { .. }) => {
            sleep(backoff).await;
            return None;
        }
        _ => {
            sleep(jitter).await;
            return None;
        }
    }
    timeout(backoff, reachable(core, jitter)).await.ok()
}

/// Returns the first server whose gRPC port takes a connection.
async fn reachable(core: &Core, every: Duration) -> usize {
    loop {
        sleep(every).await;
        for (index, server) in core.options.servers.iter().enumerate() {
            if let Some(at) = core.network.grpc_address(server)
                && matches!(timeout(LOOK, core.network.tcp(&at)).await, Ok(Ok(_)))
            {
                return index;
            }
        }
    }
}
