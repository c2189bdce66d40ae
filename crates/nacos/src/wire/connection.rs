//! Messages about the connection itself.

use std::collections::BTreeMap;

use super::{
    lenient::Text,
    message::{request, response},
};

request! {
    /// Asks whether the server is up; needs no set-up and no token.
    pub struct ServerCheckRequest -> ServerCheckResponse {}
}

response! {
    /// The server is up.
    pub struct ServerCheckResponse {
        /// The server's name for the connection.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub connection_id: Option<String>,
        /// Whether the server answers a set-up with a [`SetupAckRequest`]; absent before 2.3.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub support_ability_negotiation: bool,
    }
}

request! {
    /// The first message on the stream: makes the connection known to the server. It has no reply of its own.
    pub struct ConnectionSetupRequest {
        /// Free text that names the client.
        pub client_version: String,
        /// Namespace of the client's configs, `""` for the default one; informational.
        pub tenant: String,
        /// Labels: `source`, `module`, `AppName`.
        pub labels: BTreeMap<String, String>,
        /// What the client can do; `None` sends none, and then the server sends no acknowledgement.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ability_table: Option<BTreeMap<String, bool>>,
    }
}

request! {
    /// The server has registered the connection, and can do this. Needs no answer.
    pub struct SetupAckRequest {
        /// What the server can do.
        pub ability_table: BTreeMap<String, bool>,
    }
}

request! {
    /// Keeps the connection alive and says whether the server still knows it.
    pub struct HealthCheckRequest -> HealthCheckResponse {}
}

response! {
    /// The server knows the connection.
    pub struct HealthCheckResponse {}
}

request! {
    /// The server has heard nothing for 20 s and ends the connection unless it is answered.
    pub struct ClientDetectionRequest <- ClientDetectionResponse {}
}

response! {
    /// Answer to a [`ClientDetectionRequest`].
    pub struct ClientDetectionResponse {}
}

request! {
    /// The server wants the client to go elsewhere.
    pub struct ConnectResetRequest <- ConnectResetResponse {
        /// Address of the server to go to.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub server_ip: Option<String>,
        /// Its HTTP port; text on real servers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub server_port: Option<Text>,
        /// The server's name for the connection.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub connection_id: Option<String>,
    }
}

response! {
    /// Answer to a [`ConnectResetRequest`].
    pub struct ConnectResetResponse {}
}

response! {
    /// A failure that is not of the operation's own type.
    pub struct ErrorResponse {}
}
