//! Which certificate a client gets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::Certified;
use super::names::parent;

/// The certificates of one listener, by the hosts that they are for.
#[derive(Debug)]
pub(crate) struct Choice {
    exact: HashMap<Box<str>, Arc<Certified>>,
    /// By the name behind `*.`.
    wildcards: HashMap<Box<str>, Arc<Certified>>,
    /// For clients that name no host, or one that none is for.
    first: Arc<Certified>,
}

impl Choice {
    /// Of two certificates for one name the first stays. `None` without any.
    pub(super) fn new(certificates: &[Arc<Certified>]) -> Option<Choice> {
        let mut choice = Choice {
            exact: HashMap::new(),
            wildcards: HashMap::new(),
            first: certificates.first()?.clone(),
        };
        for certified in certificates {
            for name in certified.names.exact() {
                let entry = choice.exact.entry(name.into());
                entry.or_insert_with(|| certified.clone());
            }
            for name in certified.names.wildcards() {
                let entry = choice.wildcards.entry(name.into());
                entry.or_insert_with(|| certified.clone());
            }
        }
        Some(choice)
    }

    /// The certificate for the host that a client names.
    pub(crate) fn find(&self, host: Option<&str>) -> &Arc<Certified> {
        let Some(host) = host else {
            return &self.first;
        };
        let host = match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(host.to_ascii_lowercase()),
            false => Cow::Borrowed(host),
        };
        self.exact
            .get(&*host)
            .or_else(|| self.wildcards.get(parent(&host)?))
            .unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()).key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Folder;
    use super::*;

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_the_first_for_all_others() {
        let folder = Folder::new();
        let certified = |names: &[&str]| Arc::new(folder.certified(names));
        let choice = Choice::new(&[
            certified(&["one.example"]),
            certified(&["*.example"]),
            certified(&["two.example", "one.example"]),
        ])
        .expect("three certificates");
        for (host, expected) in [
            (Some("one.example"), "one.example"),
            (Some("TWO.example"), "two.example"),
            (Some("three.example"), "any.example"),
            (Some("a.b.example"), "one.example"),
            (Some("elsewhere"), "one.example"),
            (None, "one.example"),
        ] {
            let names = &choice.find(host).names;
            assert!(names.cover(expected), "{host:?}: {names:?}");
            let is_second = host.is_some_and(|host| host.starts_with("TWO"));
            assert_eq!(
                names.cover("two.example"),
                is_second || expected == "any.example"
            );
        }
        assert!(Choice::new(&[]).is_none());
    }
}
