//! Which endpoint: services, selections, policies and ejection.
//!
//! One job: to say which endpoint the next request of a route goes to. It takes whole endpoint sets ([`Service::update`]), the outcome of
//! each pick ([`Pick::report`]) and the time ([`Services::supervise`]). It gives picks ([`Selection::pick`]) and a view for people
//! ([`Service::view`]). It must not know where endpoints come from, nor how a request is sent.
//!
//! State changes at three rates, each with its own home: an endpoint set and what ejection makes of it live in a [`Service`] behind a
//! lock; a selection's schedule is one immutable value behind a swap, rebuilt when its service changes; counters and the mark of an
//! ejection are atomics of the endpoint, which survive every update. A pick loads the schedule, asks the policy, and takes no lock and
//! allocates nothing. A report sets the mark and wakes the supervisor. Only the supervisor rebuilds schedules, never a request thread.
//!
//! Whether an endpoint is in or out, and why, is decided in one place (`verdict`) for schedules, metrics and views alike.
//!
//! ```
//! use pailou_upstream::{EjectionSettings, EndpointSet, EndpointSpec, Hint, Policy, ServiceId, Services, Subset};
//!
//! let services = Services::new(EjectionSettings::default(), pailou_telemetry::Metrics::new());
//! let service = services.service(&ServiceId::new("", "DEFAULT_GROUP", "user-service"));
//! let selection = services.selection(&service, &Subset::default(), &Policy::round_robin());
//! service.update(EndpointSet::of([EndpointSpec::new("127.0.0.1:8081".parse()?)]));
//!
//! let pick = selection.pick(&Hint::first()).expect("one endpoint is eligible");
//! assert_eq!(pick.address(), "127.0.0.1:8081".parse()?);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod balance;
mod budget;
mod check;
mod destination;
mod ejection;
mod endpoint;
mod hint;
mod id;
mod judge;
mod member;
mod near;
mod news;
mod outlier;
mod peak;
mod pick;
mod rebuild;
mod room;
mod schedule;
mod selection;
mod service;
mod services;
mod set;
mod slow_start;
mod split;
mod standing;
mod state;
mod tally;
mod transport;
mod tried;
mod trouble;
mod verdict;
mod view;
mod wake;

pub use balance::Policy;
pub use budget::RetryBudget;
pub use check::{Check, CheckFailure, Checking, Target, TargetId};
pub use destination::Destination;
pub use endpoint::Endpoint;
pub use hint::Hint;
pub use id::ServiceId;
pub use near::Near;
/// What [`Services::new`] and [`Policy::with_endpoint_limit`] take.
pub use pailou_config::{EjectionSettings, EndpointLimitSpec};
pub use pick::{Outcome, Pick};
pub use schedule::NoEndpoint;
pub use selection::{Selection, Subset};
pub use service::Service;
pub use services::Services;
pub use set::{EndpointSet, EndpointSpec};
pub use split::{Fallback, Split};
pub use transport::{Http, Transport};
pub use tried::Tried;
pub use verdict::Reason;
pub use view::{CheckView, EjectionView, EndpointView, IntervalView, SelectionView, ServiceView};
