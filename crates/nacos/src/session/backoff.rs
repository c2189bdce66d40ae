//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// A connection that lived this long was a good one, so its end does not count as one more failure.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// The pause before an attempt at a server not yet tried. It is short, so that a short outage ends at once, and spread, so
/// that the clients of a server do not all come back at the same moment.
const AT_ONCE: Duration = Duration::from_millis(150);

/// The pause after all servers failed once; it doubles with each round.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause.
const CAP: Duration = Duration::from_secs(10);

/// Doubling pauses with jitter, counted in rounds over all servers.
#[derive(Debug)]
pub(super) struct Backoff {
    servers: u32,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(servers: usize) -> Self {
        Self {
            servers: u32::try_from(servers.max(1)).unwrap_or(u32::MAX),
            failures: 0,
        }
    }

    /// Takes note of how long the last connection lived, its making included.
    pub(super) fn lived(&mut self, life: Duration, was_connected: bool) {
        if was_connected && life >= GOOD_LIFE {
            self.failures = 0;
        }
    }

    /// The next pause.
    pub(super) fn pause(&mut self, random: &mut fastrand::Rng) -> Duration {
        let round = self.failures / self.servers;
        self.failures = self.failures.saturating_add(1);
        if round == 0 {
            return AT_ONCE.mul_f64(random.f64());
        }
        let pause = (FIRST * 2_u32.saturating_pow((round - 1).min(10))).min(CAP);
        pause.mul_f64(0.5 + 0.5 * random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(backoff: &mut Backoff, random: &mut fastrand::Rng, count: usize) -> Vec<Duration> {
        (0..count).map(|_| backoff.pause(random)).collect()
    }

    #[test]
    fn every_server_is_tried_at_once_and_then_ever_more_slowly() {
        for servers in [1, 3] {
            let mut random = fastrand::Rng::with_seed(1);
            let pauses = pauses(&mut Backoff::new(servers), &mut random, servers * 12);
            for (round, pauses) in pauses.chunks(servers).enumerate() {
                let (least, most) = match round {
                    0 => (Duration::ZERO, AT_ONCE),
                    round => {
                        let most = (FIRST * 2_u32.pow(round as u32 - 1)).min(CAP);
                        (most / 2, most)
                    }
                };
                assert!(
                    pauses.iter().all(|pause| (least..=most).contains(pause)),
                    "{round}: {pauses:?}"
                );
            }
        }
    }

    #[test]
    fn only_a_connection_that_lived_starts_over() {
        let mut random = fastrand::Rng::with_seed(1);
        for (life, was_connected, starts_over) in [
            (GOOD_LIFE, true, true),
            (GOOD_LIFE, false, false),
            (GOOD_LIFE - Duration::from_millis(1), true, false),
        ] {
            let mut backoff = Backoff::new(1);
            pauses(&mut backoff, &mut random, 8);
            backoff.lived(life, was_connected);
            assert_eq!(
                backoff.pause(&mut random) <= AT_ONCE,
                starts_over,
                "{life:?} {was_connected}"
            );
        }
    }
}
