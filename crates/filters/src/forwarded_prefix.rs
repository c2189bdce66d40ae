//! `X-Forwarded-Prefix`: what was taken away from the front of a path.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::list::elements;

pub(crate) const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Says what was stripped, after what a proxy in front has stripped: Spring's
/// applications build links from it.
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

/// Says it of a path that was rewritten, where what is left was the path's end.
pub(crate) fn tell_of(headers: &mut HeaderMap, before: &str, after: &str) {
    let (before, after) = (before.trim_end_matches('/'), after.trim_end_matches('/'));
    if let Some(stripped) = before.strip_suffix(after) {
        tell(headers, stripped);
    }
}
