//! One instance of a service.

use std::{collections::BTreeMap, time::Duration};

use pailou_nacos::wire::HostInfo;

use crate::ServiceKey;

/// The cluster of instances that name none.
pub(crate) const DEFAULT_CLUSTER: &str = "DEFAULT";

/// An instance as it was registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Address or host name.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Share of the traffic.
    pub weight: f64,
    /// Whether it is healthy.
    pub healthy: bool,
    /// False takes it out: queries and pushes leave it away.
    pub enabled: bool,
    /// Whether it lives as long as its connection or its beats; a persistent one stays until it is removed.
    pub ephemeral: bool,
    /// Cluster within the service.
    pub cluster: String,
    /// Free key-value pairs.
    pub metadata: BTreeMap<String, String>,
}

impl Instance {
    /// A healthy instance of weight 1.
    pub fn new(ip: impl Into<String>, port: u16) -> Self {
        Self {
            ip: ip.into(),
            port,
            weight: 1.0,
            healthy: true,
            enabled: true,
            ephemeral: true,
            cluster: DEFAULT_CLUSTER.into(),
            metadata: BTreeMap::new(),
        }
    }

    /// A duration that the metadata may set, in milliseconds.
    pub(crate) fn setting(&self, key: &str, default: Duration) -> Duration {
        let set = self.metadata.get(key).and_then(|text| text.parse().ok());
        set.map_or(default, Duration::from_millis)
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

/// Metadata keys by which an instance sets its own beat rules.
pub(crate) mod preserved {
    pub(crate) const BEAT_INTERVAL: &str = "preserved.heart.beat.interval";
    pub(crate) const BEAT_TIMEOUT: &str = "preserved.heart.beat.timeout";
    pub(crate) const DELETE_TIMEOUT: &str = "preserved.ip.delete.timeout";
}

/// Time between beats that clients are told to keep.
pub(crate) const BEAT_INTERVAL: Duration = Duration::from_secs(5);

impl Instance {
    /// The instance as answers show it.
    pub(crate) fn into_host(
        self,
        service: &ServiceKey,
        unhealthy_after: Duration,
        remove_after: Duration,
    ) -> HostInfo {
        let millis = |key, default| {
            i64::try_from(self.setting(key, default).as_millis()).unwrap_or(i64::MAX)
        };
        let grouped = service.grouped_name();
        HostInfo {
            instance_id: Some(format!(
                "{}#{}#{}#{grouped}",
                self.ip, self.port, self.cluster
            )),
            instance_heart_beat_interval: Some(millis(preserved::BEAT_INTERVAL, BEAT_INTERVAL)),
            instance_heart_beat_time_out: Some(millis(preserved::BEAT_TIMEOUT, unhealthy_after)),
            ip_delete_timeout: Some(millis(preserved::DELETE_TIMEOUT, remove_after)),
            ip: self.ip,
            port: self.port,
            weight: self.weight,
            healthy: self.healthy,
            enabled: self.enabled,
            ephemeral: self.ephemeral,
            cluster_name: self.cluster,
            service_name: Some(grouped),
            metadata: self.metadata,
        }
    }
}
