//! Who told us: sources, the service cache, compile and publish.
//!
//! One job: to keep two things true while the gateway runs, the live route table and each service's
//! endpoints. In go route documents (a Nacos config or a watched file) and the instances that Nacos
//! pushes; out come tables in a [`TableCell`](pailou_routing::TableCell), endpoint sets in
//! [`Service`](pailou_upstream::Service)s, and a view for people. It also registers the gateway itself.
//!
//! The write path: a source says what its document is (`source`); a document is taken whole or keeps
//! its last good routes (`documents`); the merge is compiled on a blocking thread, the services that are
//! new are subscribed and awaited, and one swap makes the table live (`publish`). Beside it each service
//! has a feed (`feed`): admission, name resolution, the hold, and then the balancer. So has each URL that a
//! route gives instead of a service (`static_feed`).
//!
//! It must not know how a request is served: it names nothing of pingora.

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
