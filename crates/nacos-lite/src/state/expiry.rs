//! What goes with time: instances without beats, and services that nobody uses.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::{State, pushes::Target};
use crate::{ServiceKey, instance::preserved};

/// How long a service without instances and subscribers, and an operator's edit, are remembered.
const FORGET_AFTER: Duration = Duration::from_secs(60);

impl State {
    /// Marks instances whose beats stay away as unhealthy, then removes them.
    pub(super) fn expire_beats(&mut self, now: Instant) {
        let (mut next, mut changed, mut removed) = (None::<Instant>, BTreeSet::new(), 0);
        for (key, service) in &mut self.services {
            service.published.retain(|_, published| {
                published.retain_mut(|published| {
                    let Some(last_beat) = published.last_beat else {
                        return true;
                    };
                    let instance = &mut published.instance;
                    let remove_at = last_beat
                        + instance.setting(preserved::DELETE_TIMEOUT, self.times.remove_after);
                    let doubt_at = last_beat
                        + instance.setting(preserved::BEAT_TIMEOUT, self.times.unhealthy_after);
                    if remove_at <= now {
                        changed.insert(key.clone());
                        removed += 1;
                        return false;
                    }
                    if doubt_at <= now && instance.healthy {
                        changed.insert(key.clone());
                        instance.healthy = false;
                    }
                    let due = if doubt_at > now {
                        doubt_at.min(remove_at)
                    } else {
                        remove_at
                    };
                    next = Some(next.map_or(due, |next| next.min(due)));
                    true
                });
                !published.is_empty()
            });
        }
        self.instances -= removed;
        if let Some(next) = next {
            self.sweep_by(next);
        }
        for key in changed {
            self.note_unused(&key, now);
            self.schedule(&key, Target::All, now);
        }
    }

    /// Forgets services that nobody has used for a while, and with them the operator's edits.
    pub(super) fn expire_unused(&mut self, now: Instant) {
        let mut kept = BTreeSet::new();
        for key in std::mem::take(&mut self.unused) {
            let since = self
                .services
                .get(&key)
                .and_then(|service| service.unused_since);
            match since.map(|since| since + FORGET_AFTER) {
                Some(due) if due <= now => {
                    self.services.remove(&key);
                }
                Some(due) => {
                    self.sweep_by(due);
                    kept.insert(key);
                }
                None => {}
            }
        }
        self.unused = kept;
    }

    /// Starts the time after which a service is forgotten, if it has no instance and no subscriber.
    pub(super) fn note_unused(&mut self, key: &ServiceKey, now: Instant) {
        let Some(service) = self.services.get_mut(key) else {
            return;
        };
        if service.published.is_empty() && service.subscribers.is_empty() {
            service.unused_since = Some(now);
            self.unused.insert(key.clone());
            self.sweep_by(now + FORGET_AFTER);
        }
    }
}
