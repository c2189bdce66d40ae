//! Header fields that are lists.

use http::{HeaderMap, HeaderName};

/// The elements of a list, in however many lines it comes (RFC 9110 section 5.3). Empty ones are left out.
///
/// Code that reads only the first line of such a field sees another value than the next server.
pub fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}
