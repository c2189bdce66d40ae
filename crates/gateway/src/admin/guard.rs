//! Who may ask the admin interface from a browser.
//!
//! A page of any web site can make a browser on this machine send requests to loopback. If the site lets a name of its own
//! resolve to 127.0.0.1, the page can also read the answers (DNS rebinding). Such a request has that name in `Host`, or the
//! site in `Origin`. A page cannot choose either header, so both are believed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem;

/// Which names the interface answers to.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Whether it listens on loopback alone.
    is_loopback: bool,
    /// `admin.hosts`, in lower case.
    hosts: Vec<String>,
}

impl Guard {
    /// The guard of a listener at `address`, which has these names beside the usual ones.
    pub(crate) fn new(address: Option<SocketAddr>, hosts: &[String]) -> Guard {
        Guard {
            is_loopback: address.is_some_and(|address| address.ip().is_loopback()),
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether a request may be answered, and if not, why.
    fn judge(&self, headers: &HeaderMap, target: Option<&Authority>) -> Result<(), Refusal> {
        let target = target.map(Authority::as_str);
        let mut named = target.map(str::to_owned);
        for host in headers.get_all(header::HOST) {
            let host = host.to_str().unwrap_or_default();
            if !self.answers_to(host) {
                return Err(Refusal::Host(host.to_owned()));
            }
            named.get_or_insert_with(|| host.to_owned());
        }
        if let Some(target) = target
            && !self.answers_to(target)
        {
            return Err(Refusal::Host(target.to_owned()));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let site = origin.split_once("://").map(|(_, site)| site);
            let is_own = site.is_some_and(|site| {
                named
                    .as_ref()
                    .is_some_and(|named| named.eq_ignore_ascii_case(site))
            });
            if !is_own {
                return Err(Refusal::Origin(origin.to_owned()));
            }
        }
        Ok(())
    }

    fn answers_to(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority.host().to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        if self.hosts.iter().any(|host| host == name) || is_loopback_name(name) {
            return true;
        }
        // On other addresses than loopback only the operator knows the names, and an address is never rebound.
        !self.is_loopback && (self.hosts.is_empty() || ip(name).is_some())
    }
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || ip(name).is_some_and(|ip| ip.is_loopback())
}

fn ip(name: &str) -> Option<IpAddr> {
    let name = name.strip_prefix('[').unwrap_or(name);
    name.strip_suffix(']').unwrap_or(name).parse().ok()
}

#[derive(Debug, PartialEq)]
enum Refusal {
    Host(String),
    Origin(String),
}

impl Refusal {
    fn answer(&self) -> Response {
        match self {
            Refusal::Host(host) => {
                let detail = format!(
                    "the admin interface does not answer to the host {host:?}; add it to admin.hosts if it should"
                );
                problem(StatusCode::MISDIRECTED_REQUEST, detail)
            }
            Refusal::Origin(origin) => {
                let detail = format!("the admin interface does not answer pages of {origin:?}");
                problem(StatusCode::FORBIDDEN, detail)
            }
        }
    }
}

/// Answers what the guard refuses, and lets the rest through.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.judge(request.headers(), request.uri().authority()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.answer(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(address: &str, hosts: &[&str], host: Option<&str>, origin: Option<&str>) -> u16 {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let guard = Guard::new(Some(address.parse().expect("an address")), &hosts);
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a value"));
            }
        }
        match guard.judge(&headers, None) {
            Ok(()) => 200,
            Err(refusal) => refusal.answer().status().as_u16(),
        }
    }

    #[test]
    fn loopback_answers_to_its_own_names_alone() {
        const LOOPBACK: &str = "127.0.0.1:9901";
        for (host, status) in [
            ("127.0.0.1:9901", 200),
            ("localhost:9901", 200),
            ("LOCALHOST", 200),
            ("localhost.:9901", 200),
            ("pailou.localhost:9901", 200),
            ("127.8.0.1", 200),
            ("[::1]:9901", 200),
            ("gateway.internal", 200),
            ("Gateway.Internal:9901", 200),
            ("evil.example", 421),
            ("evil.example:9901", 421),
            ("10.0.0.1:9901", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("gateway.internal.evil.example", 421),
            ("", 421),
            ("a b", 421),
        ] {
            let judged = judged(LOOPBACK, &["gateway.internal"], Some(host), None);
            assert_eq!(judged, status, "{host}");
        }
        // Every browser sends this header.
        assert_eq!(judged(LOOPBACK, &[], None, None), 200);
    }

    #[test]
    fn elsewhere_the_names_are_the_operators() {
        const ALL: &str = "0.0.0.0:9901";
        assert_eq!(judged(ALL, &[], Some("gateway.internal"), None), 200);
        for (host, status) in [
            ("gateway.internal", 200),
            ("10.0.0.1:9901", 200),
            ("localhost", 200),
            ("evil.example", 421),
        ] {
            let judged = judged(ALL, &["gateway.internal"], Some(host), None);
            assert_eq!(judged, status, "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        for address in ["127.0.0.1:9901", "0.0.0.0:9901"] {
            for (origin, status) in [
                (None, 200),
                (Some("http://localhost:9901"), 200),
                (Some("http://LOCALHOST:9901"), 200),
                (Some("http://localhost:3000"), 403),
                (Some("https://evil.example"), 403),
                (Some("null"), 403),
                (Some(""), 403),
            ] {
                let judged = judged(address, &[], Some("localhost:9901"), origin);
                assert_eq!(judged, status, "{address} {origin:?}");
            }
        }
    }
}
