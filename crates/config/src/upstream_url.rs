//! URLs that routes send requests to: scheme, host and port.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

const NO_PORT: &str = "no port from 1 to 65535";

/// Where requests go by a URL instead of by a service: `http://host:port` or `https://host:port`.
///
/// Its text is canonical: the host in lower case, the port always there.
///
/// ```
/// use pailou_config::UpstreamUrl;
///
/// let url = UpstreamUrl::parse("https://API.example.com").expect("a URL");
/// assert_eq!(url.to_string(), "https://api.example.com:443");
/// assert!(UpstreamUrl::parse("http://api.example.com/v1").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    /// Whether TLS is spoken there.
    pub is_https: bool,
    /// A host name in lower case, or an IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl UpstreamUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<UpstreamUrl, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("no URL")?;
        let (is_https, default) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err("another scheme than http and https"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("a path or a query has no place here");
        }
        if authority.contains('@') {
            return Err("a user has no place here");
        }
        let (host, port) = split(authority)?;
        let port = match port {
            None => default,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(NO_PORT)?,
        };
        Ok(UpstreamUrl {
            is_https,
            host,
            port,
        })
    }

    /// The host as an address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        let (host, port) = (&self.host, self.port);
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// Host and port of an authority.
fn split(authority: &str) -> Result<(String, Option<&str>), &'static str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("no IPv6 address")?;
        let host: Ipv6Addr = host.parse().map_err(|_| "no IPv6 address")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host.to_string(), Some(port))),
            None if rest.is_empty() => Ok((host.to_string(), None)),
            None => Err(NO_PORT),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = host.to_ascii_lowercase();
    let is_host = host.parse::<IpAddr>().is_ok() || is_host_name(&host);
    match is_host {
        true => Ok((host, port)),
        false => Err("neither a host name nor an IP address"),
    }
}

/// Whether a text can be a host name (labels of letters, digits, `-` and `_`).
pub fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // A last label of digits alone is a mistyped address, which some resolvers read as one (`10.1`).
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_scheme_host_and_port() {
        for (text, expected) in [
            ("http://a", "http://a:80"),
            ("https://A.b.", "https://a.b.:443"),
            ("HTTP://10.0.0.1:8080/", "http://10.0.0.1:8080"),
            ("http://[2001:DB8::1]:81", "http://[2001:db8::1]:81"),
            ("https://[::1]", "https://[::1]:443"),
            ("http://user_service:9", "http://user_service:9"),
        ] {
            let url = UpstreamUrl::parse(text);
            let url = url.unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(url.to_string(), expected);
            assert_eq!(UpstreamUrl::parse(expected), Ok(url));
        }
        for (text, problem) in [
            ("", "no URL"),
            ("orders", "no URL"),
            ("orders:80", "no URL"),
            ("ftp://a", "another scheme"),
            ("lb://orders", "another scheme"),
            ("http://", "neither a host name"),
            ("http:///a", "a path"),
            ("http://a/b", "a path"),
            ("http://a?b", "a path"),
            ("http://u:p@a", "a user"),
            ("http://a:0", "no port from 1"),
            ("http://a:", "no port"),
            ("http://a:65536", "no port from 1 to 65535"),
            ("http://10.1", "neither a host name"),
            ("http://a b", "neither a host name"),
            ("http://[::1", "no IPv6"),
            ("http://[10.0.0.1]", "no IPv6"),
            ("http://[::1]8", "no port"),
        ] {
            let found = UpstreamUrl::parse(text).err().unwrap_or("nothing");
            assert!(found.starts_with(problem), "{text}: {found}");
        }
    }

    #[test]
    fn mistyped_addresses_are_not_host_names() {
        for good in [
            "a",
            "a-b.svc.cluster.local",
            "user_service",
            "n1.example.",
            "1a",
        ] {
            assert!(is_host_name(good), "{good}");
        }
        let long = format!("{}.local", "a".repeat(64));
        for bad in [
            "",
            ".",
            "a..b",
            "10.1",
            "10.0.0.256",
            "a b",
            "fe80::1%eth0",
            "a/b",
            &long,
        ] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
