//! What to change in a request or a response.
//!
//! **Its one job**: filters. A registry turns a filter's name and arguments
//! into a [`Step`], or faults; a route's steps form a [`Chain`].
//!
//! **In**: [`PartSpec`](pailou_config::PartSpec)s at publish time; planned
//! heads ([`RequestHead`], [`ResponseHead`]) at request time. **Out**: the same
//! heads, changed, or an [`Answer`].
//!
//! **It must not know** hyper or pingora (a [`Gate`] asks through [`Ask`]),
//! Nacos, or which route a request takes.
//!
//! To add a filter: a file `src/<name>.rs` named as in YAML, one line in
//! `src/registry.rs`, one row in `README.md`. A test fails while the row is
//! missing. Copy the file that is nearest in kind:
//!
//! - [`Edit`], heads only: `set_request_header.rs`; one that answers:
//!   `redirect.rs`.
//! - [`Gate`], asks another service and waits: `forward_auth.rs`.
//! - [`Body`], changes a response's body: `rewrite_body.rs`.
//! - [`Compress`], encodes a body as it streams: `compress.rs`, the only one of its kind.
//! - [`Rule`], says how a request is sent: `grpc_web.rs`.
//!
//! A filter of Spring Cloud Gateway goes to `src/scg/`, by the name that its
//! documents use.

mod add_request_header;
mod add_response_header;
mod api_key;
mod basic_auth;
mod breaker;
mod carrier;
mod chain;
mod circuit_breaker;
mod compress;
mod concurrency_limit;
mod cors;
mod csrf;
mod digest;
mod errors;
mod escapes;
mod except;
mod facts;
mod forward_auth;
mod forwarded_prefix;
mod gradient;
mod grpc_web;
mod head;
mod header;
mod identity;
mod inject_fault;
mod introspect;
mod ip_filter;
mod java_regex;
mod jwt;
mod key_table;
mod lease;
mod limit;
mod limit_key;
mod list;
mod methods;
mod mirror;
mod percent;
mod prefix;
mod priority;
mod rate_limit;
mod redirect;
mod refusal;
mod registry;
mod remove_request_header;
mod remove_response_header;
mod request_limits;
mod respond;
mod response_cache;
mod rewrite_body;
mod rule;
mod scg;
mod sealed;
mod sentinel;
mod set_cookie;
mod set_request_header;
mod set_response_header;
mod shared;
mod shared_buckets;
mod slots;
mod sources;
mod step;
mod sticky;
mod strip_prefix;
mod token;

pub use breaker::{Breaker, BreakerSettings, BreakerWait, BreakerWindow, Permit};
pub use chain::{Chain, ResponseHalf, Wish};
pub use circuit_breaker::{CircuitBreaker, Fallback, FallbackPath};
pub use compress::{Compress, Encoder};
pub use errors::ErrorShape;
pub use escapes::{form_bytes, form_decoded, path_bytes};
pub use facts::{Bindings, Facts, Failure};
pub use head::{Change, Effects, Note, RequestHead, ResponseHead};
pub use identity::Identity;
pub use java_regex::{JavaRegex, JavaRegexError, Replacement, TooMuchWork};
pub use limit_key::client_key;
pub use list::elements;
pub use mirror::{CopyPlace, Mirror, MirrorCopy};
pub use priority::Priority;
pub use refusal::Refusal;
pub use registry::{Destinations, Entry, REGISTRY, Scope, answers, check_order, compile};
pub use rule::{Backoff, Hedge, Retry, Rule};
pub use scg::cors::UnroutedCors;
pub use sentinel::{Blocked, FlowCell, FlowPlace, FlowRequest, FlowRules, Passage};
pub use shared::Shared;
pub use sources::{Follower, MAX_SOURCE_BYTES, Place, Sources};
pub use step::{Answer, Ask, AskError, Body, Copying, Edit, Gate, Keep, Next, Step, Waiting};
pub use sticky::{Stay, Sticky};
