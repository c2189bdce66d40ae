//! File descriptors: how many the process may have, and so how many clients it can serve.
//!
//! A process without free descriptors accepts no connection, not even the kubelet's probe or an operator's request. So clients
//! are turned away before that, whatever `limits.connections` says.

use pailou_config::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the probes, the admin interface, Nacos and files.
const RESERVE: u64 = 256;

/// Raises the file limit as far as possible, and lowers `limits.connections` to what the limit allows.
pub(crate) fn limit_connections(settings: &mut Settings) {
    let Some(descriptors) = raise() else {
        return;
    };
    let allowed = connections(descriptors);
    let wanted = settings.limits.connections;
    if wanted > allowed {
        tracing::warn!(
            wanted,
            allowed,
            file_limit = descriptors,
            "limits.connections is lowered to what the file limit allows: raise the file limit, or lower the setting"
        );
        settings.limits.connections = allowed;
    }
}

/// Raises the soft limit to the hard one, and returns the limit; `None` if there is none. Services are often started
/// with a soft limit of 1,024, for programs that use `select`.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        // A sandbox may forbid this. The limit stays then.
        Err(_) => current,
    }
}

/// How many client connections a limit allows, one at least: each may need another descriptor for its endpoint, and as
/// many connections to endpoints may be kept idle.
fn connections(descriptors: u64) -> usize {
    let reserve = RESERVE.min(descriptors / 2);
    let clients = (descriptors - reserve) / 3;
    usize::try_from(clients).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_descriptors_for_each_connection_and_some_in_reserve() {
        for (descriptors, expected) in [
            (1_048_576, 349_440),
            (60_256, 20_000),
            (1024, 256),
            (256, 42),
            (0, 1),
        ] {
            assert_eq!(connections(descriptors), expected, "{descriptors}");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((raised, now.current), (now.maximum, now.maximum));
    }
}
