//! What to change in a request or a response.

mod edit;
mod headers;

pub use edit::{Chain, Edit, RequestHead, ResponseHead};
pub use headers::Headers;
