//! Refuses requests by the client's address.

use std::net::IpAddr;

use ipnet::IpNet;
use pailou_config::{Field, parse_network};

use crate::{Edit, Next, Refusal, RequestHead, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::edit(
    "ip_filter",
    "{ allow: [10.0.0.0/8, '2001:db8::/32'], deny: [10.9.0.0/16, 10.0.0.7] }",
    "Refuses clients whose address is in one of the networks of `deny`, or in none of `allow`, if that is given, as 403. `deny` wins.",
    compile,
);

/// The client is who a trusted proxy says it is (`forwarded.trusted_proxies`), or
/// else the peer of the connection. An IPv4 address in IPv6 form (`::ffff:10.0.0.7`) is
/// the IPv4 address.
///
/// Cost: a comparison for each network.
#[derive(Debug)]
struct IpFilter {
    /// The networks that may pass; all if the list is empty.
    allow: Option<Vec<IpNet>>,
    deny: Vec<IpNet>,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let mut fields = field.mapping()?;
    let allow = fields.optional("allow").map(|field| networks(&field));
    let deny = fields.optional("deny").map(|field| networks(&field));
    fields.finish();
    if allow.is_none() && deny.is_none() {
        field.fault_expected("nobody is refused", "`allow`, `deny`, or both");
        return None;
    }
    let allow = match allow {
        Some(allow) => Some(allow?),
        None => None,
    };
    let deny = deny.unwrap_or_else(|| Some(Vec::new()))?;
    Some(Box::new(IpFilter { allow, deny }))
}

/// A list of at least one network.
fn networks(field: &Field<'_>) -> Option<Vec<IpNet>> {
    const EXPECTED: &str = "a network such as `10.0.0.0/8`, or one IP address";
    let networks = field.each(|item| {
        parse_network(&item.string()?)
            .map_err(|problem| item.fault_expected(problem, EXPECTED))
            .ok()
    })?;
    if networks.is_empty() {
        field.fault_expected("an empty list", EXPECTED);
        return None;
    }
    Some(networks)
}

impl IpFilter {
    fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !is_in(&self.deny) && self.allow.as_deref().is_none_or(is_in)
    }
}

impl Edit for IpFilter {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        match self.allows(head.facts.client) {
            true => Next::Continue,
            false => Next::Refuse(Refusal::Address),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::Facts;
    use crate::registry::tests::{compiled, request_head};

    #[test]
    fn an_address_is_refused_by_deny_or_for_lack_of_allow() {
        const BOTH: &str =
            "{ allow: [10.0.0.0/8, '2001:db8::/32'], deny: [10.9.0.0/16, 10.0.0.7] }";
        for (args, client, is_allowed) in [
            (BOTH, "10.1.2.3", true),
            (BOTH, "10.9.2.3", false),
            (BOTH, "10.0.0.7", false),
            (BOTH, "11.0.0.1", false),
            (BOTH, "::ffff:10.1.2.3", true),
            (BOTH, "::ffff:10.9.2.3", false),
            (BOTH, "2001:db8::1", true),
            (BOTH, "2001:db9::1", false),
            (BOTH, "::10.1.2.3", false),
            ("{ deny: 10.0.0.0/8 }", "10.0.0.1", false),
            ("{ deny: 10.0.0.0/8 }", "192.0.2.1", true),
            ("{ allow: 10.0.0.1 }", "10.0.0.1", true),
            ("{ allow: 10.0.0.1 }", "10.0.0.2", false),
            ("{ allow: 0.0.0.0/0 }", "::1", false),
        ] {
            let edit = compiled("ip_filter", args).expect(args);
            let facts = Facts {
                client: client.parse().expect("an address"),
                ..Facts::default()
            };
            let mut headers = HeaderMap::new();
            // The filter ignores what a client says of itself.
            headers.insert("x-forwarded-for", "10.1.2.3".parse().expect("a value"));
            let mut head = RequestHead {
                facts: &facts,
                ..request_head("/", &mut headers)
            };
            let next = edit.request(&mut head);
            match is_allowed {
                true => assert!(matches!(next, Next::Continue), "{args} {client}"),
                false => assert!(
                    matches!(next, Next::Refuse(Refusal::Address)),
                    "{args} {client}: {next:?}"
                ),
            }
        }
    }

    #[test]
    fn what_is_no_list_of_networks_is_refused() {
        for (args, problem) in [
            ("{}", "nobody is refused"),
            ("{ allow: [] }", "an empty list"),
            ("{ deny: [] }", "an empty list"),
            ("{ allow: office }", "`office`"),
            ("{ deny: [10.0.0.0/33] }", "`10.0.0.0/33`"),
            ("{ allow: [10.0.0.1], default: deny }", "unknown key"),
            ("10.0.0.1", "a mapping"),
        ] {
            let error = compiled("ip_filter", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
