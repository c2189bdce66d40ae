//! Which addresses the gateway would use, for tools that say why it does not.

use std::net::SocketAddr;

use pailou_config::Settings;

use crate::admission::Admission;
use crate::wiring;

/// The rules of `discovery.allow_addresses`, of `discovery.allow_loopback`, and those that always hold.
///
/// ```
/// use pailou_config::{Environment, load_settings};
///
/// let settings = load_settings(None, &Environment::default()).expect("defaults").settings;
/// let rules = pailou_discovery::AddressRules::new(&settings);
/// assert_eq!(rules.refusal("10.0.0.7:8080".parse().expect("an address")), None);
/// assert_eq!(rules.refusal("169.254.169.254:80".parse().expect("an address")), Some("link-local address"));
/// ```
#[derive(Debug)]
pub struct AddressRules(Admission);

impl AddressRules {
    /// The rules of a gateway with these settings, but for its own listeners, which are not known here.
    pub fn new(settings: &Settings) -> AddressRules {
        AddressRules(wiring::admission(settings, &[]))
    }

    /// Why an address is never an endpoint; `None` if it may be one.
    pub fn refusal(&self, address: SocketAddr) -> Option<&'static str> {
        self.0.admit(address).err().map(|denied| denied.reason())
    }
}
