//! Configs and who listens to them.

use std::sync::Arc;

use md5::{Digest, Md5};
use tokio::time::Instant;

use super::{
    ConnectionId, Refusal, State,
    history::{Change, Operation},
    limits,
};
use crate::ConfigKey;

/// A config's content and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredConfig {
    pub(crate) content: Arc<str>,
    pub(crate) md5: String,
    /// `yaml`, `json` and so on.
    pub(crate) kind: String,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
}

/// What a connection listens to.
pub(crate) struct Listened {
    /// The client's own spelling of the namespace, which notifications repeat.
    pub(crate) tenant_as_sent: String,
}

/// How a config is published.
#[derive(Debug, Default)]
pub(crate) struct Publish<'a> {
    pub(crate) content: &'a str,
    /// `text` when not said.
    pub(crate) kind: Option<&'a str>,
    /// Only if an existing content has this hash; a config that does not exist is created all the same.
    pub(crate) if_md5: Option<&'a str>,
}

impl State {
    pub(crate) fn config(&self, key: &ConfigKey) -> Option<&StoredConfig> {
        self.configs.get(key)
    }

    /// Publishes, and tells who listens if the content is another one.
    pub(crate) fn publish(
        &mut self,
        key: &ConfigKey,
        publish: &Publish<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        if publish.content.trim().is_empty() {
            return Err(Refusal::Invalid(format!(
                "content is blank : {}",
                publish.content
            )));
        }
        let old = self.configs.get(key);
        if let (Some(old), Some(wanted)) = (old, publish.if_md5)
            && old.md5 != wanted
        {
            return Err(Refusal::CasMismatch);
        }
        let (old_bytes, old_md5) =
            old.map_or((0, None), |old| (old.content.len(), Some(old.md5.clone())));
        let bytes = self.config_bytes - old_bytes + publish.content.len();
        if bytes > limits::CONFIG_BYTES
            || (old_md5.is_none() && self.configs.len() >= limits::CONFIGS)
        {
            return Err(Refusal::Full("too many configs"));
        }
        let stored = StoredConfig {
            content: publish.content.into(),
            md5: md5_hex(publish.content),
            kind: publish
                .kind
                .filter(|kind| !kind.is_empty())
                .unwrap_or("text")
                .to_owned(),
            modified: self.clock_millis(),
        };
        let changed = old_md5.as_ref() != Some(&stored.md5);
        self.config_bytes = bytes;
        let (content, md5, at) = (stored.content.clone(), stored.md5.clone(), stored.modified);
        match self.configs.insert(key.clone(), stored) {
            None => self
                .history
                .record(key, Operation::Insert, content, md5, at),
            Some(old) if changed => {
                let content = old.content;
                self.history
                    .record(key, Operation::Update, content, old.md5, at);
            }
            Some(_) => {}
        }
        if changed {
            self.config_changed(key, now);
        }
        Ok(())
    }

    /// Removes; true if there was one.
    pub(crate) fn remove_config(&mut self, key: &ConfigKey, now: Instant) -> bool {
        let Some(removed) = self.configs.remove(key) else {
            return false;
        };
        self.config_bytes -= removed.content.len();
        let (content, md5) = (removed.content, removed.md5);
        let at = self.clock_millis();
        self.history
            .record(key, Operation::Delete, content, md5, at);
        self.config_changed(key, now);
        true
    }

    /// What became of a config, newest first.
    pub(crate) fn history(&self, key: &ConfigKey) -> impl Iterator<Item = &Change> {
        self.history.of(key)
    }

    /// How many configs a namespace has.
    pub(crate) fn configs_of(&self, tenant: &str) -> usize {
        self.configs
            .keys()
            .filter(|key| key.tenant == tenant)
            .count()
    }

    /// The configs of a namespace whose data id holds this text, in any group.
    pub(crate) fn configs_like(
        &self,
        tenant: &str,
        text: &str,
    ) -> impl Iterator<Item = (&ConfigKey, &StoredConfig)> {
        self.configs
            .iter()
            .filter(move |(key, _)| key.tenant == tenant && key.data_id.contains(text))
    }

    /// Whether the client's hash differs from the content's; `""` is the hash of what does not exist.
    pub(crate) fn config_differs(&self, key: &ConfigKey, md5: &str) -> bool {
        self.configs.get(key).map_or("", |config| &config.md5) != md5
    }

    /// Listens. The client is told of changes from now on.
    pub(crate) fn listen(
        &mut self,
        id: ConnectionId,
        key: ConfigKey,
        tenant_as_sent: String,
    ) -> Result<(), Refusal> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        if connection.listens.len() >= limits::INTERESTS {
            return Err(Refusal::Full(
                "too many listened configs on this connection",
            ));
        }
        connection.listens.insert(key, Listened { tenant_as_sent });
        Ok(())
    }

    pub(crate) fn stop_listening(&mut self, id: ConnectionId, key: &ConfigKey) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.listens.remove(key);
        }
    }

    /// How many connections listen to a config.
    pub(crate) fn listeners(&self, key: &ConfigKey) -> usize {
        self.connections
            .values()
            .filter(|connection| connection.listens.contains_key(key))
            .count()
    }

    /// Grows with every change of any config.
    pub(crate) fn config_revision(&self) -> u64 {
        self.config_revision
    }

    fn config_changed(&mut self, key: &ConfigKey, now: Instant) {
        self.config_revision += 1;
        let listening: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.listens.contains_key(key))
            .map(|(id, _)| *id)
            .collect();
        for id in listening {
            self.notify_config(id, key.clone(), 0, now);
        }
    }
}

/// The hash that clients compare.
pub(crate) fn md5_hex(content: &str) -> String {
    use std::fmt::Write as _;
    Md5::digest(content.as_bytes())
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
