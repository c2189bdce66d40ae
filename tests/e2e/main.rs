//! End-to-end cases: the real binary against the embedded registry and scripted upstreams.
//!
//! One binary for all of them. A new file here must be named in the list below; `every_file_is_a_module` fails while it
//! is not.

mod support;

/// The admin and probe listeners.
mod admin;
/// Weights and policies, seen in traffic.
mod balancing;
/// File descriptors, and the gateway's own addresses.
mod bounds;
/// `pailou check`.
mod check;
/// Circuit breakers, with the keys of Resilience4j and natively.
mod circuit_breaker;
/// Bodies that are compressed while they stream.
mod compress;
/// How many requests are under way at once.
mod concurrency;
/// CORS settings where no route takes the request.
mod cors;
/// API keys and passwords.
mod credentials;
/// `pailou dev` and the commands that it prints.
mod dev;
/// A full disk under the logs.
mod disk;
/// From a path to the route that answers.
mod dispatch;
/// `pailou doctor`.
mod doctor;
/// Route documents: bad, blank, deleted, restored, several.
mod documents;
/// The shape of error bodies.
mod error_bodies;
/// Each error's status and body.
mod errors;
/// `pailou explain`.
mod explain;
/// Where one message ends and the next begins.
mod framing;
/// gRPC through the binary.
mod grpc;
/// Active checks of endpoints.
mod health_checks;
/// Hedged tries.
mod hedging;
/// Endpoints that a restarted registry does not list yet.
mod hold;
/// `pailou import`.
mod import;
/// Instances that come, go, expire and die.
mod instances;
/// Tokens, and the keys that they are verified with.
mod jwt;
/// The log, line by line.
mod logs;
/// What is held in memory, and given back.
mod memory;
/// What a scraper and a board find at `/metrics`.
mod metrics;
/// Copies of requests.
mod mirror;
/// The monitoring API.
mod monitoring;
/// `pailou nacos`.
mod nacos_cli;
/// Nacos gone, restarted and healed.
mod nacos_outage;
/// More than one Nacos.
mod other_nacos;
/// Instances that do worse than the others.
mod outliers;
/// More requests than can be served well.
mod overload;
/// HTTP/1.1 itself: bodies, limits, upgrades, forwarded headers.
mod protocol;
/// PROXY headers of balancers on layer 4.
mod proxy_protocol;
/// Each document of `docs/recipes`.
mod recipes;
/// Limits that are counted in Redis.
mod redis;
/// Redis killed, stopped, slow, locked and restarted.
mod redis_failures;
/// Redis over TLS, behind Sentinels, as a cluster.
mod redis_modes;
/// `pailou registry`.
mod registry;
/// Bugs that were fixed, each with its story.
mod regression;
/// Live reloads under load.
mod reload;
/// What a route has tried again.
mod retries;
/// The samples of `examples/` behind the gateway.
mod samples;
/// Sentinel's flow rules.
mod sentinel;
/// What Sentinel's own adapter answered.
mod sentinel_oracle;
/// Which instances a route means.
mod services;
/// SIGTERM and SIGINT.
mod shutdown;
/// SIGHUP, SIGUSR1 and those that must not end it.
mod signals;
/// The snapshot on disk: starting while Nacos is down.
mod snapshot;
/// Starting: settings, environment, ports.
mod startup;
/// Routes that go to a URL instead of a service.
mod static_targets;
/// The steps of a route, in their order.
mod steps;
mod sticky;
/// Odd spellings of targets.
mod targets;
/// TLS on clients' connections.
mod tls;
/// Client certificates, and sessions that are resumed.
mod tls_clients;
/// Handshakes that are slow or never come.
mod tls_opening;
/// Certificate files that change.
mod tls_reload;
/// TLS to Nacos.
mod tls_to_nacos;
/// Nacos over HTTP, where its gRPC port cannot be reached.
mod transports;
/// TLS to endpoints.
mod upstream_tls;
/// WebSockets, and how they end with the gateway.
mod websockets;
/// Filters that refuse: by address, by origin, by who the client is.
mod who_may_in;

#[test]
fn every_file_is_a_module() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e");
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).expect("the folder of the cases") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("a name");
        let module = name.trim_end_matches(".rs");
        if module != "main" {
            assert!(
                listed.contains(&format!("mod {module};")),
                "tests/e2e/{name} is not in the list of main.rs"
            );
        }
    }
}
