//! Kinds of text that several sections use: addresses, networks, names.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use ipnet::IpNet;

use super::kind::{FilePath, Kind, Parsed, yaml_text};
use crate::field::Field;

/// The port of a Nacos server unless one is given.
pub(crate) const NACOS_PORT: u16 = 8848;

/// A Nacos server: host and port of its HTTP side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The HTTP port; the gRPC port is 1000 above it unless `nacos.grpc_port` says otherwise.
    pub port: u16,
    /// Whether the HTTP side is reached over TLS; so is the gRPC side unless `nacos.grpc_tls` says otherwise.
    pub is_https: bool,
}

impl ServerAddress {
    /// As it is written in settings: with `https://` where that matters.
    pub fn written(&self) -> String {
        let scheme = if self.is_https { "https://" } else { "" };
        format!("{scheme}{self}")
    }
}

/// Without the scheme.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

pub(crate) const SERVER: Parsed<ServerAddress> = Parsed {
    what: "a host with an optional port (8848), such as 10.0.0.7:8848, with https:// in front for TLS",
    parse: server,
    show: ServerAddress::written,
};

pub(crate) const ADDRESS: Parsed<SocketAddr> = Parsed {
    what: "an IP address and a port, such as 0.0.0.0:8080",
    parse: address,
    show: SocketAddr::to_string,
};

pub(crate) const IP: Parsed<IpAddr> = Parsed {
    what: "an IP address",
    parse: |text| {
        text.parse()
            .map_err(|_| format!("`{}`", text.escape_debug()))
    },
    show: IpAddr::to_string,
};

pub(crate) const NETWORK: Parsed<IpNet> = Parsed {
    what: "a network, such as 10.0.0.0/8, or one IP address",
    parse: parse_network,
    show: IpNet::to_string,
};

/// A name in Nacos: group, service, data id.
pub(crate) const NAME: Parsed<String> = Parsed {
    what: "a name without spaces",
    parse: name,
    show: String::clone,
};

/// The name of a header field; lower-case, as it is compared.
pub(crate) const HEADER_NAME: Parsed<String> = Parsed {
    what: "the name of a header: letters, digits, `-` and `_`",
    parse: |text| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match !text.is_empty() && text.bytes().all(is_legal) {
            true => Ok(text.to_ascii_lowercase()),
            false => Err(format!("`{}`", text.escape_debug())),
        }
    },
    show: String::clone,
};

/// A protocol of `Upgrade` (RFC 9110 section 7.8); lower-case, as it is compared.
pub(crate) const UPGRADE: Parsed<String> = Parsed {
    what: "a protocol of Upgrade, such as websocket",
    parse: |text| {
        let is_legal =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
        let protocol = text.to_ascii_lowercase();
        let name = protocol.split('/').next().unwrap_or_default();
        match name {
            "" => Err("an empty text".to_owned()),
            // Requests inside of it would pass by routes, filters and limits.
            "h2c" | "h2" | "http" | "tls" => Err(format!(
                "`{protocol}`, which hides requests from the gateway"
            )),
            _ if text.bytes().all(is_legal) => Ok(protocol),
            _ => Err(format!("`{}`", text.escape_debug())),
        }
    },
    show: String::clone,
};

/// A name that may be empty.
pub(crate) const NAME_OR_EMPTY: Parsed<String> = Parsed {
    what: "a name without spaces, or an empty one",
    parse: |text| {
        if text.is_empty() {
            Ok(String::new())
        } else {
            name(text)
        }
    },
    show: String::clone,
};

/// The id of a Nacos namespace. `public` is how the console calls the one with the empty id.
pub(crate) const NAMESPACE: Parsed<String> = Parsed {
    what: "the id of a namespace (not its name)",
    parse: |text| {
        if text.is_empty() {
            Ok(String::new())
        } else {
            name(text).map(|id| namespace_id(&id))
        }
    },
    show: String::clone,
};

/// Any text but an empty one.
pub(crate) const TEXT: Parsed<String> = Parsed {
    what: "a text",
    parse: |text| {
        if text.is_empty() {
            Err("an empty text".to_owned())
        } else {
            Ok(text.to_owned())
        }
    },
    show: String::clone,
};

/// Any text.
pub(crate) const ANY_TEXT: Parsed<String> = Parsed {
    what: "a text",
    parse: |text| Ok(text.to_owned()),
    show: String::clone,
};

/// The id that stands for a namespace in requests: the public one is empty everywhere in Pailou.
pub(crate) fn namespace_id(id: &str) -> String {
    if id == "public" {
        String::new()
    } else {
        id.to_owned()
    }
}

/// An address to listen on, or `off`.
pub(crate) struct AddressOrOff;

impl Kind for AddressOrOff {
    type Value = Option<SocketAddr>;

    fn describe(&self) -> String {
        format!("`off`, or {}", ADDRESS.what)
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<Option<SocketAddr>> {
        if is_off(field) {
            Some(None)
        } else {
            ADDRESS.read(field, base).map(Some)
        }
    }

    fn write(&self, value: &Option<SocketAddr>) -> Option<String> {
        Some(value.map_or_else(
            || "off".to_owned(),
            |address| yaml_text(&address.to_string()),
        ))
    }
}

/// The path of a file, or `off`.
pub(crate) struct PathOrOff;

impl Kind for PathOrOff {
    type Value = Option<PathBuf>;

    fn describe(&self) -> String {
        format!("`off`, or {}", FilePath.describe())
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<Option<PathBuf>> {
        if is_off(field) {
            Some(None)
        } else {
            FilePath.read(field, base).map(Some)
        }
    }

    fn write(&self, value: &Option<PathBuf>) -> Option<String> {
        match value {
            None => Some("off".to_owned()),
            Some(path) => FilePath.write(path),
        }
    }
}

fn is_off(field: &Field<'_>) -> bool {
    matches!(&field.node().value, crate::Value::Scalar(scalar) if scalar.text == "off")
}

fn shown(text: &str) -> String {
    format!("`{}`", text.escape_debug())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| shown(text))
}

/// Reads a network, such as `10.0.0.0/8`, or one IP address, which is a network of its own.
///
/// # Errors
/// The text as it is shown to people.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network
        .map(|network| network.trunc())
        .map_err(|_| shown(text))
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("an empty name".to_owned());
    }
    if text.len() > 512 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(shown(text));
    }
    Ok(text.to_owned())
}

fn server(text: &str) -> Result<ServerAddress, String> {
    no_credentials(text, "nacos")?;
    let (bare, is_https) = match text.strip_prefix("https://") {
        Some(bare) => (bare, true),
        None => (text.strip_prefix("http://").unwrap_or(text), false),
    };
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let (host, port) = host_and_port(bare, NACOS_PORT).ok_or_else(|| shown(text))?;
    Ok(ServerAddress {
        host,
        port,
        is_https,
    })
}

/// A server, `host` or `host:port`; `section` is where its account belongs.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn plain_server(
    text: &str,
    usual_port: u16,
    section: &str,
) -> Result<(String, u16), String> {
    no_credentials(text, section)?;
    host_and_port(text, usual_port).ok_or_else(|| shown(text))
}

fn no_credentials(text: &str, section: &str) -> Result<(), String> {
    match text.contains('@') {
        false => Ok(()),
        // What stands before the @ may be a password: say nothing of it.
        true => Err(format!(
            "credentials do not belong into the address: use {section}.username and {section}.password_file"
        )),
    }
}

/// The host, without brackets, and the port.
fn host_and_port(text: &str, usual_port: u16) -> Option<(String, u16)> {
    let checked = |host: String, port: u16| (port != 0).then_some((host, port));
    if let Ok(address) = text.parse::<SocketAddr>() {
        return checked(address.ip().to_string(), address.port());
    }
    let ip = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = ip.parse::<IpAddr>() {
        return checked(ip.to_string(), usual_port);
    }
    let (host, port) = text.split_once(':').unwrap_or((text, ""));
    let port = match port.is_empty() && !text.contains(':') {
        true => usual_port,
        false => port.parse().ok()?,
    };
    let is_host = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
    is_host.then(|| checked(host.to_owned(), port)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_with_an_optional_scheme_and_port() {
        let cases = [
            ("10.0.0.7", Some("10.0.0.7:8848")),
            ("10.0.0.7:80", Some("10.0.0.7:80")),
            ("nacos", Some("nacos:8848")),
            ("http://nacos-0.nacos:8849/", Some("nacos-0.nacos:8849")),
            ("[::1]:8848", Some("[::1]:8848")),
            ("::1", Some("[::1]:8848")),
            ("[fd00::7]", Some("[fd00::7]:8848")),
            ("https://nacos", Some("https://nacos:8848")),
            ("https://[::1]:443/", Some("https://[::1]:443")),
            ("ftp://nacos", None),
            ("nacos:8848/nacos", None),
            ("nacos:", None),
            ("nacos:0", None),
            ("nacos:65536", None),
            ("", None),
            (":8848", None),
            ("a b", None),
            ("user:hunter2@nacos:8848", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                server(text).ok().map(|server| server.written()).as_deref(),
                expected,
                "{text}"
            );
        }
        assert!(
            !server("user:hunter2@nacos")
                .unwrap_err()
                .contains("hunter2")
        );
    }

    #[test]
    fn one_address_is_a_network_of_one() {
        let cases = [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("::1", Some("::1/128")),
            ("10.0.0.0/33", None),
            ("x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse_network(text)
                    .ok()
                    .map(|network| network.to_string())
                    .as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
