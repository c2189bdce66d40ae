//! What is in the file: its shape as JSON, and the way from and to what discovery works with.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_upstream::{EndpointSpec, ServiceId};
use serde::{Deserialize, Serialize};

use super::{
    DocumentKey, MOST_OLDER_TEXTS, OlderText, Saved, SavedService, SavedText, ServersByNacos,
};
use crate::transport::{grpc_port_of, transport_of};

/// Everything that is kept; borrowed on the way to the disk, owned on the way back.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Contents<'a> {
    /// The servers of each Nacos that the entries below come from.
    #[serde(alias = "registries")]
    nacos: Cow<'a, ServersByNacos>,
    documents: Vec<Document<'a>>,
    services: Vec<Service<'a>>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Document<'a> {
    Config {
        #[serde(alias = "registry")]
        nacos: Cow<'a, str>,
        namespace: Cow<'a, str>,
        group: Cow<'a, str>,
        data_id: Cow<'a, str>,
        text: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        older: Vec<Older<'a>>,
    },
    File {
        path: Cow<'a, str>,
        text: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        older: Vec<Older<'a>>,
    },
}

/// An older text, and the routes that come from it.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Older<'a> {
    text: Cow<'a, str>,
    routes: Vec<Cow<'a, str>>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Service<'a> {
    #[serde(alias = "registry")]
    nacos: Cow<'a, str>,
    namespace: Cow<'a, str>,
    group: Cow<'a, str>,
    name: Cow<'a, str>,
    health_is_known: bool,
    endpoints: Vec<Endpoint<'a>>,
}

/// From which Nacos something was learned since the start, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Those that answered, if only with nothing.
    pub(crate) answered: BTreeSet<Arc<str>>,
    /// Those that told of a document or an instance.
    pub(crate) told: BTreeSet<Arc<str>>,
}

impl Heard {
    /// Notes an answer of the Nacos `id`, and whether there was something in it.
    pub(crate) fn note(&mut self, id: &Arc<str>, is_something: bool) {
        self.answered.insert(Arc::clone(id));
        if is_something {
            self.told.insert(Arc::clone(id));
        }
    }

    /// Whether what is known of the Nacos `id` takes the place of what an earlier run knew. Servers that are not those of
    /// before must have told of something: a wrong address answers with nothing as well.
    fn replaces(&self, id: &str, same_servers: bool) -> bool {
        if same_servers {
            self.answered.contains(id)
        } else {
            self.told.contains(id)
        }
    }
}

/// Most endpoints are enabled and healthy, of weight 1 and without labels: that is left out.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Endpoint<'a> {
    address: SocketAddr,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    weight: f64,
    #[serde(default, skip_serializing_if = "is_false")]
    disabled: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    unhealthy: bool,
    cluster: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    metadata: Cow<'a, BTreeMap<String, String>>,
}

impl<'a> Contents<'a> {
    /// What is to be kept. An endpoint whose weight is no number is none.
    pub(super) fn new(
        servers: &'a ServersByNacos,
        documents: impl IntoIterator<Item = (&'a DocumentKey, &'a SavedText)>,
        services: impl IntoIterator<Item = &'a (ServiceId, SavedService)>,
    ) -> Contents<'a> {
        Contents {
            nacos: Cow::Borrowed(servers),
            documents: documents.into_iter().map(document).collect(),
            services: services.into_iter().map(service).collect(),
        }
    }

    /// The same with what `old` has of every Nacos that nothing was learned from. A start with a wrong address, or
    /// with Nacos down, must not cost what an earlier run knew.
    pub(super) fn keep_unheard(mut self, old: Contents<'a>, heard: &Heard) -> Contents<'a> {
        let mut kept = BTreeSet::new();
        for (id, servers) in old.nacos.iter() {
            let Some(current) = self.nacos.get(id) else {
                continue;
            };
            let same_servers = current == servers;
            if heard.replaces(id, same_servers) {
                continue;
            }
            if !same_servers {
                self.nacos.to_mut().insert(id.clone(), servers.clone());
                self.documents.retain(|one| one.nacos() != Some(id));
                self.services.retain(|one| one.nacos != *id);
            }
            kept.insert(id.clone());
        }
        for document in old.documents {
            let is_kept = document.nacos().is_some_and(|id| kept.contains(id));
            if is_kept && !self.documents.iter().any(|one| one.is_same(&document)) {
                self.documents.push(document);
            }
        }
        let known: BTreeSet<_> = self.services.iter().map(Service::key).collect();
        let unknown = |one: &Service<'_>| !known.contains(&one.key());
        let services = old.services.into_iter();
        let services: Vec<_> = services
            .filter(|one| kept.contains(&*one.nacos) && unknown(one))
            .collect();
        self.services.extend(services);
        self
    }

    /// What can be used of it. Entries of a Nacos that is not among `ours`, or that has other servers there, are left out.
    pub(super) fn into_saved(self, ours: &ServersByNacos, age: Option<Duration>) -> Saved {
        let is_ours = |id: &str| {
            let servers = self.nacos.get(id);
            servers.is_some() && servers == ours.get(id)
        };
        let documents = self.documents.into_iter();
        let documents = documents.filter_map(|document| match document {
            Document::Config { ref nacos, .. } if !is_ours(nacos) => None,
            document => Some(saved_document(document)),
        });
        let services = self.services.into_iter();
        let services = services.filter(|service| is_ours(&service.nacos));
        Saved {
            documents: documents.collect(),
            services: services.map(saved_service).collect(),
            age,
        }
    }
}

impl Document<'_> {
    /// The id of the Nacos that has it, unless it is a file.
    fn nacos(&self) -> Option<&str> {
        match self {
            Document::Config { nacos, .. } => Some(nacos),
            Document::File { .. } => None,
        }
    }

    /// Whether `other` is the same document, whatever its text.
    fn is_same(&self, other: &Document<'_>) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> [&str; 4] {
        match self {
            Document::File { path, .. } => ["", "", "", path],
            Document::Config {
                nacos,
                namespace,
                group,
                data_id,
                ..
            } => [nacos, namespace, group, data_id],
        }
    }
}

impl Service<'_> {
    fn key(&self) -> [String; 4] {
        [&self.nacos, &self.namespace, &self.group, &self.name].map(ToString::to_string)
    }
}

fn document<'a>((key, saved): (&'a DocumentKey, &'a SavedText)) -> Document<'a> {
    let text = (&*saved.text).into();
    let older = |older: &'a OlderText| Older {
        text: (&*older.text).into(),
        routes: older.routes.iter().map(|id| (&**id).into()).collect(),
    };
    let older = saved.older.iter().map(older).collect();
    match key {
        DocumentKey::File(path) => Document::File {
            path: path.into(),
            text,
            older,
        },
        DocumentKey::Config {
            nacos,
            namespace,
            group,
            data_id,
        } => Document::Config {
            nacos: nacos.into(),
            namespace: namespace.into(),
            group: group.into(),
            data_id: data_id.into(),
            text,
            older,
        },
    }
}

fn saved_document(document: Document<'_>) -> (DocumentKey, SavedText) {
    match document {
        Document::File { path, text, older } => {
            (DocumentKey::File(path.into()), saved_text(text, older))
        }
        Document::Config {
            nacos,
            namespace,
            group,
            data_id,
            text,
            older,
        } => {
            let key = DocumentKey::Config {
                nacos: nacos.into(),
                namespace: namespace.into(),
                group: group.into(),
                data_id: data_id.into(),
            };
            (key, saved_text(text, older))
        }
    }
}

fn saved_text(text: Cow<'_, str>, older: Vec<Older<'_>>) -> SavedText {
    let one = |older: Older<'_>| OlderText {
        text: older.text.into(),
        routes: older.routes.into_iter().map(Arc::from).collect(),
    };
    SavedText {
        text: text.into(),
        older: older.into_iter().take(MOST_OLDER_TEXTS).map(one).collect(),
    }
}

fn service<'a>((id, saved): &'a (ServiceId, SavedService)) -> Service<'a> {
    let endpoint = |spec: &'a EndpointSpec| Endpoint {
        address: spec.address,
        weight: spec.weight,
        disabled: !spec.enabled,
        unhealthy: !spec.healthy,
        cluster: (&*spec.cluster).into(),
        host: spec.host.as_deref().map(Cow::Borrowed),
        metadata: Cow::Borrowed(&*spec.metadata),
    };
    let endpoints = saved.endpoints.iter();
    let endpoints = endpoints.filter(|spec| spec.weight.is_finite());
    Service {
        nacos: (&*id.nacos).into(),
        namespace: (&*id.namespace).into(),
        group: (&*id.group).into(),
        name: (&*id.name).into(),
        health_is_known: saved.health_is_known,
        endpoints: endpoints.map(endpoint).collect(),
    }
}

fn saved_service(service: Service<'_>) -> (ServiceId, SavedService) {
    let endpoint = |endpoint: Endpoint<'_>| EndpointSpec {
        weight: endpoint.weight,
        enabled: !endpoint.disabled,
        healthy: !endpoint.unhealthy,
        cluster: endpoint.cluster.into(),
        transport: transport_of(&endpoint.metadata),
        grpc_port: grpc_port_of(&endpoint.metadata),
        host: endpoint.host.map(Arc::from),
        metadata: Arc::new(endpoint.metadata.into_owned()),
        ..EndpointSpec::new(endpoint.address)
    };
    let id = ServiceId {
        nacos: service.nacos.into(),
        namespace: service.namespace.into(),
        group: service.group.into(),
        name: service.name.into(),
    };
    let saved = SavedService {
        endpoints: service.endpoints.into_iter().map(endpoint).collect(),
        health_is_known: service.health_is_known,
    };
    (id, saved)
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_empty(metadata: &BTreeMap<String, String>) -> bool {
    metadata.is_empty()
}
