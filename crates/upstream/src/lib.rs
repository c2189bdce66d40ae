//! Which endpoint: services, selections, policies and ejection.
//!
//! One job: to say which endpoint the next request of a route goes to. In go whole endpoint sets ([`Service::update`]), what became of
//! each pick ([`Pick::report`]) and time ([`Services::supervise`]); out come picks ([`Selection::pick`]) and a view for people
//! ([`Service::view`]). It must not know who told the endpoints, nor how a request is sent.
//!
//! State changes at three rates, each with its own home: an endpoint set and what ejection makes of it live in a [`Service`] behind a
//! lock; a selection's plan is one immutable value behind a swap, rebuilt when its service changes; counters are atomics of the
//! endpoint, which survive every update. A pick loads the plan, asks the policy, and takes no lock and allocates nothing.
//!
//! ```
//! use pailou_upstream::{EjectionSettings, EndpointSet, EndpointSpec, Policy, ServiceId, Services, Subset, Tried};
//!
//! let services = Services::new(EjectionSettings::default(), pailou_telemetry::Metrics::new());
//! let service = services.service(&ServiceId::new("", "DEFAULT_GROUP", "user-service"));
//! let selection = services.selection(&service, &Subset::default(), &Policy::round_robin());
//! service.update(EndpointSet::of([EndpointSpec::new("127.0.0.1:8081".parse()?)]));
//!
//! let pick = selection.pick(&Tried::none()).expect("one endpoint is eligible");
//! assert_eq!(pick.address(), "127.0.0.1:8081".parse()?);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod balance;
mod budget;
mod ejection;
mod endpoint;
mod id;
mod member;
mod pick;
mod plan;
mod selection;
mod service;
mod services;
mod set;
mod state;
mod tried;
mod view;

pub use balance::Policy;
pub use budget::RetryBudget;
pub use endpoint::Endpoint;
pub use id::ServiceId;
/// What [`Services::new`] takes.
pub use pailou_config::EjectionSettings;
pub use pick::{Outcome, Pick};
pub use plan::NoEndpoint;
pub use selection::{Selection, Subset};
pub use service::Service;
pub use services::Services;
pub use set::{EndpointSet, EndpointSpec};
pub use tried::Tried;
pub use view::{EjectionView, EndpointView, Reason, SelectionView, ServiceView};
