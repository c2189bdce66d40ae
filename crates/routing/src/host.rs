//! The host that a request names, in the form in which hosts are compared.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// RFC 1035 allows 253 characters for a name; 255 leaves room for a port-less
/// trailing dot and brackets.
const MAX_HOST_BYTES: usize = 255;

/// A host name or IP address with an optional port.
///
/// ```
/// use pailou_routing::Host;
///
/// let host = Host::parse(b"Shop.Example.com.:8080").expect("a legal host");
/// assert_eq!(host.name(), "shop.example.com");
/// assert_eq!(host.port(), Some(8080));
/// assert!(Host::parse(b"a/b").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    name: Cow<'a, str>,
    port: Option<u16>,
}

/// The value of a Host header, or an authority, is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host name or IP address with an optional port")]
pub struct HostError;

impl<'a> Host<'a> {
    /// Parses the value of a Host header or the authority of a URL.
    ///
    /// Legal are letters, digits, `-`, `.`, `_` and `~`, or an IPv6 address in
    /// brackets, then optionally `:` and a port. User information, lists,
    /// percent escapes and non-ASCII names (which belong in punycode) are
    /// refused. Allocates only when there are capital letters.
    ///
    /// # Errors
    /// [`HostError`] when it is anything else, empty or longer than 255 bytes.
    pub fn parse(raw: &'a [u8]) -> Result<Host<'a>, HostError> {
        let raw = std::str::from_utf8(raw).map_err(|_| HostError)?;
        let (name, port) = split_port(raw)?;
        let name = match name.strip_prefix('[') {
            Some(rest) => {
                rest.strip_suffix(']')
                    .and_then(|inner| inner.parse::<Ipv6Addr>().ok())
                    .ok_or(HostError)?;
                name
            }
            None => name.strip_suffix('.').unwrap_or(name),
        };
        if name.is_empty()
            || raw.len() > MAX_HOST_BYTES + ":65535".len()
            || name.len() > MAX_HOST_BYTES
        {
            return Err(HostError);
        }
        if !name.starts_with('[') && !is_registered_name(name) {
            return Err(HostError);
        }
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        Ok(Host { name, port })
    }

    /// The name in lower case, without port and trailing dot; an IPv6 address
    /// keeps its brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether two hosts are the same when a missing port means `default_port`.
    pub fn is_same(&self, other: &Host<'_>, default_port: u16) -> bool {
        self.name == other.name
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

fn split_port(raw: &str) -> Result<(&str, Option<u16>), HostError> {
    let bracket = match raw.starts_with('[') {
        true => raw.rfind(']'),
        false => None,
    };
    let colon = match bracket {
        Some(bracket) => {
            let rest = &raw[bracket + 1..];
            if !rest.is_empty() && !rest.starts_with(':') {
                return Err(HostError);
            }
            (!rest.is_empty()).then_some(bracket + 1)
        }
        None => raw.bytes().position(|byte| byte == b':'),
    };
    let Some(colon) = colon else {
        return Ok((raw, None));
    };
    let digits = &raw[colon + 1..];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostError);
    }
    // RFC 3986, 3.2.3: the port may be empty.
    let port = if digits.is_empty() {
        None
    } else {
        Some(digits.parse().map_err(|_| HostError)?)
    };
    Ok((&raw[..colon], port))
}

/// Labels of letters, digits, `-`, `_` and `~`; none is empty, since `a..b`
/// has no meaning and a wildcard would read it in its own way.
fn is_registered_name(name: &str) -> bool {
    let mut begins = true;
    for byte in name.bytes() {
        match byte {
            b'.' if begins => return false,
            b'.' => begins = true,
            b'-' | b'_' | b'~' => begins = false,
            _ if byte.is_ascii_alphanumeric() => begins = false,
            _ => return false,
        }
    }
    !begins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_folded_and_loses_port_and_trailing_dot() {
        let cases: &[(&str, &str, Option<u16>)] = &[
            ("example.com", "example.com", None),
            ("EXAMPLE.com", "example.com", None),
            ("example.com.", "example.com", None),
            ("example.com:80", "example.com", Some(80)),
            ("example.com.:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("localhost", "localhost", None),
            ("my_service", "my_service", None),
            ("127.0.0.1:9", "127.0.0.1", Some(9)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:8080", "[2001:db8::1]", Some(8080)),
        ];
        for (raw, name, port) in cases {
            let host = Host::parse(raw.as_bytes()).unwrap_or_else(|_| panic!("{raw} is refused"));
            assert_eq!((host.name(), host.port()), (*name, *port), "{raw}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        let long = "a".repeat(256);
        for raw in [
            "",
            ".",
            ":80",
            "a/b",
            "a, b",
            "a b",
            "user@host",
            "a..b",
            ".a",
            "a:b",
            "a:1:2",
            "a:65536",
            "a:+1",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "a%41",
            "bücher.de",
            "a\\b",
            "a?b",
            "a#b",
            "[]",
            &long,
        ] {
            assert_eq!(Host::parse(raw.as_bytes()), Err(HostError), "{raw}");
        }
        assert_eq!(Host::parse(b"a\xff"), Err(HostError));
        assert_eq!(Host::parse(b"a\0"), Err(HostError));
    }

    #[test]
    fn a_missing_port_is_the_default_one() {
        let parse = |raw: &'static str| Host::parse(raw.as_bytes()).expect("legal");
        assert!(parse("a.example").is_same(&parse("A.example:80"), 80));
        assert!(!parse("a.example").is_same(&parse("a.example:81"), 80));
        assert!(!parse("a.example").is_same(&parse("b.example"), 80));
    }
}
