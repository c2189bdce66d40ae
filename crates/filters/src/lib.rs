//! What to change in a request or a response.
//!
//! **Its one job**: filters. A registry turns a filter's name and arguments
//! into a compiled [`Edit`], or faults; a route's edits form a [`Chain`].
//!
//! **In**: [`PartSpec`](pailou_config::PartSpec)s at publish time; planned
//! heads ([`RequestHead`], [`ResponseHead`]) at request time. **Out**: the same
//! heads, changed.
//!
//! **It must not know** pingora (a head's fields are behind [`Headers`]), Nacos,
//! or which route a request takes.
//!
//! To add a filter: a file `src/<name>.rs` named as in YAML, one line in
//! `src/registry.rs`, one row in `README.md`. A test fails while the row is
//! missing.

mod add_request_header;
mod add_response_header;
mod edit;
mod header;
mod headers;
mod prefix;
mod registry;
mod remove_request_header;
mod remove_response_header;
mod set_request_header;
mod set_response_header;
mod strip_prefix;

pub use edit::{Chain, Edit, RequestHead, ResponseHead};
pub use headers::Headers;
pub use registry::{Entry, REGISTRY, compile};
