//! The audit: compares what is known with what the server says, in case a push was lost.
//!
//! Pushes come half a second after a change, so a first difference proves nothing. A difference that is still there after
//! a pause without a push is drift: it is counted, and the answer is taken.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use futures_util::stream::{self, StreamExt};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::answers;
use crate::{
    core::Core,
    desired::Key,
    error::Error,
    link::Link,
    model::{ConfigName, Instance, Origin, ServiceName, ServiceState, same_instances},
};

/// The most questions in flight at a time. It is low, since an audit is not urgent.
const IN_FLIGHT: usize = 8;

/// How long a difference may last before it is drift: pushes come 0.6 s after a change on an idle server.
const GRACE: Duration = Duration::from_secs(2);

/// Configs in one question.
const BATCH: usize = 500;

/// Runs for as long as the connection lives.
pub(super) async fn run(core: &Core, link: &Link) -> Infallible {
    let mut ticks = interval(core.options.audit_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        core.counters.audits.increment();
        audit_configs(core, link).await;
        let services = stream::iter(core.desired.service_names());
        services
            .for_each_concurrent(IN_FLIGHT, |name| audit_service(core, link, name))
            .await;
    }
}

async fn audit_service(core: &Core, link: &Link, name: ServiceName) {
    let pushes = core.desired.service_pushes(&name);
    for is_second_look in [false, true] {
        let Some(known) = core
            .desired
            .service_state(&name)
            .filter(|known| known.epoch == link.epoch)
        else {
            return;
        };
        let answered = match query(core, link, &name).await {
            Ok(state) => state,
            Err(error) => return core.desired.fail_service(&name, error),
        };
        // A push came meanwhile, so pushes come.
        if core.desired.service_pushes(&name) != pushes {
            return;
        }
        if same_enabled(&known, &answered) {
            return core.desired.confirm_service(&name, link.epoch);
        }
        if !is_second_look {
            sleep(GRACE).await;
            continue;
        }
        core.counters.service_drift.increment();
        let (was, is) = (known.instances.len(), answered.instances.len());
        tracing::warn!(service = %name, was, is, "a push from Nacos was lost; subscribing again");
        core.desired.answer_service(&name, answered, pushes);
        core.desired.mark(Key::Service(name.clone()));
    }
}

async fn query(core: &Core, link: &Link, name: &ServiceName) -> Result<ServiceState, Error> {
    let answer = core
        .ask_over(link, answers::service_query(core, name))
        .await?;
    answers::service_state(answer.service_info, Origin::Audit, link.epoch)
}

/// Servers leave disabled instances out of answers; 2.0 leaves them in pushes.
fn same_enabled(known: &ServiceState, answered: &ServiceState) -> bool {
    let enabled = |state: &ServiceState| -> Vec<Instance> {
        state
            .instances
            .iter()
            .filter(|instance| instance.enabled)
            .cloned()
            .collect()
    };
    known.protected == answered.protected && same_instances(&enabled(known), &enabled(answered))
}

async fn audit_configs(core: &Core, link: &Link) {
    let suspects = suspects(core, link, core.desired.config_names()).await;
    if suspects.is_empty() {
        return;
    }
    let notices: Vec<u64> = suspects
        .iter()
        .map(|name| core.desired.config_notices(name))
        .collect();
    sleep(GRACE).await;
    let unnoticed = |(name, notices): (ConfigName, u64)| {
        (core.desired.config_notices(&name) == notices).then_some(name)
    };
    let quiet: Vec<ConfigName> = suspects
        .into_iter()
        .zip(notices)
        .filter_map(unnoticed)
        .collect();
    for name in self::suspects(core, link, quiet).await {
        audit_config(core, link, name).await;
    }
}

async fn audit_config(core: &Core, link: &Link, name: ConfigName) {
    let answer = core
        .ask_over(link, answers::config_query(core, &name))
        .await;
    match answers::config_state(answer) {
        // Some servers call a hash outdated that they gave themselves: no drift.
        Ok(state) if core.desired.config_state(&name).as_ref() == Some(&state) => {
            core.desired.confirm_config(&name, link.epoch);
        }
        Ok(_) => {
            core.counters.config_drift.increment();
            tracing::warn!(config = %name, "a notice from Nacos was lost; asking for the config");
            core.desired.mark(Key::Config(name));
        }
        Err(error) => core.desired.fail_config(&name, error),
    }
}

/// The configs of which the server says that they are not what we know.
async fn suspects(core: &Core, link: &Link, names: Vec<ConfigName>) -> Vec<ConfigName> {
    let mut found = Vec::new();
    for names in names.chunks(BATCH) {
        let known: HashMap<ConfigName, String> = names
            .iter()
            .filter_map(|name| {
                let state = core.desired.config_state(name)?;
                Some((name.clone(), answers::known_md5(Some(&state))))
            })
            .collect();
        if known.is_empty() {
            continue;
        }
        match core
            .ask_over(link, answers::config_listen(core, true, &known))
            .await
        {
            Ok(answer) => {
                let changed = answer.changed_configs.iter().filter_map(|changed| {
                    core.config_of(changed.tenant.as_deref(), &changed.group, &changed.data_id)
                });
                let changed: Vec<_> = changed.filter(|name| known.contains_key(name)).collect();
                for name in known.keys().filter(|name| !changed.contains(name)) {
                    core.desired.confirm_config(name, link.epoch);
                }
                found.extend(changed);
            }
            Err(error) => known
                .keys()
                .for_each(|name| core.desired.fail_config(name, error.clone())),
        }
    }
    found
}
