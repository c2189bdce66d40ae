//! The plain data that goes in and out: names, instances, configs and their states.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::wire::HostInfo;

/// The group of services and configs that name none.
pub const DEFAULT_GROUP: &str = "DEFAULT_GROUP";

/// The cluster of an instance that names none.
pub const DEFAULT_CLUSTER: &str = "DEFAULT";

/// A service: its group and its name.
///
/// Converts from `"name"` (default group), `"group@@name"` (Nacos's own notation) and `("group", "name")`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// The group.
    pub group: Arc<str>,
    /// The name within the group.
    pub name: Arc<str>,
}

impl ServiceName {
    /// A service of this group; an empty group is the default one.
    pub fn new(group: &str, name: &str) -> Self {
        Self {
            group: group_or_default(group),
            name: name.into(),
        }
    }
}

impl From<&str> for ServiceName {
    fn from(text: &str) -> Self {
        let (group, name) = text.split_once("@@").unwrap_or(("", text));
        Self::new(group, name)
    }
}

impl From<(&str, &str)> for ServiceName {
    fn from((group, name): (&str, &str)) -> Self {
        Self::new(group, name)
    }
}

impl From<&ServiceName> for ServiceName {
    fn from(name: &ServiceName) -> Self {
        name.clone()
    }
}

/// As it is displayed.
impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@@{}", self.group, self.name)
    }
}

/// A config: its group and its data id.
///
/// Converts from `"data-id"` (default group) and `("group", "data-id")`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigName {
    /// The group.
    pub group: Arc<str>,
    /// The data id, extension included.
    pub data_id: Arc<str>,
}

impl ConfigName {
    /// A config of this group; an empty group is the default one.
    pub fn new(group: &str, data_id: &str) -> Self {
        Self {
            group: group_or_default(group),
            data_id: data_id.into(),
        }
    }
}

impl From<&str> for ConfigName {
    fn from(data_id: &str) -> Self {
        Self::new("", data_id)
    }
}

impl From<(&str, &str)> for ConfigName {
    fn from((group, data_id): (&str, &str)) -> Self {
        Self::new(group, data_id)
    }
}

impl From<&ConfigName> for ConfigName {
    fn from(name: &ConfigName) -> Self {
        name.clone()
    }
}

/// As it is displayed.
impl Serialize for ConfigName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.data_id)
    }
}

fn group_or_default(group: &str) -> Arc<str> {
    if group.is_empty() {
        DEFAULT_GROUP.into()
    } else {
        group.into()
    }
}

/// One instance of a service, as the server reports it or as it is to be registered.
///
/// ```
/// let instance = pailou_nacos::Instance {
///     weight: 2.0,
///     metadata: [("version".to_owned(), "v2".to_owned())].into(),
///     ..pailou_nacos::Instance::new("10.0.0.1", 8080)
/// };
/// assert!(instance.enabled && instance.healthy);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    /// Address, or a host name: Nacos does not check.
    pub ip: String,
    /// Port; 0 when the server sent none that can be used.
    pub port: u16,
    /// Share of the traffic. What the server sends may be zero, negative, NaN or infinite.
    pub weight: f64,
    /// Whether the server believes it healthy; without meaning while [`ServiceState::protected`].
    pub healthy: bool,
    /// False when an operator took it out.
    pub enabled: bool,
    /// Whether it lives as long as its owner's connection.
    pub ephemeral: bool,
    /// The cluster; `DEFAULT` unless set.
    pub cluster: String,
    /// Free key-value pairs.
    pub metadata: BTreeMap<String, String>,
}

impl Instance {
    /// A healthy, enabled, ephemeral instance of weight 1 in the default cluster.
    pub fn new(ip: impl Into<String>, port: u16) -> Self {
        Self {
            ip: ip.into(),
            port,
            ..HostInfo::default().into()
        }
    }
}

impl From<HostInfo> for Instance {
    fn from(host: HostInfo) -> Self {
        let cluster = if host.cluster_name.is_empty() {
            DEFAULT_CLUSTER.into()
        } else {
            host.cluster_name
        };
        Self {
            ip: host.ip,
            port: host.port,
            weight: host.weight,
            healthy: host.healthy,
            enabled: host.enabled,
            ephemeral: host.ephemeral,
            cluster,
            metadata: host.metadata,
        }
    }
}

impl From<&Instance> for HostInfo {
    fn from(instance: &Instance) -> Self {
        Self {
            ip: instance.ip.clone(),
            port: instance.port,
            weight: instance.weight,
            healthy: instance.healthy,
            enabled: instance.enabled,
            ephemeral: instance.ephemeral,
            cluster_name: instance.cluster.clone(),
            metadata: instance.metadata.clone(),
            ..Self::default()
        }
    }
}

/// The whole state of a service as the server last reported it.
#[derive(Debug, Clone)]
pub struct ServiceState {
    /// All instances that the server reported, in a fixed order; empty only when the server said so.
    pub instances: Arc<[Instance]>,
    /// The server's protection is on: it reports every instance as healthy, so `healthy` says nothing.
    pub protected: bool,
    /// How this state came.
    pub origin: Origin,
    /// The number of the connection that brought it; compare with [`ConnectionState::epoch`](crate::ConnectionState).
    pub epoch: u64,
    /// When it came, or was last confirmed.
    pub received: Instant,
}

impl ServiceState {
    /// Whether both say the same of the service, whenever and however they came.
    pub fn same_content(&self, other: &Self) -> bool {
        self.protected == other.protected && same_instances(&self.instances, &other.instances)
    }
}

/// Equality by bits for weights, so that a NaN that stays a NaN is no change.
pub(crate) fn same_instances(some: &[Instance], others: &[Instance]) -> bool {
    let same = |(one, other): (&Instance, &Instance)| {
        one.weight.to_bits() == other.weight.to_bits()
            && (&one.ip, one.port, one.healthy, one.enabled)
                == (&other.ip, other.port, other.healthy, other.enabled)
            && (one.ephemeral, &one.cluster, &one.metadata)
                == (other.ephemeral, &other.cluster, &other.metadata)
    };
    some.len() == others.len() && some.iter().zip(others).all(same)
}

/// One page of the names of a group's services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServicePage {
    /// This page's names.
    pub names: Vec<String>,
    /// How many there are on all pages.
    pub total: u64,
}

/// How a state came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Answer to a subscription, so the first state of a connection.
    Subscribe,
    /// The server pushed it.
    Push,
    /// Answer to a periodic question, over HTTP, where nothing is pushed; the first state of such a connection too.
    Poll,
    /// A periodic comparison found that a push was lost.
    Audit,
    /// Answer to a single question.
    Query,
}

/// A config's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The content.
    pub content: String,
    /// Hash of the content as the server computes it, hexadecimal.
    pub md5: String,
    /// The declared format: `yaml`, `json`, `text` and so on.
    pub kind: Option<String>,
}

/// What is known of a config: that it is there, or that it is not. Knowing nothing is neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigState {
    /// The config exists.
    Present(Arc<Config>),
    /// The server says that there is no such config: never published, or removed.
    Absent,
}

impl ConfigState {
    /// The config, when there is one.
    pub fn config(&self) -> Option<&Arc<Config>> {
        match self {
            Self::Present(config) => Some(config),
            Self::Absent => None,
        }
    }
}

/// How a config is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// The content's format, shown and checked by the console: `yaml`, `json`, `text` and so on.
    pub kind: Option<String>,
    /// Compare and swap: publish only if the present content has this hash. Servers before 3.0 ignore it and publish.
    pub if_md5: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_are_read_in_every_notation() {
        for (name, shown) in [
            (ServiceName::from("orders"), "DEFAULT_GROUP@@orders"),
            (ServiceName::from("shop@@orders"), "shop@@orders"),
            (ServiceName::from(("shop", "orders")), "shop@@orders"),
            (ServiceName::new("", "orders"), "DEFAULT_GROUP@@orders"),
        ] {
            assert_eq!(name.to_string(), shown);
        }
    }

    #[test]
    fn a_nan_that_stays_a_nan_is_no_change() {
        let one = [Instance {
            weight: f64::NAN,
            ..Instance::new("10.0.0.1", 1)
        }];
        assert!(same_instances(&one, &one.clone()));
        assert!(!same_instances(&one, &[Instance::new("10.0.0.1", 1)]));
        assert!(!same_instances(&one, &[]));
    }
}
