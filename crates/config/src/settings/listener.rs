//! An item of `listeners`: a socket, and what happens on a connection before its first request.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use ipnet::IpNet;

use super::{
    kind::{Choice, ItemKey, Kind, List, mapping_node, whole, yaml_text},
    listener_tls::{Tls, TlsSettings},
    values::{ADDRESS, NETWORK},
};
use crate::{field::Field, node::Node};

/// A socket that takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The address; port 0 takes a free port.
    pub address: SocketAddr,
    /// How TLS is spoken; plain HTTP without it.
    pub tls: Option<TlsSettings>,
    /// Whether a connection begins with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// The networks whose PROXY headers are believed; `forwarded.trusted_proxies` when empty.
    pub proxy_protocol_from: Vec<IpNet>,
    /// The port of https that every request is redirected to; none for a listener that serves.
    pub redirect_to_https: Option<u16>,
}

/// Whether a connection begins with a PROXY header, which says who the client of a balancer on layer 4 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// There is none; one that comes is a malformed request.
    Off,
    /// From the networks that are believed with or without one; from others without.
    Optional,
    /// From the networks that are believed, and with one; any other connection is closed.
    Required,
}

const PROXY_PROTOCOL: Choice<ProxyProtocol> = Choice(&[
    ("off", ProxyProtocol::Off),
    ("optional", ProxyProtocol::Optional),
    ("required", ProxyProtocol::Required),
]);

/// The kind of an item.
pub(super) struct Listener;

impl Listener {
    /// Port 8080 of every interface: the usual port of a service that needs no root.
    pub(super) fn default() -> ListenerSettings {
        ListenerSettings {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080),
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            proxy_protocol_from: Vec::new(),
            redirect_to_https: None,
        }
    }
}

impl Kind for Listener {
    type Value = ListenerSettings;

    fn describe(&self) -> String {
        "mapping".to_owned()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<ListenerSettings> {
        let mut fields = field.mapping()?;
        let address = fields.required("address");
        let tls = fields.optional("tls");
        let proxy_protocol = fields.optional("proxy_protocol");
        let from = fields.optional("proxy_protocol_from");
        let redirect = fields.optional("redirect_to_https");
        fields.finish();
        if let (Some(_), Some(redirect)) = (&tls, &redirect) {
            redirect.fault_expected(
                "a redirect to https where https is spoken",
                "a listener of its own, without `tls`",
            );
        }
        let address = address.and_then(|field| ADDRESS.read(&field, base));
        let tls = read_optional(tls, &Tls, base);
        let proxy_protocol = match proxy_protocol {
            None => Some(ProxyProtocol::Off),
            Some(field) => PROXY_PROTOCOL.read(&field, base),
        };
        if let (Some(ProxyProtocol::Off), Some(from)) = (proxy_protocol, &from) {
            from.fault_expected(
                "nobody sends a PROXY header here",
                "`proxy_protocol: required` or `optional`",
            );
        }
        let from = read_optional(from, &List(NETWORK), base);
        let redirect = read_optional(redirect, &whole(1..=65_535), base);
        Some(ListenerSettings {
            address: address?,
            tls: tls?,
            proxy_protocol: proxy_protocol?,
            proxy_protocol_from: from?.unwrap_or_default(),
            redirect_to_https: redirect?,
        })
    }

    fn write(&self, value: &ListenerSettings) -> Option<String> {
        let mut keys = vec![format!(
            "address: {}",
            yaml_text(&value.address.to_string())
        )];
        let mut key = |name: &str, value: Option<String>| {
            keys.extend(value.map(|value| format!("{name}: {value}")));
        };
        key("tls", value.tls.as_ref().and_then(|tls| Tls.write(tls)));
        if value.proxy_protocol != ProxyProtocol::Off {
            key(
                "proxy_protocol",
                PROXY_PROTOCOL.write(&value.proxy_protocol),
            );
        }
        if !value.proxy_protocol_from.is_empty() {
            let from = List(NETWORK).write(&value.proxy_protocol_from);
            key("proxy_protocol_from", from);
        }
        key(
            "redirect_to_https",
            value.redirect_to_https.map(|port| port.to_string()),
        );
        Some(format!("{{ {} }}", keys.join(", ")))
    }

    fn node(&self, text: &str) -> Node {
        mapping_node([("address".to_owned(), ADDRESS.node(text))])
    }

    fn item_keys(&self) -> Vec<ItemKey> {
        let mut keys = vec![ItemKey {
            name: "address",
            kind: ADDRESS.what,
            doc: "The address; port 0 takes a free port.",
        }];
        keys.extend(Tls.item_keys());
        keys.extend([
            ItemKey {
                name: "proxy_protocol",
                kind: "`off`, `optional`, `required`",
                doc: "Whether a connection begins with a PROXY header (version 1 or 2), which a balancer on layer 4 sends to say who \
                      its client is; `off` unless given. `required` closes any connection without one; with `optional` it may be \
                      missing. It comes before TLS. Its address is then the client's in limits, logs and `X-Forwarded-For`.",
            },
            ItemKey {
                name: "proxy_protocol_from",
                kind: "list of: a network, such as 10.0.0.0/8, or one IP address",
                doc: "The networks whose PROXY headers are believed; `forwarded.trusted_proxies` unless given. From elsewhere \
                      `required` takes no connection, and `optional` takes it without a header.",
            },
            ItemKey {
                name: "redirect_to_https",
                kind: "number, 1 to 65535",
                doc: "Answers every request with 308 and the same URL on https at this port, 443 being left out of it. A request \
                      that came to a trusted proxy over https is served. Not beside `tls`.",
            },
        ]);
        keys
    }
}

/// The value of a key that may be left out; the outer `None` for a fault.
pub(super) fn read_optional<K: Kind>(
    field: Option<Field<'_>>,
    kind: &K,
    base: &Path,
) -> Option<Option<K::Value>> {
    match field {
        None => Some(None),
        Some(field) => kind.read(&field, base).map(Some),
    }
}
