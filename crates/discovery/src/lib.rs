//! What Nacos and files say: sources, the endpoints of services, compiling and publishing tables.
//!
//! One job: to keep the live route table and each service's endpoints up to date while the gateway runs. It
//! takes route documents (a Nacos config or a watched file) and the instances that Nacos pushes. It gives
//! tables in a [`TableCell`](pailou_routing::TableCell), endpoint sets in
//! [`Service`](pailou_upstream::Service)s, and a view for people. It also registers the gateway itself.
//!
//! The write path: a source yields the state of its document (`source`). A document is taken whole or keeps
//! its last good routes (`documents`). The merge is compiled on a blocking thread, new services are subscribed
//! and awaited, and one swap makes the table live (`publish`). Beside this, each service has a feed (`feed`):
//! admission, name resolution, the hold, and then the balancer. Each URL that a route gives instead of a service
//! has a feed too (`static_feed`).
//!
//! It must not know how a request is served: it does not use pingora.

mod admission;
mod claims;
mod clients;
mod credentials;
mod discovery;
mod documents;
mod feed;
mod feeds;
mod hold;
mod kept;
mod metadata;
mod publish;
mod readiness;
mod registration;
mod resolve;
mod rules;
mod snapshot;
mod source;
mod static_feed;
mod transport;
mod view;
mod wiring;

pub use discovery::Discovery;
pub use kept::{KeptConfigs, flow_configs};
pub use rules::AddressRules;
pub use snapshot::look_at_snapshot;
pub use view::{
    DiscoveryView, DocumentState, DocumentView, FeedView, Readiness, RefusedView, RegistrationView,
    RestoredView, SessionView, SnapshotView, TableView,
};
