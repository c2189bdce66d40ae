//! Where a listener that redirects sends a request.

use std::fmt::Write as _;

use http::HeaderValue;
use pailou_routing::{Host, Target};

use crate::cause::Cause;
use crate::forwarded::Scheme;

/// The URL of a request on https at this port.
pub(crate) fn location(
    host: &Host<'_>,
    port: u16,
    target: &Target<'_>,
) -> Result<HeaderValue, Cause> {
    let mut url = format!("https://{}", host.name());
    if port != Scheme::Https.port() {
        let _ = write!(url, ":{port}");
    }
    url.push_str(target.forwarded_path());
    if let Some(query) = target.query() {
        url.push('?');
        url.push_str(query);
    }
    HeaderValue::try_from(url)
        .map_err(|_| Cause::MalformedTarget("the target has a character that must be encoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_keeps_path_and_query_and_no_port_but_the_one_of_https() {
        for (host, port, target, expected) in [
            ("a.example", 443, "/", "https://a.example/"),
            ("A.example.:80", 443, "/b?c=d", "https://a.example/b?c=d"),
            ("a.example:80", 8443, "/b?", "https://a.example:8443/b?"),
            ("[::1]:80", 443, "/%20", "https://[::1]/%20"),
            // A path with two slashes would name another host.
            (
                "a.example",
                443,
                "//evil.example/b",
                "https://a.example/evil.example/b",
            ),
            (
                "a.example",
                443,
                "http://a.example/b",
                "https://a.example/b",
            ),
        ] {
            let host = Host::parse(host.as_bytes()).expect("a host");
            let target = Target::parse(target.as_bytes()).expect("a target");
            let location = location(&host, port, &target).expect("ASCII");
            assert_eq!(location, expected);
        }
    }
}
