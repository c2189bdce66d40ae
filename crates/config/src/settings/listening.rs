//! Where the gateway listens, and what it takes from a client.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    kind::{Choice, FilePath, Flag, List, Maybe, SecretText, Time, bytes, whole},
    schema::section,
    secret::Secret,
    values::{AddressOrOff, HEADER_NAME, NAME, NETWORK, UPGRADE},
};

section! {
    /// The admin interface shows status, routes and services, so it stays on loopback by default.
    AdminSettings in "admin" {
        /// Where the admin interface listens; `off` for none.
        address: Option<SocketAddr> = Some(local(Ipv4Addr::LOCALHOST, 9901)), AddressOrOff;
        /// The token (at least 16 bytes) of requests that change something: `Authorization: Bearer TOKEN`. While none is set, such
        /// requests are refused. It is better in `token_file` or in the environment than here.
        token: Option<Secret> = None, Maybe(SecretText);
        /// A file with the token, such as a mounted secret; one line break at its end is cut. Relative to this file's folder.
        token_file: Option<PathBuf> = None, Maybe(FilePath);
        /// Further names that `Host` may have, beside those of loopback, such as the name of a proxy in front. On loopback a
        /// request with any other host gets 421: a web site could otherwise let its own name resolve to 127.0.0.1 and read
        /// everything through a browser on this machine. On other addresses any host is answered while this is empty. A page of
        /// another site is refused in any case.
        hosts: Vec<String> = Vec::new(), List(NAME);
        /// Whether `/monitoring/nacos/service/{name}/instances` answers for any service, or only for the services that a route
        /// names and for the gateway itself.
        any_service: bool = false, Flag;
    }
}

section! {
    /// Probes and metrics, for kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics` and nothing else.
    ProbeSettings in "probes" {
        /// Where they listen; `off` for none. The default is every interface, since a kubelet does not come from loopback.
        address: Option<SocketAddr> = Some(local(Ipv4Addr::UNSPECIFIED, 9902)), AddressOrOff;
    }
}

section! {
    /// Bounds on what a client can use, and on idle connections both ways. They are on by default: without them a few slow or
    /// large requests would hold the gateway's memory and connections for ever.
    LimitSettings in "limits" {
        /// The time for the PROXY header and the TLS handshake of a connection, from its start; then the connection is closed.
        handshake_timeout: Duration = Duration::from_secs(10), Time(ms(100)..=mins(1));
        /// The time for a request's head, from its first byte to its last; then 408. It counts over all reads. Otherwise a client
        /// could send a byte now and then for ever.
        header_timeout: Duration = Duration::from_secs(10), Time(ms(100)..=mins(5));
        /// The most bytes of a request's head; beyond it 431. A few cookies take 4KiB; 1MiB is more than any honest client sends.
        header_bytes: usize = 64 << 10, bytes(1 << 10..=1 << 20);
        /// The most header fields of a request; beyond it 431. 256 is more than any honest client sends.
        header_count: usize = 100, whole(1..=256);
        /// The most bytes of a request line; beyond it 414.
        request_line_bytes: usize = 8 << 10, bytes(256..=64 << 10);
        /// The most bytes of a request's body; beyond it 413. Bodies are streamed, so this costs no memory.
        body_bytes: u64 = 10 << 20, bytes(1..=1 << 40);
        /// The most bytes of a message that wait in the gateway, each way of a request, while the other side takes none; TLS holds
        /// 16KiB more. It must exceed `header_bytes` by 64KiB, since a head is held whole. A response's head may have 80KiB less
        /// than this.
        buffer_bytes: usize = 128 << 10, bytes(96 << 10..=16 << 20);
        /// The time between two reads of a request's body; then 408. It does not count as a failure of the endpoint.
        body_timeout: Duration = Duration::from_secs(60), Time(ms(100)..=mins(60));
        /// The least rate of a request's body, in bytes a second, while the gateway waits for the client; then 408. 0 for none.
        /// Without it a slow body could hold a connection to its endpoint for ever.
        body_min_rate: u64 = 1 << 10, bytes(0..=1 << 30);
        /// For how long a client may be slower than that before it is cut, since a first packet may be slow.
        body_min_rate_after: Duration = Duration::from_secs(10), Time(ms(100)..=mins(60));
        /// How long a client's connection may stay open between two requests. A load balancer in front must close its idle
        /// connections sooner. Otherwise it sends requests on closed ones.
        keepalive_timeout: Duration = Duration::from_secs(60), Time(Duration::from_secs(1)..=mins(60));
        /// The most requests on one connection. Then it is closed, so that long-lived clients spread over new gateways.
        keepalive_requests: u32 = 10_000, whole(1..=1_000_000_000);
        /// The most streams at once on one HTTP/2 connection. The client waits with the next one.
        http2_streams: u32 = 128, whole(1..=10_000);
        /// How long one write to a client may stall; then the client is cut. Otherwise a client that reads nothing would hold an
        /// endpoint's response for ever.
        write_timeout: Duration = Duration::from_secs(30), Time(ms(100)..=mins(60));
        /// The least rate at which a client takes an answer, in bytes a second, while bytes wait for the client; then it is cut.
        /// 0 for none. A client that reads a byte now and then would hold an endpoint's response as well. Not for upgraded
        /// connections.
        write_min_rate: u64 = 1 << 10, bytes(0..=1 << 30);
        /// For how long a client may be slower than that before it is cut.
        write_min_rate_after: Duration = Duration::from_secs(10), Time(ms(100)..=mins(60));
        /// The most client connections at once; the next one is closed at once. Each may need a second connection, to an endpoint.
        /// If the file limit of the process allows fewer, the gateway lowers this at the start, with a warning.
        connections: usize = 20_000, whole(1..=1_000_000);
        /// The most client connections from one address; 0 for no such limit, as behind a load balancer.
        connections_per_ip: usize = 0, whole(0..=1_000_000);
        /// How long an idle connection to an endpoint is kept. It must be shorter than the keep-alive of the services behind.
        /// Otherwise a request can meet a connection that is just being closed. uvicorn's keep-alive is 5s.
        upstream_idle_timeout: Duration = Duration::from_secs(4), Time(ms(100)..=mins(60));
        /// How long one write to an endpoint may stall; then 504.
        upstream_write_timeout: Duration = Duration::from_secs(30), Time(ms(100)..=mins(60));
    }
}

section! {
    /// What is believed of `X-Forwarded-*` and `Forwarded` in requests.
    ForwardedSettings in "forwarded" {
        /// The networks whose headers are believed: those of the load balancers in front. From any other client these headers are
        /// dropped and written anew. Otherwise anybody could claim any address.
        trusted_proxies: Vec<IpNet> = Vec::new(), List(NETWORK);
        /// The headers that tell endpoints who the client is, and that are read from such a proxy: `x_forwarded` for
        /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`; `forwarded` for `Forwarded` (RFC 7239) without those four; `both`, which
        /// reads `X-Forwarded-*` and writes all of them.
        header: ForwardedHeader = ForwardedHeader::XForwarded, Choice(FORWARDED_HEADERS);
        /// Headers that only such a proxy may send, beside `X-Forwarded-*` and `Forwarded`. From any other client they are dropped,
        /// since services and their frameworks believe them. A list here replaces the default.
        claims: Vec<String> = CLAIMS.map(str::to_owned).to_vec(), List(HEADER_NAME);
        /// Whether requests to endpoints have `Via` (RFC 9110 section 7.6.3). `Via` shows when a request comes back to the gateway,
        /// which answers it with 508. nginx as an endpoint compresses nothing for requests with `Via`, unless `gzip_proxied` allows it.
        via: bool = true, Flag;
        /// How header names are spelled towards HTTP/1.1 endpoints, and in their answers: `lower`; `as_sent`, which keeps the
        /// sender's spelling, for services to which case matters; `title`, such as `X-User-Id`, towards endpoints only. Names mean
        /// the same in any case (RFC 9110 section 5.1).
        header_case: HeaderCase = HeaderCase::Lower, Choice(HEADER_CASES);
        /// What becomes of a request's headers with `_` in their names: `drop` them; `keep` them, except those that read like a
        /// header of the gateway or a proxy, such as `X_Forwarded_For`; `refuse` the request with 400. CGI and WSGI cannot tell `_`
        /// from `-`, so a kept name can be taken for another name there.
        underscores: Underscores = Underscores::Drop, Choice(UNDERSCORES);
        /// The protocols that a request without a body may switch to by `Upgrade`. If it names others only, the request is served
        /// without a switch. After a switch the gateway sees only where WebSocket frames end.
        upgrades: Vec<String> = vec!["websocket".to_owned()], List(UPGRADE);
    }
}

/// Which headers say who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-*`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both; the first are read.
    Both,
}

/// How header names are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderCase {
    /// In lower case.
    Lower,
    /// As whoever sent them did.
    AsSent,
    /// Each word with a capital, towards endpoints.
    Title,
}

/// What becomes of header names with an underscore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    /// They go.
    Drop,
    /// They stay, unless they pass for another name.
    Keep,
    /// The request is refused.
    Refuse,
}

const FORWARDED_HEADERS: &[(&str, ForwardedHeader)] = &[
    ("x_forwarded", ForwardedHeader::XForwarded),
    ("forwarded", ForwardedHeader::Forwarded),
    ("both", ForwardedHeader::Both),
];

const UNDERSCORES: &[(&str, Underscores)] = &[
    ("drop", Underscores::Drop),
    ("keep", Underscores::Keep),
    ("refuse", Underscores::Refuse),
];

const HEADER_CASES: &[(&str, HeaderCase)] = &[
    ("lower", HeaderCase::Lower),
    ("as_sent", HeaderCase::AsSent),
    ("title", HeaderCase::Title),
];

/// What frameworks and servers take for the word of a proxy: another URL or method, the client's address, an environment
/// variable of CGI (httpoxy).
const CLAIMS: [&str; 13] = [
    "proxy",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "x-envoy-external-address",
    "forwarded-for",
    "x-original-forwarded-for",
    "front-end-https",
    "x-url-scheme",
];

fn local(ip: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(ip), port)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn mins(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
