//! Where several gateways count together.

use std::{fmt, path::PathBuf, time::Duration};

use super::{
    kind::{Choice, FilePath, Flag, List, Maybe, Parsed, SecretText, Time, whole},
    schema::{Origin, Reader, section},
    secret::Secret,
    values::{NAME, TEXT, plain_server},
};

/// The port of a Redis server unless one is given.
const REDIS_PORT: u16 = 6379;

/// What is expected of `redis.servers`.
const SERVER: Parsed<RedisAddress> = Parsed {
    what: "a host with an optional port (6379), such as 10.0.0.7:6379",
    parse: |text| {
        let (host, port) = plain_server(text, REDIS_PORT, "redis")?;
        Ok(RedisAddress { host, port })
    },
    show: RedisAddress::to_string,
};

/// A Redis server, or a Sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What stands at the addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedisMode {
    /// One server. Of several addresses, the first that answers.
    #[default]
    Single,
    /// Sentinels, which say where the master is.
    Sentinel,
    /// Nodes of a Redis Cluster.
    Cluster,
}

impl RedisMode {
    /// The values, as they are written.
    const WORDS: &[(&str, RedisMode)] = &[
        ("single", RedisMode::Single),
        ("sentinel", RedisMode::Sentinel),
        ("cluster", RedisMode::Cluster),
    ];

    /// How it is written.
    pub fn word(self) -> &'static str {
        match self {
            RedisMode::Single => "single",
            RedisMode::Sentinel => "sentinel",
            RedisMode::Cluster => "cluster",
        }
    }
}

/// What a limit does with a request where Redis does not answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It counts by itself, within its share of the limit.
    #[default]
    Local,
    /// It lets the request pass.
    Open,
    /// It refuses the request.
    Closed,
}

impl OnFailure {
    /// The values, as they are written.
    pub const WORDS: &[(&str, OnFailure)] = &[
        ("local", OnFailure::Local),
        ("open", OnFailure::Open),
        ("closed", OnFailure::Closed),
    ];

    /// How it is written.
    pub fn word(self) -> &'static str {
        match self {
            OnFailure::Local => "local",
            OnFailure::Open => "open",
            OnFailure::Closed => "closed",
        }
    }
}

/// By which keys the buckets of `RequestRateLimiter` are known in Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScgKeys {
    /// `request_rate_limiter.{ROUTE.KEY}`.
    #[default]
    Route,
    /// `request_rate_limiter.{KEY}`.
    Key,
}

section! {
    /// A Redis, 5 or later, or what speaks like it, in which several gateways count together: for `rate_limit` with `store: redis`,
    /// and for `RequestRateLimiter` of documents in Spring's form, which shares its buckets with Spring Cloud Gateway. Without
    /// `servers` nobody is asked.
    RedisSettings in "redis" {
        /// The servers, `host` or `host:port` (6379): one, or Sentinels, or nodes of a cluster, as `mode` says. In the environment a
        /// comma list.
        servers: Vec<RedisAddress> = Vec::new(), List(SERVER);
        /// What stands there: `single` (of several the first that answers), `sentinel`, `cluster`.
        mode: RedisMode = RedisMode::Single, Choice(RedisMode::WORDS);
        /// The name that Sentinels have for the master.
        master: Option<String> = None, Maybe(NAME);
        /// Whether Sentinels ask for the same account.
        sentinel_login: bool = false, Flag;
        /// The user of an ACL. Left out, the password alone is sent.
        username: Option<String> = None, Maybe(TEXT);
        /// The password. Better in `password_file` or in the environment than here: files get copied and committed.
        password: Option<Secret> = None, Maybe(SecretText);
        /// A file with the password, as a mounted secret; one line break at its end is cut. Relative to this file's folder.
        password_file: Option<PathBuf> = None, Maybe(FilePath);
        /// The number of the database; a cluster has only 0.
        database: u32 = 0, whole(0..=1_023);
        /// What the gateway's own keys begin with. Gateways that do not count together have one each.
        prefix: String = "pailou".to_owned(), NAME;
        /// Whether TLS is spoken. Certificates are verified for the hosts in `servers`.
        tls: bool = false, Flag;
        /// A PEM file with the certificates of the authorities that servers are believed for. Left out, it is the system's. This
        /// and the next two are read for each new connection.
        tls_ca_file: Option<PathBuf> = None, Maybe(FilePath);
        /// The gateway's own certificate (PEM, with those that lead to its authority), for servers that ask for one.
        tls_cert_file: Option<PathBuf> = None, Maybe(FilePath);
        /// Its private key (PEM, not encrypted).
        tls_key_file: Option<PathBuf> = None, Maybe(FilePath);
        /// How long a request waits for an answer; then `on_failure` decides, and further requests do not wait until Redis answers again.
        timeout: Duration = Duration::from_millis(50), Time(Duration::from_millis(1)..=Duration::from_secs(5));
        /// How long a connection may take to come about, in the background.
        connect_timeout: Duration = Duration::from_secs(1), Time(Duration::from_millis(10)..=Duration::from_secs(30));
        /// What limits do while Redis cannot be asked: `local`: each gateway counts for itself, within its share, by the number of
        /// gateways that Redis knew last; `open`: every request passes; `closed`: none does. A filter may say otherwise.
        on_failure: OnFailure = OnFailure::Local, Choice(OnFailure::WORDS);
        /// By which keys the buckets of `RequestRateLimiter` are known: `route`: `request_rate_limiter.{ROUTE.KEY}`, as Spring Cloud
        /// Gateway 4.2 and later do; `key`: `request_rate_limiter.{KEY}`, one for all routes, as it did before.
        scg_keys: ScgKeys = ScgKeys::Route, Choice(&[("route", ScgKeys::Route), ("key", ScgKeys::Key)]);
    }
}

impl RedisSettings {
    /// Whether there is a Redis to ask.
    pub fn is_set(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The files that are read, each with its key.
    pub(super) fn files(&self) -> [(&'static str, &Option<PathBuf>); 4] {
        [
            ("password_file", &self.password_file),
            ("tls_ca_file", &self.tls_ca_file),
            ("tls_cert_file", &self.tls_cert_file),
            ("tls_key_file", &self.tls_key_file),
        ]
    }

    /// Reports what does not fit together.
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        let is_set = |key: &str, reader: &mut Reader<'_>| {
            reader.origin(&format!("redis.{key}")) != Origin::Default
        };
        let mut alone = |key: &str, is_alone: bool, problem: &str, needed: &str| {
            if is_alone && is_set(key, reader) {
                let expected = format!("`redis.{needed}` too");
                reader.fault(&format!("redis.{key}"), problem, Some(&expected));
            }
        };
        let is_sentinel = self.mode == RedisMode::Sentinel;
        alone(
            "mode",
            is_sentinel && self.master.is_none(),
            "Sentinels without the name of a master",
            "master",
        );
        alone(
            "master",
            !is_sentinel,
            "the name of a master without Sentinels",
            "mode: sentinel",
        );
        alone(
            "sentinel_login",
            self.sentinel_login && !is_sentinel,
            "an account for Sentinels without any",
            "mode: sentinel",
        );
        alone(
            "username",
            self.password.is_none(),
            "a user without a password",
            "password_file",
        );
        for (key, other, is_half) in [
            ("tls_cert_file", "tls_key_file", self.tls_key_file.is_none()),
            (
                "tls_key_file",
                "tls_cert_file",
                self.tls_cert_file.is_none(),
            ),
        ] {
            alone(key, is_half, "half of a certificate", other);
        }
        for key in ["tls_ca_file", "tls_cert_file", "tls_key_file"] {
            alone(key, !self.tls, "a file for TLS without TLS", "tls: true");
        }
        if self.mode == RedisMode::Cluster && self.database != 0 {
            reader.fault("redis.database", "a cluster has only 0", None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, load_settings};

    fn load(text: &str) -> Result<RedisSettings, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("gateway.yaml");
        std::fs::write(folder.path().join("secret"), "s3cret\n").expect("written");
        std::fs::write(&file, text).expect("written");
        match load_settings(Some(&file), &Environment::default()) {
            Ok(loaded) => Ok(loaded.settings.redis),
            Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn servers_modes_and_accounts_are_read() {
        let redis = load(
            "redis: { servers: [ a, '10.0.0.1:7000', '[::1]:1' ], mode: sentinel, master: m, username: u, password_file: secret }",
        )
        .expect("sound");
        let shown: Vec<_> = redis.servers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a:6379", "10.0.0.1:7000", "[::1]:1"]);
        assert_eq!(redis.mode, RedisMode::Sentinel);
        assert_eq!(redis.password, Some(Secret::new("s3cret")));
        assert!(!format!("{redis:?}").contains("s3cret"));
        assert!(!load("").expect("sound").is_set());
        assert_eq!(
            load("redis: { servers: a }").expect("sound").servers.len(),
            1
        );
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (text, problem) in [
            ("servers: [ 'redis://a' ]", "expected a host"),
            ("servers: [ 'u:p@a' ]", "credentials do not belong"),
            ("mode: sentinel", "without the name of a master"),
            ("master: m", "without Sentinels"),
            ("sentinel_login: true", "without any"),
            ("username: u", "a user without a password"),
            ("tls_ca_file: secret", "without TLS"),
            ("tls: true, tls_cert_file: secret", "half of a certificate"),
            ("mode: cluster, database: 1", "a cluster has only 0"),
            ("timeout: 1m", "expected a duration"),
            ("on_failure: maybe", "expected one of local, open, closed"),
        ] {
            let faults = load(&format!("redis: {{ {text} }}")).expect_err(text);
            assert!(
                faults.iter().any(|fault| fault.contains(problem)),
                "{text}: {faults:?}"
            );
        }
    }
}
