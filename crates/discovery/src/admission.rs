//! Which addresses Nacos may send traffic to.
//!
//! Anyone who may register an instance chooses an address that this gateway connects to. Addresses that
//! no service can have (unspecified, multicast, broadcast, port 0), that reach the host or its cloud's
//! metadata service (link-local, loopback) or that reach the gateway itself are refused, before and
//! after name resolution alike. What is refused is reported, never dropped in silence.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

/// How long it is remembered which addresses are this host's: interfaces come and go.
const HOSTS_AGE: Duration = Duration::from_secs(60);

/// Metadata services that have no link-local address: Alibaba Cloud's, and the IPv6 one of EC2.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Why an address is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Denied {
    PortZero,
    Unspecified,
    LinkLocal,
    Metadata,
    Multicast,
    Broadcast,
    Loopback,
    OwnListener,
    NotAllowed,
}

impl Denied {
    /// The reason as shown in logs and in the service view.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Denied::PortZero => "port 0",
            Denied::Unspecified => "unspecified address",
            Denied::LinkLocal => "link-local address",
            Denied::Metadata => "metadata service of a cloud",
            Denied::Multicast => "multicast address",
            Denied::Broadcast => "broadcast address",
            Denied::Loopback => "loopback address, not allowed by discovery.allow_loopback",
            Denied::OwnListener => "a listener of this gateway",
            Denied::NotAllowed => "outside discovery.allow_addresses",
        }
    }
}

/// The rules, fixed at start.
#[derive(Debug)]
pub(crate) struct Admission {
    allowed: Vec<IpNet>,
    allow_loopback: bool,
    own: Vec<SocketAddr>,
    hosts: Mutex<Hosts>,
}

/// Which addresses were found to belong to this host, or not: asking costs a system call, and a push may
/// name thousands of them at our port.
#[derive(Debug)]
struct Hosts {
    is_local: HashMap<IpAddr, bool>,
    since: Instant,
}

impl Admission {
    /// Rules that admit the `allowed` networks (none listed: everything that is not always denied),
    /// loopback or not, and never the gateway's `own` addresses.
    pub(crate) fn new(
        allowed: Vec<IpNet>,
        allow_loopback: bool,
        own: Vec<SocketAddr>,
    ) -> Admission {
        Admission {
            allowed,
            allow_loopback,
            own,
            hosts: Mutex::new(Hosts {
                is_local: HashMap::new(),
                since: Instant::now(),
            }),
        }
    }

    /// The address to connect to, in its plain form (an IPv4 address mapped into IPv6 is IPv4).
    ///
    /// # Errors
    /// Why the address is refused.
    pub(crate) fn admit(&self, address: SocketAddr) -> Result<SocketAddr, Denied> {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        self.always_denied(address)?;
        let ip = address.ip();
        if !self.allowed.is_empty() && !self.allowed.iter().any(|net| net.contains(&ip)) {
            return Err(Denied::NotAllowed);
        }
        if self.is_own(address) {
            return Err(Denied::OwnListener);
        }
        Ok(address)
    }

    /// The other port of an admitted address, if that may be spoken to: the gateway itself may listen there.
    pub(crate) fn admit_port(&self, address: SocketAddr, port: Option<u16>) -> Option<u16> {
        port.filter(|port| self.admit(SocketAddr::new(address.ip(), *port)).is_ok())
    }

    fn always_denied(&self, address: SocketAddr) -> Result<(), Denied> {
        let ip = address.ip();
        if address.port() == 0 {
            return Err(Denied::PortZero);
        }
        if ip.is_multicast() {
            return Err(Denied::Multicast);
        }
        if ip.is_loopback() && !self.allow_loopback {
            return Err(Denied::Loopback);
        }
        if METADATA.contains(&ip) {
            return Err(Denied::Metadata);
        }
        match ip {
            // All of 0.0.0.0/8 means "this host" to somebody.
            IpAddr::V4(ip) if ip.octets()[0] == 0 => Err(Denied::Unspecified),
            IpAddr::V4(ip) if ip == Ipv4Addr::BROADCAST => Err(Denied::Broadcast),
            IpAddr::V4(ip) if ip.is_link_local() => Err(Denied::LinkLocal),
            IpAddr::V6(ip) if ip.is_unspecified() => Err(Denied::Unspecified),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Err(Denied::LinkLocal),
            IpAddr::V6(ip) => match embedded(ip) {
                Some(inner) => self.always_denied(SocketAddr::new(inner.into(), address.port())),
                None => Ok(()),
            },
            IpAddr::V4(_) => Ok(()),
        }
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        self.own.iter().any(|own| {
            let bound = own.ip().to_canonical();
            own.port() == address.port()
                && (bound == address.ip()
                    || (bound.is_unspecified() && self.is_local(address.ip())))
        })
    }

    /// Whether an address belongs to this host: only then can a socket be bound to it.
    fn is_local(&self, ip: IpAddr) -> bool {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.since.elapsed() > HOSTS_AGE {
            hosts.is_local.clear();
            hosts.since = Instant::now();
        }
        *hosts
            .is_local
            .entry(ip)
            .or_insert_with(|| ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok())
    }
}

/// The IPv4 address that a translator or a tunnel on the way would connect to instead: NAT64 (RFC 6052), 6to4 (RFC 3056), and the
/// IPv4-compatible form that came before both.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let plain = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => {
            Some(plain(high, low))
        }
        [0x2002, high, low, ..] => Some(plain(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Admission {
        Admission::new(Vec::new(), true, Vec::new())
    }

    fn admit(rules: &Admission, address: &str) -> Result<String, Denied> {
        let address = address.parse().expect("a test address");
        rules.admit(address).map(|address| address.to_string())
    }

    #[test]
    fn addresses_that_no_service_can_have_are_refused() {
        let cases = [
            ("10.0.0.1:80", Ok("10.0.0.1:80")),
            ("[2001:db8::1]:80", Ok("[2001:db8::1]:80")),
            ("[::ffff:10.0.0.1]:80", Ok("10.0.0.1:80")),
            ("127.0.0.1:80", Ok("127.0.0.1:80")),
            ("10.0.0.1:0", Err(Denied::PortZero)),
            ("0.0.0.0:80", Err(Denied::Unspecified)),
            ("0.1.2.3:80", Err(Denied::Unspecified)),
            ("[::]:80", Err(Denied::Unspecified)),
            ("[::ffff:0.0.0.0]:80", Err(Denied::Unspecified)),
            ("169.254.169.254:80", Err(Denied::LinkLocal)),
            ("[::ffff:169.254.169.254]:80", Err(Denied::LinkLocal)),
            ("[fe80::1]:80", Err(Denied::LinkLocal)),
            ("224.0.0.1:80", Err(Denied::Multicast)),
            ("[ff02::1]:80", Err(Denied::Multicast)),
            ("[::ffff:239.1.1.1]:80", Err(Denied::Multicast)),
            ("255.255.255.255:80", Err(Denied::Broadcast)),
            ("100.100.100.200:80", Err(Denied::Metadata)),
            ("100.100.100.201:80", Ok("100.100.100.201:80")),
            ("[fd00:ec2::254]:80", Err(Denied::Metadata)),
            ("[fd00:ec2::1]:80", Ok("[fd00:ec2::1]:80")),
            ("[64:ff9b::a9fe:a9fe]:80", Err(Denied::LinkLocal)),
            ("[64:ff9b::a00:1]:80", Ok("[64:ff9b::a00:1]:80")),
            ("[2002:a9fe:a9fe::1]:80", Err(Denied::LinkLocal)),
            ("[::169.254.169.254]:80", Err(Denied::LinkLocal)),
            ("[64:ff9b::6464:64c8]:80", Err(Denied::Metadata)),
            ("[::1]:80", Ok("[::1]:80")),
        ];
        for (address, expected) in cases {
            let expected = expected.map(str::to_owned);
            assert_eq!(admit(&rules(), address), expected, "{address}");
        }
    }

    #[test]
    fn loopback_is_refused_where_it_is_not_allowed() {
        let rules = Admission::new(Vec::new(), false, Vec::new());
        for address in [
            "127.0.0.1:80",
            "127.8.8.8:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(admit(&rules, address), Err(Denied::Loopback), "{address}");
        }
        assert!(admit(&rules, "10.0.0.1:80").is_ok());
    }

    #[test]
    fn only_listed_networks_are_allowed_when_some_are_listed() {
        let allowed = |network: &str| {
            let network = network.parse().expect("a network");
            Admission::new(vec![network], true, Vec::new())
        };
        let rules = allowed("10.0.0.0/8");
        assert!(admit(&rules, "10.1.2.3:80").is_ok());
        assert!(admit(&rules, "[::ffff:10.1.2.3]:80").is_ok());
        assert_eq!(admit(&rules, "192.168.0.1:80"), Err(Denied::NotAllowed));
        // A list never allows what is always denied.
        let all = allowed("0.0.0.0/0");
        assert_eq!(admit(&all, "169.254.0.1:80"), Err(Denied::LinkLocal));
    }

    #[test]
    fn our_own_listeners_are_never_endpoints() {
        let own = ["0.0.0.0:8080", "10.0.0.9:9000"].map(|own| own.parse().expect("an address"));
        let rules = Admission::new(Vec::new(), true, own.to_vec());
        assert_eq!(admit(&rules, "127.0.0.1:8080"), Err(Denied::OwnListener));
        assert_eq!(admit(&rules, "10.0.0.9:9000"), Err(Denied::OwnListener));
        assert!(admit(&rules, "10.0.0.8:9000").is_ok());
        assert!(admit(&rules, "127.0.0.1:8081").is_ok());
        // TEST-NET-1: an address that this host does not have.
        assert!(admit(&rules, "192.0.2.1:8080").is_ok());
        let instance = "10.0.0.9:80".parse().expect("an address");
        for (port, admitted) in [(None, None), (Some(9000), None), (Some(9001), Some(9001))] {
            assert_eq!(rules.admit_port(instance, port), admitted);
        }
    }
}
