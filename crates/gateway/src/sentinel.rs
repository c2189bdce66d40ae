//! Follows the flow rules that are kept for Sentinel in Nacos.

use std::sync::Arc;
use std::time::Duration;

use pailou_config::Settings;
use pailou_discovery::{KeptConfigs, flow_configs};
use pailou_filters::{FlowCell, FlowRules};
use pailou_nacos::{Client, ConfigName, ConfigState, ConfigWatch};
use pailou_telemetry::{Metrics, events};
use tokio::time::Interval;

/// How often the follower checks whether the server refuses a config.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the rules in force that are published. What is deleted is gone; what cannot be read leaves the old rules as they are.
/// Those of an earlier run are in force until Nacos answers.
#[derive(Clone)]
pub(crate) struct Follower {
    client: Client,
    rules: ConfigName,
    groups: Option<ConfigName>,
    cell: FlowCell,
    kept: KeptConfigs,
    metrics: Metrics,
}

impl Follower {
    /// Follows what the settings name, if they name rules. The rules of an earlier run are in force at once.
    pub(crate) fn of(
        settings: &Settings,
        client: &Client,
        cell: &FlowCell,
        kept: KeptConfigs,
        metrics: &Metrics,
    ) -> Option<Follower> {
        let (rules, groups) = flow_configs(settings);
        let follower = Follower {
            client: client.clone(),
            rules: rules?,
            groups,
            cell: cell.clone(),
            kept,
            metrics: metrics.clone(),
        };
        follower.restore();
        Some(follower)
    }

    fn restore(&self) {
        let Some(rules) = self.kept.text(&self.rules) else {
            return;
        };
        let groups = self.groups.as_ref().and_then(|name| self.kept.text(name));
        // They were good once; where this version has become stricter, Nacos has the word.
        if let Ok((rules, _)) = FlowRules::compile(&rules, groups.as_deref(), &self.cell.load()) {
            events::FlowRulesRestored {
                config: &self.rules.to_string(),
                rules: rules.len(),
            }
            .record(&self.metrics);
            self.cell.store(rules);
        }
    }

    /// Follows them until the future is dropped.
    pub(crate) async fn run(self) -> String {
        let mut rules = Config::watch(&self.client, &self.rules);
        let groups = self.groups.as_ref();
        let mut groups = groups.map(|name| Config::watch(&self.client, name));
        loop {
            let other = async {
                match &mut groups {
                    Some(groups) => groups.changed(&self.metrics).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rules.changed(&self.metrics) => {}
                () = other => {}
            }
            let groups_text = match &groups {
                None => None,
                Some(config) => match &config.state {
                    // Rules may name what is in it.
                    None => continue,
                    Some(text) => text.as_deref(),
                },
            };
            if let Some(text) = &rules.state {
                self.apply(text.as_deref(), groups_text);
            }
        }
    }

    fn apply(&self, text: Option<&str>, groups: Option<&str>) {
        let config = &self.rules.to_string();
        let before = self.cell.load();
        match FlowRules::compile(text.unwrap_or("[]"), groups, &before) {
            Ok((rules, differences)) => {
                events::FlowRulesApplied {
                    config,
                    rules: rules.len(),
                    differences: &differences,
                }
                .record(&self.metrics);
                self.cell.store(rules);
                self.kept.keep(&self.rules, text);
                if let Some(name) = &self.groups {
                    self.kept.keep(name, groups);
                }
            }
            Err(error) => {
                let error = &error;
                events::FlowRulesRefused { config, error }.record(&self.metrics);
            }
        }
    }
}

/// A config that is followed.
struct Config {
    name: String,
    watch: ConfigWatch,
    look: Interval,
    trouble: Option<String>,
    /// Its text, or that there is none; nothing while that is not known.
    state: Option<Option<Arc<str>>>,
}

impl Config {
    fn watch(client: &Client, name: &ConfigName) -> Config {
        Config {
            name: name.to_string(),
            watch: client.watch_config(name),
            look: tokio::time::interval(LOOK),
            trouble: None,
            state: None,
        }
    }

    /// Ends when there is another text. Cancel safe.
    async fn changed(&mut self, metrics: &Metrics) {
        loop {
            tokio::select! {
                state = self.watch.changed() => {
                    self.state = Some(match state {
                        ConfigState::Present(config) => Some(config.content.as_str().into()),
                        ConfigState::Absent => None,
                    });
                    return;
                }
                _ = self.look.tick() => self.look_for_trouble(metrics),
            }
        }
    }

    fn look_for_trouble(&mut self, metrics: &Metrics) {
        let trouble = self.watch.last_error().map(|error| error.to_string());
        if trouble != self.trouble
            && let Some(error) = &trouble
        {
            let source = &self.name;
            events::SourceFailed { source, error }.record(metrics);
        }
        self.trouble = trouble;
    }
}
