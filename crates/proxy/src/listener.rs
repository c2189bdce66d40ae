//! A listener as it runs: what comes before the first request of its
//! connections, and what is done with the requests.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use pailou_config::{ListenerSettings, ProxyProtocol};

use crate::tls::{Certificates, Watched};

/// What is particular to a listener.
///
/// The default speaks plain HTTP and serves.
#[derive(Debug)]
pub struct Listener {
    pub(crate) tls: Option<Arc<Watched>>,
    pub(crate) proxy_protocol: ProxyProtocol,
    /// Whose PROXY headers are believed.
    believed: Vec<IpNet>,
    /// The port of https that requests are sent to.
    pub(crate) redirect_to_https: Option<u16>,
}

impl Listener {
    /// The listeners of the settings that the certificates were read by.
    ///
    /// # Panics
    /// If they were read by others.
    pub fn all(settings: &[ListenerSettings], certificates: &Certificates) -> Vec<Listener> {
        let listener = |(index, settings): (usize, &ListenerSettings)| Listener {
            // A listener that was to speak TLS must never speak without.
            tls: settings.tls.as_ref().map(|_| {
                let watched = certificates.of(index);
                watched.expect("the certificates were read by these settings")
            }),
            proxy_protocol: settings.proxy_protocol,
            believed: settings.proxy_protocol_from.clone(),
            redirect_to_https: settings.redirect_to_https,
        };
        settings.iter().enumerate().map(listener).collect()
    }

    /// Whether there is anything before the first request of a connection.
    pub(crate) fn has_opening(&self) -> bool {
        self.tls.is_some() || self.proxy_protocol != ProxyProtocol::Off
    }

    /// Whether a PROXY header from this peer is believed.
    pub(crate) fn believes(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.believed.iter().any(|network| network.contains(&peer))
    }
}

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            believed: Vec::new(),
            redirect_to_https: None,
        }
    }
}
