//! Configs of Nacos that are no route documents and outlive the process all the same: flow rules.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pailou_config::Settings;
use pailou_nacos::ConfigName;
use pailou_upstream::ServiceId;

use crate::snapshot::{DocumentKey, Saved, SavedText, Snapshot};

/// The last texts of some configs of `nacos`, as far as there is a snapshot to keep them in.
#[derive(Clone, Debug)]
pub struct KeptConfigs {
    namespace: Arc<str>,
    texts: Arc<Mutex<BTreeMap<DocumentKey, SavedText>>>,
    snapshot: Option<Arc<Snapshot>>,
}

impl KeptConfigs {
    /// What an earlier run left of the configs that the settings name.
    pub(crate) fn new(
        settings: &Settings,
        snapshot: Option<&Arc<Snapshot>>,
        saved: &Saved,
    ) -> KeptConfigs {
        let kept = KeptConfigs {
            namespace: settings.nacos.namespace.as_str().into(),
            texts: Arc::default(),
            snapshot: snapshot.cloned(),
        };
        let (rules, groups) = flow_configs(settings);
        for name in rules.iter().chain(&groups) {
            let key = kept.key(name);
            if let Some(text) = saved.documents.get(&key) {
                kept.lock().insert(key, text.clone());
            }
        }
        kept
    }

    /// The last text of a config, of this run or of an earlier one.
    pub fn text(&self, name: &ConfigName) -> Option<Arc<str>> {
        let text = self.lock().get(&self.key(name)).cloned();
        text.map(|saved| saved.text)
    }

    /// Keeps a text from now on, or none of a config that is gone.
    pub fn keep(&self, name: &ConfigName, text: Option<&str>) {
        let key = self.key(name);
        let before = match text {
            Some(text) => self.lock().insert(key, SavedText::of(text)),
            None => self.lock().remove(&key),
        };
        let is_same = before.as_ref().map(|saved| &*saved.text) == text;
        if let Some(snapshot) = self.snapshot.as_ref().filter(|_| !is_same) {
            snapshot.changed.notify_one();
        }
    }

    /// All of them, for the snapshot.
    pub(crate) fn all(&self) -> BTreeMap<DocumentKey, SavedText> {
        self.lock().clone()
    }

    fn key(&self, name: &ConfigName) -> DocumentKey {
        DocumentKey::Config {
            nacos: ServiceId::DEFAULT_NACOS.to_owned(),
            namespace: self.namespace.to_string(),
            group: name.group.to_string(),
            data_id: name.data_id.to_string(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DocumentKey, SavedText>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The configs that have flow rules and the groups which these name, as far as the settings name them.
pub fn flow_configs(settings: &Settings) -> (Option<ConfigName>, Option<ConfigName>) {
    let sentinel = &settings.sentinel;
    let group = sentinel.group.as_ref().unwrap_or(&settings.nacos.group);
    let config = |data_id: &String| ConfigName::new(group, data_id);
    (
        sentinel.flow_rules.as_ref().map(config),
        sentinel.api_groups.as_ref().map(config),
    )
}
