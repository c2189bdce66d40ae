//! Beats: what keeps an own instance alive where no connection does.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::TICK;
use crate::{
    core::Core,
    desired::Key,
    error::Error,
    link::Link,
    model::{Instance, ServiceName},
    over_http::{Beat, Http},
};

/// The pause between beats, unless the server asks for another. It takes an instance for unhealthy after 15 s.
const INTERVAL: Duration = Duration::from_secs(5);

/// The bounds of what a server may ask for.
const INTERVALS_MS: std::ops::RangeInclusive<u64> = 1_000..=10_000;

/// The pause after a beat that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The beats of one version of an instance.
struct Rhythm {
    version: u64,
    due: Instant,
    light: bool,
}

/// Sends beats for every registered instance, for as long as the server answers.
pub(super) async fn run(core: &Core, link: &Link, http: &Arc<Http>) -> Infallible {
    let mut rhythms: HashMap<ServiceName, Rhythm> = HashMap::new();
    loop {
        let registered = core.desired.registered();
        rhythms.retain(|name, rhythm| {
            let is_same = |(of, _, version): &(ServiceName, Instance, u64)| {
                (of, *version) == (name, rhythm.version)
            };
            registered.iter().any(is_same)
        });
        for (name, instance, version) in registered {
            let rhythm = rhythms.entry(name.clone()).or_insert_with(|| Rhythm {
                version,
                // Registering counts as a beat.
                due: Instant::now() + INTERVAL,
                light: false,
            });
            if rhythm.due <= Instant::now() {
                beat(core, link, http, &name, &instance, rhythm).await;
            }
        }
        sleep(TICK).await;
    }
}

async fn beat(
    core: &Core,
    link: &Link,
    http: &Arc<Http>,
    name: &ServiceName,
    instance: &Instance,
    rhythm: &mut Rhythm,
) {
    core.counters.beats.increment();
    let namespace = &core.naming_namespace();
    let limit = core.options.request_timeout;
    let light = rhythm.light;
    let sent = core.authorized(|token| async move {
        let beat = http.beat(namespace, name, instance, light, token.as_deref());
        timeout(limit, beat).await.unwrap_or(Err(Error::Timeout {
            operation: "beat",
            after: limit,
        }))
    });
    match sent.await {
        Ok(Beat::Taken { interval_ms, light }) => {
            let asked = interval_ms.map_or(INTERVAL, |ms| {
                Duration::from_millis(ms.clamp(*INTERVALS_MS.start(), *INTERVALS_MS.end()))
            });
            rhythm.due = Instant::now() + asked;
            rhythm.light = light;
        }
        Ok(Beat::Unknown) => {
            core.counters.unknown_beats.increment();
            tracing::warn!(service = %name, "Nacos has forgotten our instance; registering it again");
            core.desired.unconfirm_registration(name);
            core.desired.mark(Key::Registration(name.clone()));
            rhythm.due = Instant::now() + INTERVAL;
        }
        Err(error) => {
            tracing::debug!(service = %name, %error, "a beat failed");
            link.suspect(&error);
            rhythm.due = Instant::now() + AFTER_FAILURE;
        }
    }
}
