//! A service seen through a route: which of its endpoints, and by which policy.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::{Instant, timeout_at};

use crate::Policy;
use crate::hint::Hint;
use crate::pick::Pick;
use crate::room::Room;
use crate::schedule::{NoEndpoint, Schedule};

use crate::service::Service;
use crate::set::EndpointSpec;
use crate::split::Split;

/// Which endpoints of a service a route wants; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subset {
    /// Only those of this cluster.
    pub cluster: Option<String>,
    /// Only those whose metadata has all of these.
    pub metadata: BTreeMap<String, String>,
    /// How they are parted, if requests say which part they want.
    pub split: Option<Split>,
}

impl Subset {
    /// Whether an endpoint is one of them.
    pub fn has(&self, spec: &EndpointSpec) -> bool {
        self.cluster
            .as_deref()
            .is_none_or(|cluster| *spec.cluster == *cluster)
            && self
                .metadata
                .iter()
                .all(|(key, value)| spec.metadata.get(key) == Some(value))
    }
}

/// `cluster=…` and `key=value` pairs; `all` when it does not restrict.
impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = self.cluster.as_deref().map(|cluster| ("cluster", cluster));
        let metadata = self
            .metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let mut separator = "";
        for (key, value) in cluster.into_iter().chain(metadata) {
            write!(f, "{separator}{key}={value}")?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("all")?;
        }
        match &self.split {
            Some(split) => write!(f, ", by {}", split.metadata),
            None => Ok(()),
        }
    }
}

/// A subset of a service's endpoints and a policy over it. Routes that want the same share one, and with it the place in the cycle.
///
/// [`Services::selection`](crate::Services::selection) makes it, and the service rebuilds its schedule for as long as anybody holds it.
#[derive(Debug)]
pub struct Selection {
    service: Arc<Service>,
    subset: Subset,
    policy: Policy,
    schedule: ArcSwap<Schedule>,
    /// Where requests wait that find every endpoint full, if they may.
    room: Option<Arc<Room>>,
}

impl Selection {
    pub(crate) fn new(service: Arc<Service>, subset: Subset, policy: Policy) -> Selection {
        let schedule = ArcSwap::from_pointee(Schedule::nothing(NoEndpoint::Unknown));
        let limit = policy.endpoint_limit();
        let has_queue = limit.is_some_and(|limit| limit.queue > 0);
        Selection {
            room: has_queue.then(|| service.rooms().add()),
            service,
            subset,
            policy,
            schedule,
        }
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Which of its endpoints.
    pub fn subset(&self) -> &Subset {
        &self.subset
    }

    /// By which policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How many endpoints may be picked now.
    pub fn len(&self) -> usize {
        self.schedule.load().shares().len()
    }

    /// Whether none may be picked now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An endpoint for a request, or for its next try.
    ///
    /// Takes no lock and allocates nothing; the cost does not grow with the number of endpoints, except where so many were tried or
    /// are on trial that drawing fails.
    ///
    /// # Errors
    /// When there is none, and why.
    pub fn pick(&self, hint: &Hint<'_>) -> Result<Pick, NoEndpoint> {
        // Who waits comes first.
        if self.waiting() > 0 && hint.tried.is_empty() {
            return Err(NoEndpoint::Full);
        }
        self.pick_now(hint)
    }

    /// The same for a request that found every endpoint full: waits until one has room, as long as the limit says and not beyond `due`.
    /// Who came first is first.
    ///
    /// Waiting can be cancelled at any time; the place in the queue is free then.
    ///
    /// # Errors
    /// [`NoEndpoint::Full`] if none has room in time, or too many wait already; otherwise why there is none.
    pub async fn wait(&self, hint: &Hint<'_>, due: Instant) -> Result<Pick, NoEndpoint> {
        let (Some(limit), Some(room)) = (self.policy.endpoint_limit(), &self.room) else {
            return Err(NoEndpoint::Full);
        };
        let waiting = room.begin(limit.queue).ok_or(NoEndpoint::Full)?;
        let due = due.min(Instant::now() + limit.wait);
        let mut may_pick = waiting.is_first;
        loop {
            let mut freed = std::pin::pin!(room.freed.notified());
            freed.as_mut().enable();
            match may_pick.then(|| self.pick_now(hint)) {
                None | Some(Err(NoEndpoint::Full)) => {}
                Some(picked) => {
                    drop(waiting);
                    self.wake_next(room);
                    return picked;
                }
            }
            timeout_at(due, freed).await.map_err(|_| NoEndpoint::Full)?;
            may_pick = true;
        }
    }

    /// How many requests wait for room at an endpoint.
    pub fn waiting(&self) -> usize {
        self.room.as_deref().map_or(0, Room::waiting)
    }

    /// Several endpoints may have got room while one request was woken.
    fn wake_next(&self, room: &Room) {
        if room.waiting() > 0 && self.schedule.load().has_room() {
            room.freed.notify_one();
        }
    }

    fn pick_now(&self, hint: &Hint<'_>) -> Result<Pick, NoEndpoint> {
        let schedule = self.schedule.load();
        match &self.subset.split {
            None => schedule.pick(hint),
            Some(split) => schedule.pick_part(hint, split.fallback),
        }
    }

    /// The share of its requests that leaves the gateway's own cluster, in percent, since that has too few endpoints that are well.
    pub(crate) fn away_percent(&self) -> u8 {
        self.schedule.load().away_percent()
    }

    pub(crate) fn schedule(&self) -> Arc<Schedule> {
        self.schedule.load_full()
    }

    pub(crate) fn replace_schedule(&self, schedule: Schedule) {
        self.schedule.store(Arc::new(schedule));
        // Others may have room now, or there are none any more.
        if let Some(room) = &self.room {
            room.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_wants_its_cluster_and_all_its_metadata() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect()
        };
        let spec = EndpointSpec {
            cluster: "hz".into(),
            metadata: Arc::new(pairs(&[("version", "v2"), ("zone", "a")])),
            ..EndpointSpec::new(([127, 0, 0, 1], 80).into())
        };
        for (cluster, metadata, expected, label) in [
            (None, &[][..], true, "all"),
            (Some("hz"), &[], true, "cluster=hz"),
            (Some("sh"), &[], false, "cluster=sh"),
            (None, &[("version", "v2")], true, "version=v2"),
            (
                Some("hz"),
                &[("version", "v2"), ("zone", "a")],
                true,
                "cluster=hz, version=v2, zone=a",
            ),
            (None, &[("version", "v1")], false, "version=v1"),
            (None, &[("env", "")], false, "env="),
        ] {
            let subset = Subset {
                cluster: cluster.map(str::to_owned),
                metadata: pairs(metadata),
                split: None,
            };
            assert_eq!(subset.has(&spec), expected, "{label}");
            assert_eq!(subset.to_string(), label);
        }
    }
}
