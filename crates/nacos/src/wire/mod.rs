//! The Nacos gRPC messages: the envelope, the JSON bodies and the codec between them.
//!
//! Nacos puts JSON into a protobuf envelope ([`Payload`]) whose metadata names the Java class of the body. This module
//! holds the envelope and a typed struct for each message that a client or a small server needs. It is public because
//! the embedded registry speaks the server's half of the same messages.
//!
//! **Lenient on receive**: unknown fields are ignored and every field may be absent or `null`, since servers from 2.0
//! to 3.2 differ in what they leave out. What must not be guessed is an `Option`: a reply without a host list is not
//! an empty host list.
//!
//! ```
//! use pailou_nacos::wire::{HealthCheckRequest, Payload};
//!
//! let payload = Payload::new(&HealthCheckRequest::default());
//! assert_eq!(payload.kind(), "HealthCheckRequest");
//! assert_eq!(payload.decode::<HealthCheckRequest>()?, HealthCheckRequest::default());
//! # Ok::<(), pailou_nacos::wire::WireError>(())
//! ```

mod config;
mod connection;
mod lenient;
mod message;
mod naming;
mod payload;

pub use config::{
    ChangedConfig, ConfigBatchListenRequest, ConfigChangeBatchListenResponse,
    ConfigChangeNotifyRequest, ConfigChangeNotifyResponse, ConfigListenContext,
    ConfigPublishRequest, ConfigPublishResponse, ConfigQueryRequest, ConfigQueryResponse,
    ConfigRemoveRequest, ConfigRemoveResponse,
};
pub use connection::{
    ClientDetectionRequest, ClientDetectionResponse, ConnectResetRequest, ConnectResetResponse,
    ConnectionSetupRequest, ErrorResponse, HealthCheckRequest, HealthCheckResponse,
    ServerCheckRequest, ServerCheckResponse, SetupAckRequest,
};
pub use lenient::Text;
pub use message::{Message, Push, Request, Response, code};
pub use naming::{
    BatchInstanceRequest, BatchInstanceResponse, HostInfo, InstanceRequest, InstanceResponse,
    NotifySubscriberRequest, NotifySubscriberResponse, PersistentInstanceRequest,
    QueryServiceResponse, ServiceInfo, ServiceListRequest, ServiceListResponse,
    ServiceQueryRequest, SubscribeServiceRequest, SubscribeServiceResponse, instance_type,
};
pub use payload::{Any, Metadata, Payload, WireError};

/// Path of the unary gRPC method: one request, one response.
pub const UNARY_PATH: &str = "/Request/request";

/// Path of the bidirectional gRPC method: connection set-up, the server's pushes and their acknowledgements.
pub const STREAM_PATH: &str = "/BiRequestStream/requestBiStream";

/// Name of the metadata header that carries the login's token.
pub const ACCESS_TOKEN: &str = "accessToken";

/// The namespace that naming requests call the default one; config requests call it `""`.
pub const PUBLIC: &str = "public";

#[cfg(test)]
mod tests;
