//! What a certificate is for.

use std::collections::HashSet;
use std::net::IpAddr;

/// The names of a certificate (its subject alternative names; the common name
/// counts for nothing, RFC 9525 section 6.3).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    exact: HashSet<Box<str>>,
    /// Without their `*.`.
    wildcards: HashSet<Box<str>>,
    addresses: HashSet<IpAddr>,
}

impl Names {
    /// Adds a DNS name, which may begin with `*.`.
    pub(super) fn add(&mut self, name: &str) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcards.insert(parent.into()),
            None => self.exact.insert(name.into()),
        };
    }

    pub(super) fn add_address(&mut self, address: IpAddr) {
        self.addresses.insert(address.to_canonical());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty() && self.addresses.is_empty()
    }

    /// Whether the certificate is for this host, in lower case and without a
    /// port. An asterisk stands for one label (RFC 9525 section 6.3).
    pub(crate) fn cover(&self, host: &str) -> bool {
        self.exact.contains(host)
            || parent(host).is_some_and(|parent| self.wildcards.contains(parent))
            || self.covers_address(host)
    }

    fn covers_address(&self, host: &str) -> bool {
        if self.addresses.is_empty() {
            return false;
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>()
            .is_ok_and(|address| self.addresses.contains(&address.to_canonical()))
    }

    pub(super) fn exact(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(|name| &**name)
    }

    pub(super) fn wildcards(&self) -> impl Iterator<Item = &str> {
        self.wildcards.iter().map(|name| &**name)
    }

    /// As they stand in the certificate, in order.
    pub(super) fn list(&self) -> Vec<String> {
        let exact = self.exact().map(str::to_owned);
        let wildcards = self.wildcards().map(|name| format!("*.{name}"));
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        let mut names: Vec<String> = exact.chain(wildcards).chain(addresses).collect();
        names.sort();
        names
    }
}

/// `b.c` of `a.b.c`.
pub(super) fn parent(host: &str) -> Option<&str> {
    let (label, parent) = host.split_once('.')?;
    (!label.is_empty()).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let mut names = Names::default();
        names.add("Shop.Example");
        names.add("*.api.example");
        names.add_address("192.0.2.7".parse().expect("an address"));
        names.add_address("2001:db8::1".parse().expect("an address"));
        for (host, covered) in [
            ("shop.example", true),
            ("a.shop.example", false),
            ("a.api.example", true),
            ("api.example", false),
            ("a.b.api.example", false),
            (".api.example", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("[2001:db8::1]", true),
            ("[2001:db8::2]", false),
            ("", false),
        ] {
            assert_eq!(names.cover(host), covered, "{host}");
        }
        assert_eq!(
            names.list(),
            ["*.api.example", "192.0.2.7", "2001:db8::1", "shop.example"]
        );
    }
}
