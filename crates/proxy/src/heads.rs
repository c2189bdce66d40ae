//! pingora's heads as filters and predicates see them.
//!
//! pingora keeps the spelling of each header name beside the header map and
//! gives no way to the map past it; so a change goes through its own methods.

use http::{HeaderName, HeaderValue};
use pailou_filters::Headers;
use pingora::http::{RequestHeader, ResponseHeader};

/// The head of a request.
pub(crate) struct RequestFields<'a>(pub(crate) &'a mut RequestHeader);

/// The head of a response.
pub(crate) struct ResponseFields<'a>(pub(crate) &'a mut ResponseHeader);

/// Both heads have the same methods and no trait for them.
macro_rules! fields {
    ($fields:ident) => {
        impl Headers for $fields<'_> {
            fn first(&self, name: &str) -> Option<&[u8]> {
                self.0.headers.get(name).map(HeaderValue::as_bytes)
            }

            fn values(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
                for value in self.0.headers.get_all(name) {
                    each(value.as_bytes());
                }
            }

            fn set(&mut self, name: &HeaderName, value: HeaderValue) {
                // It fails only on values that are none, or beyond 32,768 fields.
                let _ = self.0.insert_header(name, value);
            }

            fn append(&mut self, name: &HeaderName, value: HeaderValue) {
                // As above.
                let _ = self.0.append_header(name, value);
            }

            fn remove(&mut self, name: &HeaderName) {
                self.0.remove_header(name);
            }
        }
    };
}

fields!(RequestFields);
fields!(ResponseFields);
