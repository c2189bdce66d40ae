//! What an operator may want to know of a session, as plain data.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::model::{ConfigName, Origin, ServiceName};

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// One gRPC connection, over which the server pushes: Nacos since 2.0.
    Grpc,
    /// HTTP v1: services by polling, configs by a long poll, own instances by beats. Nacos before 2.0, and up to 3.1
    /// where the gRPC port cannot be reached.
    HttpV1,
    /// HTTP v3: everything by polling. Nacos since 3.0 where neither of the others is to be had.
    HttpV3,
}

impl Transport {
    /// A static label for counters and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpV1 => "http_v1",
            Self::HttpV3 => "http_v3",
        }
    }
}

/// The connection of one namespace. Over HTTP it is a time in which one server answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ConnectionState {
    /// Whether there is a connection that the server has accepted.
    pub connected: bool,
    /// The server, while connected.
    pub server: Option<String>,
    /// How the server is spoken to, while connected.
    pub transport: Option<Transport>,
    /// When it was made: milliseconds since 1970, while connected.
    pub connected_since_unix_ms: Option<u64>,
    /// Number of the latest connection, from 1; 0 before the first. It grows with each new one.
    pub epoch: u64,
    /// Why the last connection ended or the last attempt failed.
    pub last_error: Option<String>,
    /// When that was: milliseconds since 1970.
    pub last_error_unix_ms: Option<u64>,
}

/// Where the login stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum LoginState {
    /// There are no credentials, so no login.
    #[default]
    Off,
    /// The first attempt is not over.
    Pending,
    /// There is a token.
    LoggedIn {
        /// When the token is renewed: milliseconds since 1970.
        renewal_unix_ms: u64,
        /// Why the latest renewal failed; the older token is used meanwhile.
        renewal_error: Option<String>,
    },
    /// No server has a login: the client works without a token, and the server's answers decide.
    Absent,
    /// There is no token.
    Failed {
        /// Why.
        error: String,
    },
}

/// One watched service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceSync {
    /// The service.
    pub service: ServiceName,
    /// How many instances the latest state has; `None` while nothing is known.
    pub instances: Option<usize>,
    /// How the latest state came.
    pub origin: Option<Origin>,
    /// The connection that brought it.
    pub epoch: Option<u64>,
    /// Milliseconds since it came or was confirmed.
    pub age_ms: Option<u64>,
    /// Whether it is of the present connection.
    pub is_current: bool,
    /// Why the latest attempt to refresh it failed.
    pub error: Option<String>,
}

/// One watched config.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigSync {
    /// The config.
    pub config: ConfigName,
    /// Whether it exists; `None` while nothing is known.
    pub is_present: Option<bool>,
    /// Hash of its content.
    pub md5: Option<String>,
    /// The connection that brought it.
    pub epoch: Option<u64>,
    /// Milliseconds since it came or was confirmed.
    pub age_ms: Option<u64>,
    /// Whether it is of the present connection.
    pub is_current: bool,
    /// Why the latest attempt to refresh it failed.
    pub error: Option<String>,
}

/// One own registration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegistrationSync {
    /// The service.
    pub service: ServiceName,
    /// `ip:port` of the instance.
    pub instance: String,
    /// Whether the present connection's server has confirmed it.
    pub is_registered: bool,
    /// Why the latest attempt failed.
    pub error: Option<String>,
}

/// All that is known of one namespace's session, taken at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionState {
    /// The namespace; `""` is the default one.
    pub namespace: String,
    /// The connection.
    pub connection: ConnectionState,
    /// The login, shared by all namespaces of a client.
    pub login: LoginState,
    /// The watched services, by name.
    pub services: Vec<ServiceSync>,
    /// The watched configs, by name.
    pub configs: Vec<ConfigSync>,
    /// Own registrations, by service.
    pub registrations: Vec<RegistrationSync>,
    /// What happened since the client was made.
    pub counts: Counts,
}

macro_rules! counts {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// What happened since the client was made.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub struct Counts {
            $($(#[$meta])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn counts(&self) -> Counts {
                Counts { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

counts! {
    /// Connections that a server accepted.
    connections,
    /// Attempts to connect that failed.
    failed_connections,
    /// Connections that ended, other than by closing the client or for a better transport.
    lost_connections,
    /// Connections over another transport than the one before.
    transport_changes,
    /// Pushed service states.
    service_pushes,
    /// Notices that a config changed.
    config_notices,
    /// Server requests that the connection proves itself alive.
    detections,
    /// Server requests to go elsewhere.
    resets,
    /// Messages that could not be understood.
    malformed,
    /// Requests without an answer in time.
    timeouts,
    /// Answers that the server does not know the connection (301).
    unregistered,
    /// Answers that the right is missing (403).
    forbidden,
    /// Answers that the server is starting (300).
    starting,
    /// Answers that the server is over its load limit (503).
    overloaded,
    /// Requests refused for other reasons.
    refused,
    /// Services asked for again, over HTTP.
    service_polls,
    /// Beats sent for own instances, over HTTP.
    beats,
    /// Beats that the server answered with not knowing the instance; it was registered again.
    unknown_beats,
    /// Audits of all watched services and configs.
    audits,
    /// Services that an audit found different from the last push.
    service_drift,
    /// Configs that an audit found different from the last notice.
    config_drift,
    /// Logins that gave a token.
    logins,
    /// Logins that failed.
    failed_logins,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
