//! The header map as filters and predicates see it.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A message's header fields, whatever type the proxy keeps them in.
///
/// Names given as `&str` are lower-case. Values are bytes: clients may send
/// what is not UTF-8.
///
/// ```
/// use http::{HeaderMap, HeaderName, HeaderValue};
/// use pailou_filters::Headers;
///
/// let mut map = HeaderMap::new();
/// let headers: &mut dyn Headers = &mut map;
/// headers.append(&HeaderName::from_static("x-env"), HeaderValue::from_static("canary"));
/// assert_eq!(headers.first("x-env"), Some(&b"canary"[..]));
/// ```
pub trait Headers {
    /// The first value of `name`, if there is one.
    fn first(&self, name: &str) -> Option<&[u8]>;

    /// Calls `each` with every value of `name`, in the order of arrival.
    fn values(&self, name: &str, each: &mut dyn FnMut(&[u8]));

    /// Puts `value` in the place of every value of `name`.
    fn set(&mut self, name: &HeaderName, value: HeaderValue);

    /// Adds `value` after the values that `name` already has.
    fn append(&mut self, name: &HeaderName, value: HeaderValue);

    /// Takes every value of `name` away.
    fn remove(&mut self, name: &HeaderName);
}

impl Headers for HeaderMap {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.get(name).map(HeaderValue::as_bytes)
    }

    fn values(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for value in self.get_all(name) {
            each(value.as_bytes());
        }
    }

    fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn append(&mut self, name: &HeaderName, value: HeaderValue) {
        HeaderMap::append(self, name, value);
    }

    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }
}
