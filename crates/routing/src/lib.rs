//! Which route: targets, predicates, the compiled table and its index.

mod host;
mod path;
mod target;

pub use host::{Host, HostError};
pub use target::{Target, TargetError};
