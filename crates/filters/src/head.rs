//! The heads that filters see and change.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::{Facts, Identity};

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
    /// What the steps have decided beyond this head.
    pub effects: Effects,
}

/// What steps decide beyond the head of the request, for the code that runs them.
#[derive(Debug, Default)]
pub struct Effects {
    /// Whether a filter has put text of its own into the path, so that the whole path
    /// must be checked like a client's.
    pub has_own_path: bool,
    /// Whether `PrefixPath` has acted: of several, Spring lets only the first act.
    pub is_prefixed: bool,
    /// The most bytes that the request's body may have, if a step says so.
    pub max_body_bytes: Option<u64>,
    /// The changes of the response before the response half of the steps. The gateway's
    /// own errors get them too.
    pub response: Vec<Change>,
    /// Whether the request is only explained and not sent. Steps that count or remember
    /// requests do not do so then.
    pub is_rehearsal: bool,
    /// Who the request is of, once a filter has found that.
    pub identity: Option<Arc<Identity>>,
    /// What the step writes down for its response half. Whoever runs the steps
    /// takes it after each.
    pub note: Option<Note>,
}

/// A change of a response's head that was decided with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The field is gone.
    Remove(HeaderName),
    /// The field has this value only.
    Set(HeaderName, HeaderValue),
    /// The field has this value too, in front of those it has.
    Prepend(HeaderName, HeaderValue),
}

impl Change {
    /// Applies it.
    pub fn apply(&self, headers: &mut HeaderMap) {
        match self {
            Change::Remove(name) => drop(headers.remove(name)),
            Change::Set(name, value) => drop(headers.insert(name, value.clone())),
            Change::Prepend(name, value) => {
                let others: Vec<_> = headers.get_all(name).iter().cloned().collect();
                headers.insert(name, value.clone());
                for other in others {
                    headers.append(name, other);
                }
            }
        }
    }
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

/// What a step wrote down when a request passed it.
pub type Note = Box<dyn Any + Send + Sync>;

/// The head of a response on its way to the client.
#[derive(Debug)]
pub struct ResponseHead<'a> {
    /// The request as it came.
    pub facts: &'a Facts,
    /// What the step that is run has written down of the request.
    pub note: Option<&'a (dyn Any + Send + Sync)>,
    /// The status code.
    pub status: StatusCode,
    /// The header fields that will be sent.
    pub headers: &'a mut HeaderMap,
}
