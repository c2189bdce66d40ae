//! Which route: the target of a request, the predicates of routes, the compiled
//! table with its index, and the live cell that holds it.
//!
//! **Its one job**: to find the route that takes a request.
//!
//! **In**: [`RouteSpec`](pailou_config::RouteSpec)s, compiled one by one
//! ([`Route::compile`]) and assembled to a [`Table`]; at request time a
//! [`Request`], whose [`Target`] and [`Host`] are parsed here too, so that what is
//! matched is what is forwarded. **Out**: a [`Route`] with its filters, its
//! selection of endpoints and its limits.
//!
//! **It must not know** pingora, Nacos, where documents come from, or how a
//! request is sent.
//!
//! To add a predicate: a file `src/predicate/<name>.rs` named as in YAML, one line
//! in the registry of `src/predicate.rs`, one row in `README.md`. A test fails
//! while the row is missing.

mod canary;
mod cell;
mod host;
mod index;
mod matcher;
mod path;
pub mod predicate;
mod request;
mod request_value;
mod route;
pub mod scg;
mod table;
mod target;

pub use canary::Canary;
pub use cell::TableCell;
pub use host::{Host, HostError};
pub use request::Request;
pub use request_value::{HashKey, KeyValue};
pub use route::{Compiler, Route, RouteTarget, Timeouts};
pub use table::{Decided, Matched, Refusal, Refused, Table, Verdict};
pub use target::{Target, TargetError};
