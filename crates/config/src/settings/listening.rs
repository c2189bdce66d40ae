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
    /// The admin interface: status, routes, services. It shows what the gateway knows, so it stays on loopback by default.
    AdminSettings in "admin" {
        /// Where the admin interface listens; `off` for none.
        address: Option<SocketAddr> = Some(local(Ipv4Addr::LOCALHOST, 9901)), AddressOrOff;
        /// What a request that changes something must carry, as `Authorization: Bearer` and this, at least 16 bytes; without
        /// one such requests are refused. Better in `token_file` or in the environment than here.
        token: Option<Secret> = None, Maybe(SecretText);
        /// A file with the token, as a mounted secret; one line break at its end is cut. Relative to this file's folder.
        token_file: Option<PathBuf> = None, Maybe(FilePath);
        /// Names beside those of loopback that `Host` may have, such as that of a proxy in front. On loopback a request with
        /// any other host gets 421: a site could otherwise let its own name resolve to 127.0.0.1 and read everything through
        /// a browser on this machine. Elsewhere any host is answered while this is empty. A page of another site is refused
        /// in any case.
        hosts: Vec<String> = Vec::new(), List(NAME);
        /// Whether `/monitoring/nacos/service/{name}/instances` asks Nacos for any service, or only tells of those that a
        /// route names and of the gateway itself.
        any_service: bool = false, Flag;
    }
}

section! {
    /// Probes and metrics, for kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics` and nothing else.
    ProbeSettings in "probes" {
        /// Where they listen; `off` for none. Every interface, since a kubelet does not come by loopback.
        address: Option<SocketAddr> = Some(local(Ipv4Addr::UNSPECIFIED, 9902)), AddressOrOff;
    }
}

section! {
    /// Bounds on what one client can take, and on idle connections both ways. They are on from the start: without them a few
    /// slow or large requests hold a gateway's memory and connections for good.
    LimitSettings in "limits" {
        /// From the start of a connection to the end of what comes before its first request, where there is something: the
        /// PROXY header and the TLS handshake. Then the connection is closed.
        handshake_timeout: Duration = Duration::from_secs(10), Time(ms(100)..=mins(1));
        /// From the first byte of a request's head to its last; then 408. Over all reads, or a client could send a byte now
        /// and then for ever.
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
        /// 16KiB more. 64KiB more than `header_bytes` at least, since a head is held whole; a response's head may have 80KiB less than this.
        buffer_bytes: usize = 128 << 10, bytes(96 << 10..=16 << 20);
        /// Between two reads of a request's body; then 408, and the endpoint is not blamed.
        body_timeout: Duration = Duration::from_secs(60), Time(ms(100)..=mins(60));
        /// The least rate of a request's body, in bytes a second, while the client is waited for; then 408. 0 for none. A body
        /// that drips holds a connection to its endpoint for as long as it likes.
        body_min_rate: u64 = 1 << 10, bytes(0..=1 << 30);
        /// For so long a client may be slower than that before it is cut; a first packet may take its time.
        body_min_rate_after: Duration = Duration::from_secs(10), Time(ms(100)..=mins(60));
        /// How long a client's connection may stay open between two requests. A load balancer in front must let go of its
        /// idle connections sooner than this, or it meets closed ones.
        keepalive_timeout: Duration = Duration::from_secs(60), Time(Duration::from_secs(1)..=mins(60));
        /// The most requests on one connection; then it is closed, so that long-lived clients spread over new gateways.
        keepalive_requests: u32 = 10_000, whole(1..=1_000_000_000);
        /// The most streams at once on one HTTP/2 connection; the client waits with the next.
        http2_streams: u32 = 128, whole(1..=10_000);
        /// How long one write to a client may stall. A client that reads nothing holds an endpoint's response otherwise.
        write_timeout: Duration = Duration::from_secs(30), Time(ms(100)..=mins(60));
        /// The least rate at which a client takes an answer, in bytes a second, while bytes wait for it; then it is cut. 0 for
        /// none. A client that reads in drips holds an endpoint's response as well. Not for upgraded connections.
        write_min_rate: u64 = 1 << 10, bytes(0..=1 << 30);
        /// For so long a client may be slower than that before it is cut.
        write_min_rate_after: Duration = Duration::from_secs(10), Time(ms(100)..=mins(60));
        /// The most client connections at once; the next is closed at once. Each may need another one to an endpoint, so
        /// where the process's file limit allows fewer, it is taken down to that at start, with a warning.
        connections: usize = 20_000, whole(1..=1_000_000);
        /// The most client connections from one address; 0 for no such limit, as behind a load balancer.
        connections_per_ip: usize = 0, whole(0..=1_000_000);
        /// How long an unused connection to an endpoint is kept. Keep it below the keep-alive of the services behind, or a
        /// request can meet a connection that is just being closed; uvicorn's is 5s, so the default is less.
        upstream_idle_timeout: Duration = Duration::from_secs(4), Time(ms(100)..=mins(60));
        /// How long one write to an endpoint may stall; then 504.
        upstream_write_timeout: Duration = Duration::from_secs(30), Time(ms(100)..=mins(60));
    }
}

section! {
    /// What is believed of `X-Forwarded-*` and `Forwarded` in requests.
    ForwardedSettings in "forwarded" {
        /// The networks whose word is believed: the load balancers in front. From any other client these headers are dropped
        /// and written anew, or anybody could claim any address.
        trusted_proxies: Vec<IpNet> = Vec::new(), List(NETWORK);
        /// Which headers say to endpoints who the client is, and are read where such a proxy sent them: `x_forwarded` for
        /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`; `forwarded` for `Forwarded` (RFC 7239), without those four;
        /// `both`, where `X-Forwarded-*` are read, and `Forwarded` is made of the same facts.
        header: ForwardedHeader = ForwardedHeader::XForwarded, Choice(FORWARDED_HEADERS);
        /// Headers that only such a proxy may send, beside `X-Forwarded-*` and `Forwarded`: dropped from any other client.
        /// Services and their frameworks believe them. A list here takes the place of this one.
        claims: Vec<String> = CLAIMS.map(str::to_owned).to_vec(), List(HEADER_NAME);
        /// Whether requests to endpoints have `Via` (RFC 9110 section 7.6.3), by which a request that comes back is found
        /// and ends with 508. nginx as an endpoint compresses nothing for requests with `Via` unless its `gzip_proxied` says so.
        via: bool = true, Flag;
        /// How header names are spelled towards endpoints of HTTP/1.1, and in their answers: `lower`; `as_sent`, as whoever
        /// sent them did, for services that take case for a difference; `title`, such as `X-User-Id`, towards endpoints
        /// only. Names mean the same in any case (RFC 9110 section 5.1).
        header_case: HeaderCase = HeaderCase::Lower, Choice(HEADER_CASES);
        /// What becomes of a request's header names with `_`: `drop` them; `keep` them, but for those that pass for a header
        /// of the gateway's or a proxy's, such as `X_Forwarded_For`; `refuse` the request with 400. Behind CGI and WSGI `_`
        /// and `-` are one, so that a kept name can stand for another one there.
        underscores: Underscores = Underscores::Drop, Choice(UNDERSCORES);
        /// The protocols that requests without a body may switch to by `Upgrade`; any other wish is passed over, and the
        /// request served as it is. Of what passes then the gateway sees the ends of a WebSocket's frames and nothing else.
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
