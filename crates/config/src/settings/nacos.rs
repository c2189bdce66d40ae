//! Each Nacos: how it is reached, what is taken from it, and what is put there.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::{
    kind::{Choice, Decimal, FilePath, Flag, List, Map, Maybe, SecretText, Time, whole},
    schema::{Section, section},
    secret::Secret,
    values::{
        ANY_TEXT, IP, NACOS_PORT, NAME, NAME_OR_EMPTY, NAMESPACE, NETWORK, SERVER, ServerAddress,
        TEXT,
    },
};

section! {
    /// The Nacos servers that services and routes come from.
    NacosSettings in "nacos" {
        /// Its servers, `host` or `host:port` (8848), with or without `http://`; tried in turn. `https://` means TLS. In the
        /// environment a comma list.
        servers: Vec<ServerAddress> = vec![ServerAddress { host: "127.0.0.1".to_owned(), port: NACOS_PORT, is_https: false }], List(SERVER), also "NACOS_SERVER_ADDR";
        /// The id of the namespace (the console shows it beside the name); empty or `public` for the public one.
        namespace: String = String::new(), NAMESPACE, also "NACOS_NAMESPACE";
        /// The group of route documents and services that name none.
        group: String = "DEFAULT_GROUP".to_owned(), NAME, also "NACOS_GROUP";
        /// The account, if the server asks for one.
        username: Option<String> = None, Maybe(TEXT), also "NACOS_USERNAME";
        /// Its password. It is better in `password_file` or in the environment than here: files get copied and committed.
        password: Option<Secret> = None, Maybe(SecretText), also "NACOS_PASSWORD";
        /// A file with the password, such as a mounted secret; one line break at its end is cut. Relative to this file's folder.
        password_file: Option<PathBuf> = None, Maybe(FilePath);
        /// The gRPC port, if it is not the server's port + 1000, as behind a port mapping.
        grpc_port: Option<u16> = None, Maybe(whole(1..=65_535));
        /// Whether gRPC is over TLS, for which Nacos has a setting of its own (`nacos.remote.server.rpc.tls.enableTls`). Left out,
        /// it is at servers with `https://`.
        grpc_tls: Option<bool> = None, Maybe(Flag);
        /// A PEM file with the authorities whose certificates servers may have. Left out, the system's authorities count. This file
        /// and the next two are read for each new connection, so a renewed certificate needs no restart.
        tls_ca_file: Option<PathBuf> = None, Maybe(FilePath);
        /// The gateway's own certificate (PEM, with those that lead to its authority), for servers that ask for one.
        tls_cert_file: Option<PathBuf> = None, Maybe(FilePath);
        /// Its private key (PEM, not encrypted).
        tls_key_file: Option<PathBuf> = None, Maybe(FilePath);
        /// The name in the servers' certificates, if it is not the host in `servers`.
        tls_server_name: Option<String> = None, Maybe(NAME);
        /// How long one request to Nacos may take.
        request_timeout: Duration = Duration::from_secs(3), Time(ms(100)..=secs(60));
        /// How often the connection is checked. A server drops a client after 20s of silence, so 10s is the most.
        health_check_interval: Duration = Duration::from_secs(5), Time(secs(1)..=secs(10)), also "NACOS_HEARTBEAT_INTERVAL";
        /// The name that the Nacos console shows for this client's connection.
        app_name: String = "pailou".to_owned(), NAME;
    }
}

/// What is said of [`NacosSettings::read_others`].
const OTHERS: &[&str] = &[
    " Other Nacos, each by an id of lower-case letters, digits and `-` and with the same keys as `nacos`, of which",
    " `servers` is needed: `other_nacos: { east: { servers: [ 10.1.0.7 ] } }`. An item of `routes`, or `service` in a route,",
    " names one of these by `nacos: east`. In the environment `PAILOU_OTHER_NACOS_EAST_SERVERS` and so on, for",
    " ids that this file has.",
];

/// What stands for the id of a Nacos where a route gives the endpoints by URL. No Nacos can have it.
pub const STATIC_NACOS: &str = "static";

/// The id of the Nacos that `nacos` describes.
pub const DEFAULT_NACOS: &str = "default";

impl NacosSettings {
    /// The other ones, by their ids.
    pub(super) fn read_others(top: &mut Section<'_, '_>) -> BTreeMap<String, NacosSettings> {
        let mut others = BTreeMap::new();
        for (id, field) in top.sections("other_nacos", OTHERS) {
            let is_id =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if id.text == STATIC_NACOS {
                field.fault_expected("the id of endpoints that routes give by URL", "another one");
            } else if id.text == DEFAULT_NACOS {
                field.fault_expected("the id of the Nacos that `nacos` describes", "another one");
            } else if id.text.is_empty() || id.text.len() > 64 || !id.text.bytes().all(is_id) {
                field.fault_expected(
                    "no id of a Nacos",
                    "at most 64 lower-case letters, digits and `-`",
                );
            } else {
                let section = top.one_of(format!("other_nacos.{}", id.text), &field);
                others.insert(id.text.clone(), NacosSettings::read_keys(section));
            }
        }
        others
    }

    /// The account, if one is set; the password may have come from its file.
    pub fn credentials(&self) -> Option<(&str, &Secret)> {
        Some((self.username.as_deref()?, self.password.as_ref()?))
    }
}

section! {
    /// The gateway's own entry in Nacos: what the console shows of it, and how other programs find it.
    RegistrationSettings in "registration" {
        /// Whether the gateway registers itself once it is ready.
        enabled: bool = true, Flag;
        /// The service it registers as.
        service: String = "pailou-gateway".to_owned(), NAME, also "NACOS_SERVICE_NAME";
        /// The group; empty for `nacos.group`.
        group: String = String::new(), NAME_OR_EMPTY;
        /// The address at which others reach this gateway. Left out, it is the address of the first listener, if that names one
        /// and no port is given, and else the local address of the connection to Nacos.
        ip: Option<IpAddr> = None, Maybe(IP), also "NACOS_SERVICE_IP";
        /// The port at which others reach it; 0 for the port of the first listener.
        port: u16 = 0, whole(0..=65_535), also "NACOS_SERVICE_PORT";
        /// Its weight, for clients that choose among several gateways by weight.
        weight: f64 = 1.0, Decimal(0.0..=10_000.0);
        /// Labels of your own, at most 400 bytes in all: Nacos refuses an instance with more than 1,024, and the gateway adds
        /// its version, the revision and md5 of its route table, and its first fault.
        metadata: BTreeMap<String, String> = BTreeMap::new(), Map(ANY_TEXT);
    }
}

/// Whether endpoints on loopback addresses are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// Only while Nacos itself is on loopback, as on a developer's machine.
    Auto,
    /// Always.
    Allow,
    /// Never.
    Deny,
}

section! {
    /// How services are followed.
    DiscoverySettings in "discovery" {
        /// For how long, after a reconnect or an empty push, endpoints stay in use that Nacos no longer lists. A restarted Nacos
        /// server says for 4 to 8 s that nothing is registered. 0s believes that at once.
        hold: Duration = Duration::from_secs(30), Time(Duration::ZERO..=secs(3_600));
        /// The same for single services, by name.
        hold_services: BTreeMap<String, Duration> = BTreeMap::new(), Map(Time(Duration::ZERO..=secs(3_600)));
        /// The cluster that the gateway is in, as instances of Nacos name theirs (`clusterName`): endpoints there get all requests while
        /// enough of them are well, as in Spring Cloud Alibaba. Left out, clusters make no difference. A route that names a cluster
        /// (`service.cluster`) means that one.
        cluster: Option<String> = None, Maybe(NAME);
        /// What is enough, in percent of their weight. Below it requests go to other clusters, as many as are too many for those that are
        /// left; all of them when none is.
        cluster_min_percent: u32 = 50, whole(1..=100);
        /// For how long a service is followed after its last route has gone. A table that names the service again within this
        /// time finds its endpoints at once.
        unsubscribe_after: Duration = Duration::from_secs(60), Time(Duration::ZERO..=secs(3_600));
        /// How long a new table waits for the endpoints of its new services. Then it goes live with a warning.
        first_state_timeout: Duration = Duration::from_secs(2), Time(ms(100)..=secs(60));
        /// How often every service is queried, to find lost pushes. Differences are counted.
        audit_interval: Duration = Duration::from_secs(45), Time(secs(5)..=secs(600));
        /// A first change takes effect at once. Changes within this time after it are collected.
        debounce: Duration = Duration::from_millis(20), Time(Duration::ZERO..=secs(5));
        /// How often host names are looked up again: those that instances registered, and those of `to` in routes. A lookup that
        /// fails changes nothing.
        dns_refresh: Duration = Duration::from_secs(30), Time(secs(1)..=secs(3_600));
        /// The networks that endpoints may be in; an empty list allows all. Link-local, multicast and unspecified addresses
        /// are always refused: somebody who can write to Nacos must not reach a cloud's metadata service through the gateway.
        allow_addresses: Vec<IpNet> = Vec::new(), List(NETWORK);
        /// Whether endpoints on loopback are used. `auto` uses them only while every server of `nacos` and `other_nacos` is on
        /// loopback itself.
        allow_loopback: Loopback = Loopback::Auto, Choice(&[("auto", Loopback::Auto), ("true", Loopback::Allow), ("false", Loopback::Deny)]);
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
