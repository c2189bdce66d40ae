//! Messages about configs.

use std::collections::BTreeMap;

use super::message::{object, request, response};

request! {
    /// Asks for a config.
    pub struct ConfigQueryRequest -> ConfigQueryResponse {
        /// The config's name.
        pub data_id: String,
        /// The group.
        pub group: String,
        /// The namespace; `""` for the default one.
        pub tenant: String,
        /// Which variant; none for the plain one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tag: Option<String>,
    }
}

response! {
    /// Answer to a [`ConfigQueryRequest`]; error code 300 when there is no such config.
    pub struct ConfigQueryResponse {
        /// The content; absent when the query failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub content: Option<String>,
        /// Key of an encrypted config.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub encrypted_data_key: Option<String>,
        /// `yaml`, `json`, `text` and so on.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub content_type: Option<String>,
        /// Hash of the content, hexadecimal.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub md5: Option<String>,
        /// Milliseconds since 1970.
        pub last_modified: i64,
        /// Whether this is a gray variant.
        pub beta: bool,
        /// The variant.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tag: Option<String>,
    }
}

request! {
    /// Listens to configs, or ends that, and says which have changed against the given hashes.
    pub struct ConfigBatchListenRequest -> ConfigChangeBatchListenResponse {
        /// True to listen, false to stop.
        pub listen: bool,
        /// The configs and the hashes that the client has.
        pub config_listen_contexts: Vec<ConfigListenContext>,
    }
}

object! {
    /// One config of a [`ConfigBatchListenRequest`].
    pub struct ConfigListenContext {
        /// The config's name.
        pub data_id: String,
        /// The group.
        pub group: String,
        /// The namespace; `""` for the default one.
        pub tenant: String,
        /// Hash of what the client has; `""` for nothing.
        pub md5: String,
    }
}

response! {
    /// Answer to a [`ConfigBatchListenRequest`].
    pub struct ConfigChangeBatchListenResponse {
        /// The configs that differ from what the client has.
        pub changed_configs: Vec<ChangedConfig>,
    }
}

object! {
    /// One config of a [`ConfigChangeBatchListenResponse`].
    pub struct ChangedConfig {
        /// The config's name.
        pub data_id: String,
        /// The group.
        pub group: String,
        /// The namespace; absent or `""` for the default one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tenant: Option<String>,
    }
}

request! {
    /// A config was published or removed; the content must be asked for.
    pub struct ConfigChangeNotifyRequest <- ConfigChangeNotifyResponse {
        /// The config's name.
        pub data_id: String,
        /// The group.
        pub group: String,
        /// The namespace; absent or `""` for the default one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tenant: Option<String>,
    }
}

response! {
    /// Acknowledges a [`ConfigChangeNotifyRequest`].
    pub struct ConfigChangeNotifyResponse {}
}

request! {
    /// Publishes a config.
    pub struct ConfigPublishRequest -> ConfigPublishResponse {
        /// The config's name.
        pub data_id: String,
        /// The group.
        pub group: String,
        /// The namespace; `""` for the default one.
        pub tenant: String,
        /// The content; blank is refused.
        pub content: String,
        /// Only publish when the present content has this hash; ignored by 2.x servers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cas_md5: Option<String>,
        /// More: `type` (the content's format), `appName`, `desc` and others.
        pub addition_map: BTreeMap<String, String>,
    }
}

response! {
    /// Answer to a [`ConfigPublishRequest`].
    pub struct ConfigPublishResponse {}
}

request! {
    /// Removes a config; it is no fault when there is none.
    pub struct ConfigRemoveRequest -> ConfigRemoveResponse {
        /// The config's name.
        pub data_id: String,
        /// The group.
        pub group: String,
        /// The namespace; `""` for the default one.
        pub tenant: String,
        /// Which variant; none for the plain one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tag: Option<String>,
    }
}

response! {
    /// Answer to a [`ConfigRemoveRequest`].
    pub struct ConfigRemoveResponse {}
}
