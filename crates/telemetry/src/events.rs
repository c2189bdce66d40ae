//! One type per event: [`record`](TablePublished::record) makes the log line and the metric together.
//!
//! ERROR: a person must act. WARN: degraded, the gateway copes. INFO: life cycle and each published version. Fields come first, then a
//! constant sentence; a cause is called `error`.

mod breaker;
mod credentials;
mod discovery;
mod flow;
mod logs;
mod redis;
mod request;
mod settings;
mod snapshot;
mod tls;
mod upstream;

pub use breaker::{BreakerClosed, BreakerOpened, BreakerTries};
pub use credentials::{CredentialState, CredentialsFailed, CredentialsRefused, CredentialsTaken};
pub use discovery::{
    DocumentApplied, DocumentHome, DocumentMissing, DocumentPartlyApplied, DocumentRefused,
    LoginFailed, ReadinessChanged, Registered, RegistrationFailed, SessionConnected, SessionFailed,
    SessionLost, ShutdownPhase, SourceFailed, TablePublished, TaskEnded, TransportChanged,
};
pub use flow::{FlowRulesApplied, FlowRulesRefused, FlowRulesRestored};
pub(crate) use logs::{LogFailed, LogRecovered};
pub use redis::{RedisConnected, RedisLost, RedisRefused, RedisUnreachable};
pub use request::{RequestDone, StreamKind, TryEnd};
pub use settings::{SettingsRefused, SettingsReloaded};
pub use snapshot::{
    DocumentRestored, EndpointsRestored, SnapshotIgnored, SnapshotWriteFailed, SnapshotWritten,
};
pub use tls::{
    AuthoritiesReloaded, CertificateDoubtful, CertificateExpires, CertificateRefused,
    CertificateReloaded,
};
pub use upstream::{
    CheckFailing, CheckPassing, DriftFound, EjectedEndpointGone, EjectionStory, EndpointEjected,
    EndpointRefused, EndpointReturned, EndpointStillFailing, HoldBegan, HoldEnded, PanicBegan,
    PanicEnded, ServiceFirstStateLate,
};
