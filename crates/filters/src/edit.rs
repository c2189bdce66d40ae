//! What a filter is, and the chain that a route runs.

use std::borrow::Cow;
use std::fmt::Debug;

use crate::Headers;

/// The planned head of an upstream request.
///
/// Filters edit it once, before the first try; each try sends a copy. So a
/// retry never adds its header twice.
pub struct RequestHead<'a> {
    /// The normalised path that will be forwarded: begins with `/`, has no
    /// query, no dot segments and no doubled slashes. Every filter leaves it so.
    pub path: Cow<'a, str>,
    /// The header fields that will be sent.
    pub headers: &'a mut dyn Headers,
}

/// The head of a response on its way to the client.
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// The header fields that will be sent.
    pub headers: &'a mut dyn Headers,
}

/// A compiled filter that changes heads and neither waits nor fails.
///
/// Cost per request: what it says on the filter; none allocates unless it
/// changes something.
pub trait Edit: Debug + Send + Sync {
    /// Changes the planned request.
    fn request(&self, _head: &mut RequestHead<'_>) {}

    /// Changes the response.
    fn response(&self, _head: &mut ResponseHead<'_>) {}
}

/// A route's filters, in the order of its document.
///
/// ```
/// use std::borrow::Cow;
/// use http::HeaderMap;
/// use pailou_filters::{Chain, Edit, RequestHead};
///
/// #[derive(Debug)]
/// struct Shout;
/// impl Edit for Shout {
///     fn request(&self, head: &mut RequestHead<'_>) {
///         head.path = Cow::Owned(head.path.to_uppercase());
///     }
/// }
///
/// let chain = Chain::new(vec![Box::new(Shout)]);
/// let mut headers = HeaderMap::new();
/// let mut head = RequestHead { path: "/users".into(), headers: &mut headers };
/// chain.request(&mut head);
/// assert_eq!(head.path, "/USERS");
/// ```
#[derive(Debug, Default)]
pub struct Chain {
    edits: Vec<Box<dyn Edit>>,
}

impl Chain {
    /// A chain of compiled filters.
    pub fn new(edits: Vec<Box<dyn Edit>>) -> Chain {
        Chain { edits }
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// How many filters it has.
    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// Runs the filters on a request, first to last.
    pub fn request(&self, head: &mut RequestHead<'_>) {
        for edit in &self.edits {
            edit.request(head);
        }
    }

    /// Runs the filters on a response, last to first: each sees what the
    /// filters after it in the document made of the response.
    pub fn response(&self, head: &mut ResponseHead<'_>) {
        for edit in self.edits.iter().rev() {
            edit.response(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    #[derive(Debug)]
    struct Mark(&'static str);

    impl Edit for Mark {
        fn request(&self, head: &mut RequestHead<'_>) {
            head.headers.append(
                &HeaderName::from_static("x-ran"),
                HeaderValue::from_static(self.0),
            );
        }

        fn response(&self, head: &mut ResponseHead<'_>) {
            head.headers.append(
                &HeaderName::from_static("x-ran"),
                HeaderValue::from_static(self.0),
            );
        }
    }

    fn ran(headers: &HeaderMap) -> Vec<&str> {
        headers
            .get_all("x-ran")
            .iter()
            .map(|value| value.to_str().expect("ascii"))
            .collect()
    }

    #[test]
    fn requests_run_first_to_last_and_responses_last_to_first() {
        let chain = Chain::new(vec![Box::new(Mark("a")), Box::new(Mark("b"))]);

        let mut headers = HeaderMap::new();
        chain.request(&mut RequestHead {
            path: "/".into(),
            headers: &mut headers,
        });
        assert_eq!(ran(&headers), ["a", "b"]);

        let mut headers = HeaderMap::new();
        chain.response(&mut ResponseHead {
            status: 200,
            headers: &mut headers,
        });
        assert_eq!(ran(&headers), ["b", "a"]);
    }
}
