//! `host`: the host that the request names, exact or by suffix.

use std::fmt;

use pailou_config::Field;

use super::{Entry, Place, Predicate};
use crate::{Host, Request};

pub(crate) const ENTRY: Entry = Entry {
    name: "host",
    arguments: "*.example.com",
    summary: "The host is this one, or with `*.` in front, any name below it.",
    compile,
};

/// A host to match, without port and case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// `*.suffix`: one label or more in front of the suffix, and not the suffix
    /// alone.
    Wildcard(Box<str>),
}

impl HostPattern {
    /// Whether it matches a host in the form of [`Host::name`].
    pub fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => **name == *host,
            HostPattern::Wildcard(suffix) => host
                .strip_suffix(&**suffix)
                .is_some_and(|front| front.ends_with('.')),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl Predicate for HostPattern {
    fn matches(&self, request: &Request<'_>) -> bool {
        request.host.is_some_and(|host| self.matches(host))
    }

    fn place(&self) -> Place<'_> {
        Place::Host(self)
    }
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Predicate>> {
    const FORMS: &str = "a host such as `example.com`, or `*.example.com` for all below it";
    let text = field.string()?;
    let (name, is_wildcard) = match text.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (text.as_str(), false),
    };
    if name.contains('*') {
        field.fault_expected("`*` has a meaning only as the first label", FORMS);
        return None;
    }
    if !name.is_ascii() {
        field.fault_expected(
            "a host is written in ASCII",
            "the punycode form, such as `xn--bcher-kva.example`",
        );
        return None;
    }
    let Ok(host) = Host::parse(name.as_bytes()) else {
        field.fault_expected("not a host", FORMS);
        return None;
    };
    if host.port().is_some() || name.ends_with(':') {
        field.fault_expected("hosts are matched without their port", FORMS);
        return None;
    }
    if is_wildcard && host.name().starts_with('[') {
        field.fault_expected("there is nothing below an address", FORMS);
        return None;
    }
    let name = host.name().into();
    Some(Box::new(if is_wildcard {
        HostPattern::Wildcard(name)
    } else {
        HostPattern::Exact(name)
    }))
}

#[cfg(test)]
mod tests {
    use crate::predicate::tests::{compiled, holds};

    #[test]
    fn hosts_match_without_case_port_and_trailing_dot() {
        for (pattern, host, expected) in [
            ("example.com", "example.com", true),
            ("Example.COM.", "EXAMPLE.com.:8080", true),
            ("example.com", "a.example.com", false),
            ("example.com", "", false),
            ("'*.example.com'", "a.example.com", true),
            ("'*.example.com'", "a.b.Example.com:80", true),
            ("'*.example.com'", "example.com", false),
            ("'*.example.com'", "notexample.com", false),
            ("'*.example.com'", "", false),
            ("'[::1]'", "[::1]:8080", true),
            ("127.0.0.1", "127.0.0.1:80", true),
        ] {
            let predicate = compiled("host", pattern).expect(pattern);
            assert_eq!(
                holds(&*predicate, &format!("GET {host}/"), &[]),
                expected,
                "{pattern} and {host}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for pattern in [
            "''",
            "'*'",
            "'*.'",
            "'**.example.com'",
            "a.*.com",
            "'*example.com'",
            "example.com:80",
            "'example.com:'",
            "a/b",
            "bücher.example",
            "'*.[::1]'",
            "http://example.com",
            "[a, b]",
        ] {
            compiled("host", pattern).expect_err(pattern);
        }
    }
}
