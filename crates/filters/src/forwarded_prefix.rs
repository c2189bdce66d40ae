//! `X-Forwarded-Prefix`: what was removed from the front of a path.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::list::elements;

pub(crate) const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Adds what was stripped, after what a proxy in front has stripped. Spring
/// applications build links from this header.
pub(crate) fn tell(headers: &mut HeaderMap, stripped: &str) {
    let stripped = stripped.trim_end_matches('/');
    if stripped.is_empty() {
        return;
    }
    let mut prefixes: Vec<&[u8]> = elements(headers, &PREFIX).collect();
    prefixes.push(stripped.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&prefixes.join(&b',')) {
        headers.insert(PREFIX, value);
    }
}

/// The same for a rewritten path, if the new path is the end of the old one.
pub(crate) fn tell_of(headers: &mut HeaderMap, before: &str, after: &str) {
    let (before, after) = (before.trim_end_matches('/'), after.trim_end_matches('/'));
    if let Some(stripped) = before.strip_suffix(after) {
        tell(headers, stripped);
    }
}
