//! What a client must be told: where the servers are, which namespace, who it is.

use std::{fmt, str::FromStr, time::Duration};

use crate::tls::TlsOptions;

/// Everything a [`Client`](crate::Client) must be told. Only the servers have no default.
///
/// ```
/// use pailou_nacos::{ClientOptions, Credentials};
///
/// let mut options = ClientOptions::new("10.0.0.1:8848, nacos.example")?;
/// options.namespace = "staging".into();
/// options.credentials = Some(Credentials::new("nacos", "secret"));
/// assert_eq!(options.servers.len(), 2);
/// assert!(!format!("{options:?}").contains("secret"));
/// # Ok::<(), pailou_nacos::AddressError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The servers of one Nacos. The client starts at a random one and stays with the one that answers.
    pub servers: Vec<ServerAddress>,
    /// The gRPC port, when it is not the HTTP port + 1000 (a port mapping, a balancer).
    pub grpc_port: Option<u16>,
    /// Whether gRPC is spoken over TLS. Nacos has a switch of its own for that; when not said here, gRPC does what HTTP
    /// does: over TLS at servers with `https://`.
    pub grpc_tls: Option<bool>,
    /// The settings of TLS, for servers that speak it.
    pub tls: TlsOptions,
    /// The namespace's id (not its display name); `""` and `public` are the default one.
    pub namespace: String,
    /// Who the client is; none where the servers ask for no login.
    pub credentials: Option<Credentials>,
    /// The name that the server lists the connection under. Default `pailou`.
    pub app_name: String,
    /// Time limit of each request, and of each step of a connection's set-up. Default 3 s, as in the Java client.
    pub request_timeout: Duration,
    /// How often the server is asked whether it still knows the connection. Default 5 s; the server ends a connection
    /// that was silent for 20 s, so more than 10 s is unwise.
    pub health_check_interval: Duration,
    /// How often every watched service and config is compared with the server, in case a push was lost. Default 45 s.
    pub audit_interval: Duration,
    /// How often gRPC is tried again while the servers are reached over HTTP, after some sooner attempts. Default 60 s.
    pub grpc_retry_interval: Duration,
    /// Whether the client logs connections that are made, lost or impossible. Default yes. A program that logs
    /// [`Client::states`](crate::Client::states) itself turns this off, so that no line comes twice.
    pub log_connections: bool,
    /// The longest message that is accepted. Default 64 MiB: a service of 50,000 instances is 16 MiB.
    pub max_message_bytes: usize,
}

impl ClientOptions {
    /// The defaults for these servers: a list such as `10.0.0.1:8848,10.0.0.2`, separated by commas.
    ///
    /// # Errors
    /// When the list is empty or an address is not one.
    pub fn new(servers: &str) -> Result<Self, AddressError> {
        let servers = servers
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(AddressError::Empty);
        }
        Ok(Self {
            servers,
            grpc_port: None,
            grpc_tls: None,
            tls: TlsOptions::default(),
            namespace: String::new(),
            credentials: None,
            app_name: "pailou".into(),
            request_timeout: Duration::from_secs(3),
            health_check_interval: Duration::from_secs(5),
            audit_interval: Duration::from_secs(45),
            grpc_retry_interval: Duration::from_secs(60),
            log_connections: true,
            max_message_bytes: 64 << 20,
        })
    }
}

/// Where one Nacos server listens for HTTP.
///
/// Parsed from `host`, `host:port`, `[v6]:port`, each with or without `http://` or `https://` in front and `/nacos`
/// behind. The port is 8848 unless said, with `https://` too. Shown without the scheme.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// The HTTP port.
    pub port: u16,
    /// Whether it is spoken to over TLS.
    pub is_https: bool,
}

impl ServerAddress {
    /// The port of HTTP when an address names none.
    pub const DEFAULT_PORT: u16 = 8848;

    /// The gRPC port that belongs to this address by Nacos's rule, HTTP + 1000; `None` when there is no such port.
    pub fn grpc_port(&self) -> Option<u16> {
        self.port.checked_add(1000)
    }

    pub(crate) fn is_same_place(&self, other: &ServerAddress) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a server's address was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no address at all.
    #[error("no Nacos server is named")]
    Empty,
    /// The address cannot be read.
    #[error("{0}: not a server address; expected host, host:port or [IPv6]:port")]
    Malformed(String),
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let (rest, is_https) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (rest, false),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (rest, true),
            Some(_) => return Err(malformed()),
            None => (text, false),
        };
        let rest = rest.trim_end_matches('/');
        let rest = rest.strip_suffix("/nacos").unwrap_or(rest);
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']').ok_or_else(malformed)?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| malformed())?;
            (
                host,
                port.strip_prefix(':')
                    .or((port.is_empty()).then_some(""))
                    .ok_or_else(malformed)?,
            )
        } else if rest.parse::<std::net::Ipv6Addr>().is_ok() {
            (rest, "")
        } else {
            match rest.split_once(':') {
                Some((_, "")) => return Err(malformed()),
                Some(parts) => parts,
                None => (rest, ""),
            }
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(malformed());
        }
        let port = match port {
            "" => Self::DEFAULT_PORT,
            port => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(malformed)?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            is_https,
        })
    }
}

/// A user name and a password. `Debug` masks the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Credentials {
    /// Credentials for the login.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
        }
    }

    /// The user's name.
    pub fn username(&self) -> &str {
        &self.username
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("password", &"***")
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let address = |host: &str, port, is_https| {
            Ok(ServerAddress {
                host: host.into(),
                port,
                is_https,
            })
        };
        let good = |host: &str, port| address(host, port, false);
        let bad = |text: &str| Err(AddressError::Malformed(text.into()));
        for (text, expected) in [
            ("nacos", good("nacos", 8848)),
            ("nacos:80", good("nacos", 80)),
            ("http://10.0.0.1:8848/nacos/", good("10.0.0.1", 8848)),
            ("HTTP://nacos", good("nacos", 8848)),
            ("[::1]:9000", good("::1", 9000)),
            ("[::1]", good("::1", 8848)),
            ("::1", good("::1", 8848)),
            ("https://nacos", address("nacos", 8848, true)),
            ("HTTPS://[::1]:443/nacos", address("::1", 443, true)),
            ("ftp://nacos", bad("ftp://nacos")),
            ("nacos:0", bad("nacos:0")),
            ("nacos:", bad("nacos:")),
            ("nacos:x", bad("nacos:x")),
            ("nacos:70000", bad("nacos:70000")),
            ("user@nacos", bad("user@nacos")),
            ("nacos/other", bad("nacos/other")),
            ("[::1", bad("[::1")),
            ("[nacos]:1", bad("[nacos]:1")),
            ("", bad("")),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn a_list_needs_at_least_one_server() {
        assert_eq!(ClientOptions::new(" , ").unwrap_err(), AddressError::Empty);
        assert_eq!(ClientOptions::new("a, b:1,").unwrap().servers.len(), 2);
    }

    #[test]
    fn an_ipv6_address_is_shown_with_brackets() {
        assert_eq!(
            "::1".parse::<ServerAddress>().unwrap().to_string(),
            "[::1]:8848"
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", Credentials::new("nacos", "hunter2"));
        assert!(
            shown.contains("nacos") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
