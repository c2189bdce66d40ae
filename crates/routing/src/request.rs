//! What predicates look at.

use http::{HeaderMap, Method};

use crate::Target;

/// The parts of a request that decide its route.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host as [`Host::name`](crate::Host::name) gives it: lower-case, without
    /// port and trailing dot. `None` when the request names none.
    pub host: Option<&'a str>,
    /// The parsed target.
    pub target: &'a Target<'a>,
    /// The header fields as the client sent them.
    pub headers: &'a HeaderMap,
}
