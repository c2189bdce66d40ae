//! Configs: one question for all of them that the server holds until one changes, or polls where it does not.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::TICK;
use crate::{
    core::Core,
    error::Error,
    link::Link,
    model::ConfigName,
    over_http::{Held, Http, LISTENER_HOLD},
    session::answers,
    wire::ChangedConfig,
};

/// How long the answer to a held question is waited for: half as long again as it may be held.
const PATIENCE: Duration = LISTENER_HOLD.saturating_add(Duration::from_secs(15));

/// The pause after a failure, and after a change that turned out to be none.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Between two polls of all configs.
const POLL: Duration = Duration::from_secs(3);

/// Keeps the watched configs up to date, for as long as the server answers.
pub(super) async fn run(core: &Core, link: &Link, http: &Arc<Http>) -> Infallible {
    loop {
        let held = held(core, link);
        if held.is_empty() {
            sleep(TICK).await;
            continue;
        }
        // Another set of configs is another question.
        let outcome = tokio::select! {
            outcome = changes(core, http, &held) => outcome,
            () = other_than(core, link, &held) => continue,
        };
        match outcome {
            None => {
                sleep(POLL).await;
                for held in held {
                    refresh(core, link, &held.name).await;
                }
            }
            Some(Ok(changed)) => take(core, link, &held, changed).await,
            Some(Err(error)) => {
                tracing::debug!(%error, "the long poll of configs failed");
                link.suspect(&error);
                for held in held {
                    core.desired.fail_config(&held.name, error.clone());
                }
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// What is known by this server. A config's first state is asked for by whoever tells the server what is wanted.
fn held(core: &Core, link: &Link) -> Vec<Held> {
    let known = core.desired.configs_of(link.epoch).into_iter();
    known
        .map(|(name, state)| Held {
            name,
            tenant: core.tenant(),
            md5: answers::known_md5(Some(&state)),
        })
        .collect()
}

async fn other_than(core: &Core, link: &Link, former: &[Held]) {
    while held(core, link) == former {
        sleep(TICK).await;
    }
}

async fn changes(
    core: &Core,
    http: &Arc<Http>,
    held: &[Held],
) -> Option<Result<Vec<ChangedConfig>, Error>> {
    let answer = core.authorized(|token| async move {
        let asked = http.await_changes(held, token.as_deref());
        match timeout(PATIENCE, asked).await {
            Ok(answer) => answer.transpose(),
            Err(_) => Err(Error::Timeout {
                operation: "config listener",
                after: PATIENCE,
            }),
        }
    });
    answer.await.transpose()
}

/// Asks for what changed; what did not is confirmed.
async fn take(core: &Core, link: &Link, held: &[Held], changed: Vec<ChangedConfig>) {
    let changed: Vec<ConfigName> = changed
        .iter()
        .filter_map(|it| core.config_of(it.tenant.as_deref(), &it.group, &it.data_id))
        .collect();
    let mut is_news = changed.is_empty();
    for held in held {
        if !changed.contains(&held.name) {
            core.desired.confirm_config(&held.name, link.epoch);
            continue;
        }
        core.counters.config_notices.increment();
        tracing::debug!(config = %held.name, "Nacos says that a config changed");
        let before = core.desired.config_state(&held.name);
        refresh(core, link, &held.name).await;
        is_news |= core.desired.config_state(&held.name) != before;
    }
    // A server may call a hash outdated that it gave itself: it must not be asked without a pause.
    if !is_news {
        sleep(AFTER_FAILURE).await;
    }
}

async fn refresh(core: &Core, link: &Link, name: &ConfigName) {
    let answer = core.ask_over(link, answers::config_query(core, name)).await;
    match answers::config_state(answer) {
        Ok(state) => core.desired.put_config(name, state, link.epoch),
        Err(error) => core.desired.fail_config(name, error),
    }
}
