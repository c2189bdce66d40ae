//! Messages about services and their hosts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    lenient,
    message::{object, request, response},
};

/// The values of `type` in instance requests.
pub mod instance_type {
    /// Register one host, in place of the one that this connection registered before.
    pub const REGISTER: &str = "registerInstance";
    /// Remove the connection's host.
    pub const DEREGISTER: &str = "deregisterInstance";
    /// Register several hosts at once, in place of those that this connection registered before.
    pub const BATCH_REGISTER: &str = "batchRegisterInstance";
}

object! {
    /// The state of one service.
    pub struct ServiceInfo {
        /// `svc` over gRPC, `GROUP@@svc` over HTTP v1.
        pub name: String,
        /// The group.
        pub group_name: String,
        /// The cluster filter of the question.
        pub clusters: String,
        /// Advised poll interval in milliseconds.
        pub cache_millis: u64,
        /// The hosts; `None` when the message has no list, which is not the same as an empty one.
        pub hosts: Option<Vec<HostInfo>>,
        /// The server's clock when it answered: not a version.
        pub last_ref_time: i64,
        /// Always empty since 2.0.
        pub checksum: String,
        /// `allIPs` on 2.x, `allIps` on 3.x.
        #[serde(alias = "allIPs")]
        pub all_ips: bool,
        /// The server found too few healthy hosts and reports all as healthy.
        pub reach_protection_threshold: bool,
        /// False when the server could not tell.
        pub valid: bool,
    }
}

/// One host of a service. What is absent has Java's default: healthy, enabled, ephemeral, weight 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostInfo {
    /// `ip#port#cluster#GROUP@@service`; not an identity to rely on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Address or host name.
    #[serde(deserialize_with = "lenient::or_default")]
    pub ip: String,
    /// Port; 0 when the server sent none that can be used.
    #[serde(deserialize_with = "lenient::port")]
    pub port: u16,
    /// Share of the traffic; may be NaN or infinite.
    #[serde(
        deserialize_with = "lenient::weight",
        serialize_with = "lenient::write_weight"
    )]
    pub weight: f64,
    /// Whether the server believes it healthy.
    #[serde(deserialize_with = "lenient::or_true")]
    pub healthy: bool,
    /// False when an operator took it out.
    #[serde(deserialize_with = "lenient::or_true")]
    pub enabled: bool,
    /// Whether it lives as long as its connection or its beats.
    #[serde(deserialize_with = "lenient::or_true")]
    pub ephemeral: bool,
    /// Cluster within the service; `DEFAULT` unless set.
    #[serde(deserialize_with = "lenient::or_default")]
    pub cluster_name: String,
    /// `GROUP@@service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Free key-value pairs.
    #[serde(deserialize_with = "lenient::text_map")]
    pub metadata: BTreeMap<String, String>,
    /// Milliseconds between beats over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_heart_beat_interval: Option<i64>,
    /// Milliseconds without a beat until it is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_heart_beat_time_out: Option<i64>,
    /// Milliseconds without a beat until it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_delete_timeout: Option<i64>,
}

impl Default for HostInfo {
    fn default() -> Self {
        Self {
            instance_id: None,
            ip: String::new(),
            port: 0,
            weight: 1.0,
            healthy: true,
            enabled: true,
            ephemeral: true,
            cluster_name: String::new(),
            service_name: None,
            metadata: BTreeMap::new(),
            instance_heart_beat_interval: None,
            instance_heart_beat_time_out: None,
            ip_delete_timeout: None,
        }
    }
}

request! {
    /// Asks for the hosts of a service.
    pub struct ServiceQueryRequest -> QueryServiceResponse {
        /// The namespace; `public` for the default one.
        pub namespace: String,
        /// The service, without its group.
        pub service_name: String,
        /// The group.
        pub group_name: String,
        /// Clusters, separated by commas; all when empty.
        pub cluster: String,
        /// Whether to leave unhealthy hosts out.
        pub healthy_only: bool,
        /// Unused over gRPC.
        pub udp_port: i32,
    }
}

response! {
    /// Answer to a [`ServiceQueryRequest`].
    pub struct QueryServiceResponse {
        /// The state; absent when the query failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub service_info: Option<ServiceInfo>,
    }
}

request! {
    /// Subscribes to a service, or ends the subscription.
    pub struct SubscribeServiceRequest -> SubscribeServiceResponse {
        /// The namespace; `public` for the default one.
        pub namespace: String,
        /// The service, without its group.
        pub service_name: String,
        /// The group.
        pub group_name: String,
        /// True to subscribe, false to unsubscribe.
        pub subscribe: bool,
        /// Clusters, separated by commas; one filter per service and connection.
        pub clusters: String,
    }
}

response! {
    /// Answer to a [`SubscribeServiceRequest`].
    pub struct SubscribeServiceResponse {
        /// The first state; absent when the subscription failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub service_info: Option<ServiceInfo>,
    }
}

request! {
    /// The new state of a subscribed service.
    pub struct NotifySubscriberRequest <- NotifySubscriberResponse {
        /// The state.
        pub service_info: Option<ServiceInfo>,
    }
}

response! {
    /// Acknowledges a [`NotifySubscriberRequest`].
    pub struct NotifySubscriberResponse {}
}

request! {
    /// Registers or removes one host.
    pub struct InstanceRequest -> InstanceResponse {
        /// The namespace; `public` for the default one.
        pub namespace: String,
        /// The service, without its group.
        pub service_name: String,
        /// The group.
        pub group_name: String,
        /// See [`instance_type`].
        pub r#type: String,
        /// The host.
        pub instance: HostInfo,
    }
}

response! {
    /// Answer to an [`InstanceRequest`].
    pub struct InstanceResponse {
        /// Repeats the request's type; absent before 2.3.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub r#type: Option<String>,
    }
}

request! {
    /// Registers several hosts of one service at once.
    pub struct BatchInstanceRequest -> BatchInstanceResponse {
        /// The namespace; `public` for the default one.
        pub namespace: String,
        /// The service, without its group.
        pub service_name: String,
        /// The group.
        pub group_name: String,
        /// [`instance_type::BATCH_REGISTER`].
        pub r#type: String,
        /// All hosts of this connection.
        pub instances: Vec<HostInfo>,
    }
}

response! {
    /// Answer to a [`BatchInstanceRequest`].
    pub struct BatchInstanceResponse {
        /// Repeats the request's type; absent before 2.3.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub r#type: Option<String>,
    }
}

request! {
    /// Registers or removes a host that outlives its connection.
    pub struct PersistentInstanceRequest -> InstanceResponse {
        /// The namespace; `public` for the default one.
        pub namespace: String,
        /// The service, without its group.
        pub service_name: String,
        /// The group.
        pub group_name: String,
        /// See [`instance_type`].
        pub r#type: String,
        /// The host.
        pub instance: HostInfo,
    }
}

request! {
    /// Asks for the names of a group's services.
    pub struct ServiceListRequest -> ServiceListResponse {
        /// The namespace; `public` for the default one.
        pub namespace: String,
        /// The group.
        pub group_name: String,
        /// From 1.
        pub page_no: i64,
        /// Names per page.
        pub page_size: i64,
        /// Unused.
        pub selector: String,
    }
}

response! {
    /// Answer to a [`ServiceListRequest`].
    pub struct ServiceListResponse {
        /// How many there are on all pages.
        pub count: i64,
        /// This page's names.
        pub service_names: Vec<String>,
    }
}
