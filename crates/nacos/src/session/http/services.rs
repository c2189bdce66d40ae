//! Services by polling: the newest state is the answer to the newest question.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};

use super::TICK;
use crate::{
    core::Core,
    error::Error,
    link::Link,
    model::{Origin, ServiceName},
    session::answers,
};

/// Questions in flight at a time.
const IN_FLIGHT: usize = 8;

/// The bounds of what a server may advise.
const INTERVALS: std::ops::RangeInclusive<u64> = 1_000..=10_000;

/// The interval where no server advises one, as over HTTP v3.
const UNADVISED_MS: u64 = 5_000;

/// The pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Polls every watched service, for as long as the server answers.
pub(super) async fn run(core: &Core, link: &Link) -> Infallible {
    let mut due: HashMap<ServiceName, Instant> = HashMap::new();
    loop {
        let now = Instant::now();
        // The first state is asked for by whoever tells the server what is wanted.
        let known = |name: &ServiceName| {
            let state = core.desired.service_state(name);
            state.is_some_and(|state| state.epoch == link.epoch)
        };
        let names: Vec<ServiceName> = core
            .desired
            .service_names()
            .into_iter()
            .filter(known)
            .collect();
        due.retain(|name, _| names.contains(name));
        let is_due = |name: &ServiceName| due.get(name).is_none_or(|due| *due <= now);
        let answered: Vec<(ServiceName, Duration)> = stream::iter(names.into_iter().filter(is_due))
            .map(|name| async move {
                let pause = poll(core, link, &name).await;
                (name, pause)
            })
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await;
        let now = Instant::now();
        due.extend(
            answered
                .into_iter()
                .map(|(name, pause)| (name, now + pause)),
        );
        sleep(TICK).await;
    }
}

/// Asks once, and says when to ask again.
async fn poll(core: &Core, link: &Link, name: &ServiceName) -> Duration {
    core.counters.service_polls.increment();
    match ask(core, link, name).await {
        // Not all at one moment.
        Ok(interval) => interval.mul_f64(0.9 + 0.1 * fastrand::f64()),
        Err(error) => {
            tracing::debug!(service = %name, %error, "a service could not be polled");
            core.desired.fail_service(name, error);
            AFTER_FAILURE
        }
    }
}

async fn ask(core: &Core, link: &Link, name: &ServiceName) -> Result<Duration, Error> {
    let pushes = core.desired.service_pushes(name);
    let answer = core
        .ask_over(link, answers::service_query(core, name))
        .await?;
    let advised = answer.service_info.as_ref().map(|info| info.cache_millis);
    let state = answers::service_state(answer.service_info, Origin::Poll, link.epoch)?;
    core.desired.answer_service(name, state, pushes);
    Ok(interval(advised.unwrap_or_default()))
}

fn interval(advised_ms: u64) -> Duration {
    let ms = if advised_ms == 0 {
        UNADVISED_MS
    } else {
        advised_ms.clamp(*INTERVALS.start(), *INTERVALS.end())
    };
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_advise_within_bounds() {
        for (advised, expected) in [
            (0, 5_000),
            (1, 1_000),
            (3_000, 3_000),
            (10_000, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(interval(advised), Duration::from_millis(expected));
        }
    }
}
