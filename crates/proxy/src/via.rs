//! `Via`: the mark by which a request that comes back is found.
//!
//! RFC 9110 section 7.6.3. Each process has a name of its own, so that several
//! gateways in a row are no loop. Without it two gateways that front each other
//! pass one request on until a limit of connections ends it.

use http::{HeaderMap, HeaderValue, Version, header};
use pailou_filters::elements;

/// The mark of this process.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    name: String,
    /// By the version that a request came in: 1.0, 1.1, 2.
    values: [HeaderValue; 3],
}

/// The request has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loop;

impl Via {
    /// A mark that no other process has.
    pub(crate) fn new() -> Via {
        let name = format!("pailou-{:08x}", fastrand::u32(..));
        let value = |version: &str| {
            HeaderValue::try_from(format!("{version} {name}")).expect("letters, digits and `-`")
        };
        Via {
            values: [value("1.0"), value("1.1"), value("2.0")],
            name,
        }
    }

    /// Marks a request.
    pub(crate) fn mark(&self, headers: &mut HeaderMap, version: Version) -> Result<(), Loop> {
        if elements(headers, &header::VIA).any(|hop| self.is_own(hop)) {
            return Err(Loop);
        }
        let [http_10, http_11, http_2] = &self.values;
        let value = match version {
            Version::HTTP_10 => http_10,
            Version::HTTP_2 => http_2,
            _ => http_11,
        };
        headers.append(header::VIA, value.clone());
        Ok(())
    }

    /// `1.1 name`, with or without a protocol and a comment.
    fn is_own(&self, hop: &[u8]) -> bool {
        let mut words = hop.split(|byte| byte.is_ascii_whitespace());
        let mut words = words.by_ref().filter(|word| !word.is_empty());
        words.nth(1) == Some(self.name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_passes_once() {
        let (one, other) = (Via::new(), Via::new());
        let mut headers = HeaderMap::new();
        headers.append(
            header::VIA,
            HeaderValue::from_static("HTTP/1.1 cdn (x), 1.0 b"),
        );
        assert_eq!(one.mark(&mut headers, Version::HTTP_11), Ok(()));
        assert_eq!(other.mark(&mut headers, Version::HTTP_2), Ok(()));
        assert_eq!(one.mark(&mut headers, Version::HTTP_11), Err(Loop));
        // Joined into one line, as another proxy may do.
        let lines: Vec<&[u8]> = headers
            .get_all(header::VIA)
            .iter()
            .map(|line| line.as_bytes())
            .collect();
        let joined = HeaderValue::from_bytes(&lines.join(&b", "[..])).expect("a value");
        headers.insert(header::VIA, joined);
        assert_eq!(other.mark(&mut headers, Version::HTTP_10), Err(Loop));
        assert_eq!(Via::new().mark(&mut headers, Version::HTTP_10), Ok(()));
    }
}
