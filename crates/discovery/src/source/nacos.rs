//! A route document in a Nacos config.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pailou_nacos::{Client, ConfigName, ConfigState};
use pailou_telemetry::{Metrics, events};

use super::{Outlet, Source, SourceState};

/// The prefix of data ids whose content Nacos hands out encrypted.
const ENCRYPTED: &str = "cipher-";

/// How often it is asked whether the server refuses the config.
const LOOK: Duration = Duration::from_secs(1);

/// Watches one data id.
#[derive(Debug)]
pub(crate) struct NacosSource {
    client: Client,
    config: ConfigName,
    metrics: Metrics,
}

impl NacosSource {
    /// Watches `config`, which need not exist, in the client's namespace.
    pub(crate) fn new(client: Client, config: ConfigName, metrics: Metrics) -> NacosSource {
        NacosSource {
            client,
            config,
            metrics,
        }
    }
}

impl Source for NacosSource {
    fn kind(&self) -> &'static str {
        "nacos"
    }

    fn run(self: Arc<Self>, outlet: Outlet) -> Pin<Box<dyn Future<Output = String> + Send>> {
        Box::pin(async move {
            if self.config.data_id.starts_with(ENCRYPTED) {
                let reason = format!(
                    "data ids that begin with `{ENCRYPTED}` hold encrypted text, which needs a key \
                     that the gateway does not have; publish the routes under another data id"
                );
                outlet.put(SourceState::Unreadable(reason));
                return std::future::pending().await;
            }
            let mut watch = self.client.watch_config(&self.config);
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    state = watch.changed() => outlet.put(match state {
                        ConfigState::Present(config) => {
                            SourceState::Text(config.content.as_str().into())
                        }
                        ConfigState::Absent => SourceState::Missing,
                    }),
                    _ = look.tick() => {
                        let trouble = watch.last_error().map(|error| error.to_string());
                        if outlet.trouble(trouble.clone()) && let Some(error) = &trouble {
                            let source = &self.config.to_string();
                            events::SourceFailed { source, error }.record(&self.metrics);
                        }
                    }
                }
            }
        })
    }
}
