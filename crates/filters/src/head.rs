//! The heads that filters see and change.

use std::borrow::Cow;

use http::{HeaderMap, Method, StatusCode};

use crate::Facts;

/// The planned head of an upstream request.
///
/// Filters change it once, before the first try; each try sends a copy. So a
/// retry never adds its header twice.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// The request as it came.
    pub facts: &'a Facts,
    /// The method.
    pub method: &'a Method,
    /// The normalised path that will be forwarded: begins with `/`, has no
    /// query, no dot segments and no doubled slashes. Every filter leaves it so.
    pub path: Cow<'a, str>,
    /// The query without its `?`, as it will be forwarded.
    pub query: Option<Cow<'a, str>>,
    /// The header fields that will be sent, `host` and `x-forwarded-*` among
    /// them.
    pub headers: &'a mut HeaderMap,
}

impl RequestHead<'_> {
    /// Path and query as they stand now.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone().into_owned(),
        }
    }
}

/// The head of a response on its way to the client.
#[derive(Debug)]
pub struct ResponseHead<'a> {
    /// The request as it came.
    pub facts: &'a Facts,
    /// The status code.
    pub status: StatusCode,
    /// The header fields that will be sent.
    pub headers: &'a mut HeaderMap,
}
