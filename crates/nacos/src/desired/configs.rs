//! Configs: watching, and what the server says of them.

use tokio::{sync::watch, time::Instant};

use super::{ConfigEntry, ConfigSlot, Desired, Key, set_quietly};
use crate::{
    error::Error,
    model::{ConfigName, ConfigState},
};

impl Desired {
    pub(crate) fn watch_config(&self, name: &ConfigName) -> watch::Receiver<ConfigSlot> {
        let mut table = self.table();
        let known = table.configs.contains_key(name);
        let entry = table
            .configs
            .entry(name.clone())
            .or_insert_with(|| ConfigEntry {
                watchers: 0,
                notices: 0,
                cell: watch::Sender::default(),
            });
        entry.watchers += 1;
        let receiver = entry.cell.subscribe();
        if !known {
            self.mark_in(&mut table, Key::Config(name.clone()));
        }
        receiver
    }

    pub(crate) fn unwatch_config(&self, name: &ConfigName) {
        let mut table = self.table();
        let Some(entry) = table.configs.get_mut(name) else {
            return;
        };
        entry.watchers -= 1;
        if entry.watchers == 0 {
            table.configs.remove(name);
            self.mark_in(&mut table, Key::Config(name.clone()));
        }
    }

    pub(crate) fn is_config_wanted(&self, name: &ConfigName) -> bool {
        self.table().configs.contains_key(name)
    }

    /// Takes a notice that a config changed; its content is asked for next.
    pub(crate) fn notice_config(&self, name: &ConfigName) {
        let mut table = self.table();
        if let Some(entry) = table.configs.get_mut(name) {
            entry.notices += 1;
            self.mark_in(&mut table, Key::Config(name.clone()));
        }
    }

    pub(crate) fn config_notices(&self, name: &ConfigName) -> u64 {
        self.table()
            .configs
            .get(name)
            .map_or(0, |entry| entry.notices)
    }

    /// Takes what the server says of a config; readers wake only when that is news.
    pub(crate) fn put_config(&self, name: &ConfigName, state: ConfigState, epoch: u64) {
        if let Some(entry) = self.table().configs.get(name) {
            entry.cell.send_if_modified(|slot| {
                let is_news = slot.state.as_ref() != Some(&state);
                slot.epoch = epoch;
                slot.received = Some(Instant::now());
                slot.error = None;
                if is_news {
                    slot.state = Some(state);
                }
                is_news
            });
        }
    }

    /// Takes note that the server still says the same.
    pub(crate) fn confirm_config(&self, name: &ConfigName, epoch: u64) {
        if let Some(entry) = self.table().configs.get(name) {
            set_quietly(&entry.cell, |slot| {
                slot.error = None;
                if slot.epoch == epoch {
                    slot.received = Some(Instant::now());
                }
            });
        }
    }

    pub(crate) fn fail_config(&self, name: &ConfigName, error: Error) {
        if let Some(entry) = self.table().configs.get(name) {
            set_quietly(&entry.cell, |slot| slot.error = Some(error));
        }
    }

    pub(crate) fn config_state(&self, name: &ConfigName) -> Option<ConfigState> {
        self.table().configs.get(name)?.cell.borrow().state.clone()
    }

    /// The configs whose state this connection brought.
    pub(crate) fn configs_of(&self, epoch: u64) -> Vec<(ConfigName, ConfigState)> {
        let table = self.table();
        let of_epoch = |(name, entry): (&ConfigName, &ConfigEntry)| {
            let slot = entry.cell.borrow();
            let state = slot.state.clone().filter(|_| slot.epoch == epoch)?;
            Some((name.clone(), state))
        };
        table.configs.iter().filter_map(of_epoch).collect()
    }

    pub(crate) fn config_names(&self) -> Vec<ConfigName> {
        self.table().configs.keys().cloned().collect()
    }
}
