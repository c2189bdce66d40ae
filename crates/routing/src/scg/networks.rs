//! Addresses and networks, as Netty's subnet rules read them.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use pailou_config::ScgArg;

/// Networks, one of which an address has to be in.
#[derive(Debug)]
pub(super) struct Networks(Box<[IpNet]>);

impl Networks {
    /// Reads `10.0.0.0/8`, `192.168.1.7`, `2001:db8::/32`; what is wrong is reported.
    pub(super) fn read(given: &[ScgArg<'_>]) -> Option<Networks> {
        let networks: Vec<IpNet> = given.iter().filter_map(network).collect();
        (networks.len() == given.len()).then(|| Networks(networks.into()))
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_list(f, &self.0)
    }
}

fn network(arg: &ScgArg<'_>) -> Option<IpNet> {
    let text = arg.text();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    // The one name that means the same everywhere.
    let parsed = if address == "localhost" {
        Ok(IpAddr::from([127, 0, 0, 1]))
    } else {
        address.parse::<IpAddr>()
    };
    let Ok(address) = parsed else {
        arg.fault_expected(
            format!(
                "{} is not an address; names are not looked up here",
                arg.quoted()
            ),
            "an address such as `192.168.1.7`, or a network such as `10.0.0.0/8`",
        );
        return None;
    };
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= whole),
        None => {
            if address.is_ipv6() {
                arg.warn(format!(
                    "{} is this address alone; in Spring it is the network `{address}/32`",
                    arg.quoted()
                ));
            }
            Some(whole)
        }
    };
    let network = prefix.and_then(|prefix| IpNet::new(address, prefix).ok());
    if network.is_none() {
        arg.fault_expected(
            format!("{} is not a network", arg.quoted()),
            format!("a prefix from 0 to {whole}"),
        );
    }
    network.map(|network| network.trunc())
}
