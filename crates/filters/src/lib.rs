//! What to change in a request or a response.
