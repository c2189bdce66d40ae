//! What a watcher may see: only what the server said, on the connection that it is said to come from, and nothing older
//! after something newer.

use pailou_nacos::{ConfigState, ConfigWatch, Origin, ServiceState, ServiceWatch};
use tokio::sync::watch;

use crate::nacos::{How, Nacos, in_order};

/// Sees every state of a service that its watch gives.
pub(crate) async fn watch_service(nacos: Nacos, mut watch: ServiceWatch) {
    let mut before = None;
    loop {
        let state = watch.changed().await;
        before = nacos.judge_service(&watch.name().name, &state, before);
    }
}

/// Sees every state of a config that its watch gives.
pub(crate) async fn watch_config(nacos: Nacos, mut watch: ConfigWatch) {
    let mut before = 0;
    loop {
        let state = watch.changed().await;
        before = nacos.judge_config(&watch.name().data_id, &state, before);
    }
}

/// Sees that the connections' numbers only grow.
pub(crate) async fn watch_epochs(
    nacos: Nacos,
    mut states: watch::Receiver<pailou_nacos::ConnectionState>,
) {
    let mut before = 0;
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        let mut nacos = nacos.state();
        nacos.note(|| format!("client: {state:?}"));
        if state.epoch < before || (state.connected && state.server.is_none()) {
            nacos.problem(format!("epoch {before} is followed by {state:?}"));
        }
        before = state.epoch;
    }
}

/// How far a watcher has come.
#[derive(Clone, Copy)]
struct Seen {
    epoch: u64,
    stamp: u64,
    /// Place among what was sent, for pushes.
    place: usize,
}

impl Nacos {
    fn judge_service(
        &self,
        name: &str,
        state: &ServiceState,
        before: Option<Seen>,
    ) -> Option<Seen> {
        let mut nacos = self.state();
        let (epoch, origin, count) = (state.epoch, state.origin, state.instances.len());
        nacos.note(|| format!("client: {name} has {count} hosts by {origin:?} of {epoch}"));
        let how = match origin {
            Origin::Subscribe => How::Subscription,
            Origin::Push => How::Push,
            Origin::Audit => How::Query,
            _ => {
                nacos.problem(format!("{name}: a state by {origin:?}"));
                return before;
            }
        };
        // Several attempts may have had this number; the last one came to be.
        let dial = nacos.dials.iter().rfind(|dial| dial.epoch == epoch);
        let hosts = in_order(state.instances.to_vec());
        let is_it = |said: &crate::nacos::Said| {
            said.service == name
                && said.how == how
                && said.is_protected == state.protected
                && said.hosts == hosts
        };
        // The same may have been said more than once: in doubt it is the newest.
        let said = dial.and_then(|dial| dial.said.iter().enumerate().rfind(|(_, s)| is_it(s)));
        let Some((place, stamp)) = said.map(|(place, said)| (place, said.stamp)) else {
            nacos.problem(format!(
                "{name}: epoch {epoch} never said {count} hosts by {origin:?}"
            ));
            return before;
        };
        let seen = Seen {
            epoch,
            stamp,
            place,
        };
        let Some(before) = before else {
            return Some(seen);
        };
        if epoch < before.epoch {
            let was = before.epoch;
            nacos.problem(format!("{name}: epoch {was} is followed by {epoch}"));
        }
        if epoch != before.epoch {
            return Some(seen);
        }
        let newest_push = before.place;
        match how {
            // Ordered by arrival: the server itself may send an older state last.
            How::Push if place < newest_push => {
                nacos.problem(format!("{name}: an older push replaced a newer one"));
            }
            How::Subscription | How::Query if stamp < before.stamp => {
                let was = before.stamp;
                nacos.problem(format!(
                    "{name}: an answer of {stamp} replaced a state of {was}"
                ));
            }
            _ => {}
        }
        let place = if how == How::Push { place } else { newest_push };
        Some(Seen { place, ..seen })
    }

    fn judge_config(&self, name: &str, state: &ConfigState, before: u64) -> u64 {
        let mut nacos = self.state();
        let content = state.config().map(|config| config.content.clone());
        nacos.note(|| format!("client: {name} is {content:?}"));
        let said = nacos
            .said_configs
            .iter()
            .rfind(|said| said.name == name && said.content == content);
        match said.map(|said| said.stamp) {
            None => nacos.problem(format!("{name}: {content:?} was never said")),
            Some(stamp) if stamp < before => {
                nacos.problem(format!("{name}: goes back to {content:?}"));
            }
            Some(stamp) => return stamp,
        }
        before
    }
}
