//! The pause between two attempts to connect, which ends early when a server can be reached again.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{core::Core, error::Error};

/// A longer pause ends early when a server can be reached again. So everything is live again two seconds after an outage.
const SHORT: Duration = Duration::from_secs(1);

/// How long one look may take: a server that takes a connection does so at once.
const LOOK: Duration = Duration::from_secs(1);

/// Waits as long as the back-off says, and returns the server to try next when one can be reached before.
///
/// If a server takes connections but does not answer, reaching it says nothing. The pause is short then, since the attempt itself
/// has waited for an answer.
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
        // No server was reached.
        Some(Error::NotConnected(_)) => {}
        // The server is there, and refuses for now.
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
