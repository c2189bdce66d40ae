//! What is known of a request, for its steps to use.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method};

/// What the predicates of a route have bound, by name: the variables of a path
/// or host pattern, decoded.
///
/// Costs nothing while it is empty. A route has a handful, so that a scan finds
/// a name faster than a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings(Vec<(Arc<str>, String)>);

impl Bindings {
    /// Binds a name. What it was bound to before is replaced.
    pub fn bind(&mut self, name: &Arc<str>, value: impl Into<String>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, bound)) => *bound = value.into(),
            None => self.0.push((Arc::clone(name), value.into())),
        }
    }

    /// What `name` is bound to.
    pub fn get(&self, name: &str) -> Option<&str> {
        let bound = self.0.iter().find(|(known, _)| &**known == name);
        bound.map(|(_, value)| value.as_str())
    }

    /// Names and values, in the order in which they were bound.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request as it came, and how it was matched. It stays the same while steps
/// change the planned head; both halves of a step see it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The route that the steps belong to.
    pub route: Arc<str>,
    /// The method.
    pub method: Method,
    /// `http` or `https`: the scheme that the client used; a trusted proxy may say which.
    pub scheme: &'static str,
    /// The Host header as it came.
    pub host: HeaderValue,
    /// The normalised path with its matrix parameters, as it was matched; UTF-8.
    pub path: Bytes,
    /// The query without its `?`.
    pub query: Option<Bytes>,
    /// The client's address; a trusted proxy may say which.
    pub client: IpAddr,
    /// What the route's predicates have bound.
    pub bindings: Bindings,
    /// Why the request came here instead of to its first route's service, if a
    /// circuit breaker sent it.
    pub failure: Option<Failure>,
}

/// Why a circuit breaker sent a request elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The cause as metrics name it, or `status` for an answer that counts as a
    /// failure.
    pub cause: &'static str,
    /// In words.
    pub detail: String,
}

impl Default for Facts {
    /// `GET /` over plain HTTP, without a client and a host.
    fn default() -> Facts {
        Facts {
            route: Arc::from(""),
            method: Method::GET,
            scheme: "http",
            host: HeaderValue::from_static(""),
            path: Bytes::from_static(b"/"),
            query: None,
            client: IpAddr::from([0, 0, 0, 0]),
            bindings: Bindings::default(),
            failure: None,
        }
    }
}

impl Facts {
    /// The path as text.
    pub fn path(&self) -> &str {
        std::str::from_utf8(&self.path).unwrap_or("/")
    }

    /// The query as text.
    pub fn query(&self) -> Option<&str> {
        let query = self.query.as_deref()?;
        std::str::from_utf8(query).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_value() {
        let (id, rest) = (Arc::from("id"), Arc::from("rest"));
        let mut bindings = Bindings::default();
        assert!(bindings.is_empty());
        bindings.bind(&id, "7");
        bindings.bind(&rest, "/a");
        bindings.bind(&id, "8");
        assert_eq!(bindings.get("id"), Some("8"));
        assert_eq!(bindings.get("other"), None);
        let all: Vec<_> = bindings.iter().collect();
        assert_eq!(all, [("id", "8"), ("rest", "/a")]);
    }
}
