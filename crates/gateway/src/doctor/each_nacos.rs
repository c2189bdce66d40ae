//! Each Nacos by itself, and the routes that its documents hold.

use std::sync::Arc;
use std::time::Duration;

use pailou_config::{NacosSettings, RouteSource, Settings};
use pailou_discovery::AddressRules;
use pailou_nacos::{Client, ServerAddress};
use pailou_routing::Route;
use pailou_upstream::ServiceId;

use super::documents;
use super::places::Place;
use crate::judge::Judge;
use crate::nacos;

/// One Nacos of the settings.
pub(super) struct Nacos {
    /// `default`, or its name among `other_nacos`.
    pub(super) id: String,
    /// The settings as if there were no other Nacos: `nacos` describes this one, and `routes` has its configs.
    pub(super) settings: Settings,
    /// The gateway's. They follow from the settings of every Nacos.
    pub(super) rules: AddressRules,
}

impl Nacos {
    /// Every Nacos of the settings. No question may take longer than `question`.
    pub(super) fn all(settings: &Settings, question: Duration) -> Vec<Nacos> {
        let of = |(id, nacos): (&str, &NacosSettings)| {
            let mut own = settings.clone();
            own.nacos = nacos.clone();
            own.nacos.request_timeout = nacos.request_timeout.min(question);
            own.routes.retain(
                |source| matches!(source, RouteSource::Config { nacos, .. } if nacos == id),
            );
            Nacos {
                id: id.to_owned(),
                settings: own,
                rules: AddressRules::new(settings),
            }
        };
        settings.all_nacos().map(of).collect()
    }

    /// Whether it is the one that `nacos` describes.
    pub(super) fn is_default(&self) -> bool {
        self.id == ServiceId::DEFAULT_NACOS
    }

    /// How findings call one of its servers.
    pub(super) fn server(&self, server: &ServerAddress) -> String {
        if self.is_default() {
            server.to_string()
        } else {
            format!("{server} ({})", self.id)
        }
    }

    /// The configs that routes come from.
    pub(super) fn documents(&self) -> impl Iterator<Item = Place> {
        self.settings
            .routes
            .iter()
            .filter_map(|source| match source {
                RouteSource::Config {
                    data_id,
                    group,
                    namespace,
                    ..
                } => Some(Place::new(namespace, group, data_id)),
                RouteSource::File { .. } => None,
            })
    }

    /// The routes of its documents, as far as they can be read within the limit. The visit tells what is wrong with them.
    pub(super) async fn routes(
        &self,
        judge: &Judge,
        limit: Duration,
    ) -> anyhow::Result<Vec<Arc<Route>>> {
        let options = nacos::options(&self.settings)?;
        let servers = options.servers.len();
        let client = Client::connect(options);
        let mut routes = Vec::new();
        let read = async {
            if nacos::connected(&client, servers).await.is_err() {
                return;
            }
            for place in self.documents() {
                let text = documents::read(&client, &place.namespace, &place).await;
                if let Ok(Some(text)) = text {
                    routes.extend(judge.document(&place.name, &text).routes);
                }
            }
        };
        // Whoever answers too slowly is told of in the visit.
        let _ = tokio::time::timeout(limit, read).await;
        client.close().await;
        Ok(routes)
    }
}
