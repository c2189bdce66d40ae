//! One suite of behaviours over every pair of protocols: {HTTP/1.1, the same over TLS, HTTP/2, h2c} with clients ×
//! the same four with endpoints. A failure names the pair and the behaviour; the suite goes on to the others first.

mod behaviours;
mod client;
mod endpoint;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use pailou_upstream::{EndpointSet, EndpointSpec, Http, Transport};
use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::upstream_tls::front::{Authority, Front};
use behaviours::BEHAVIOURS;
use client::{Client, Roots};
use endpoint::Endpoint;

/// What the client says that it wants, and what the endpoints' certificate is for.
const NAME: &str = "gateway.test";

const ROUTES: &str = "
routes:
  slow: { path: /slow/**, service: users, timeout: 300ms }
  any: { path: /**, service: users }";

const PROTOCOLS: [Transport; 4] = [
    of(false, Http::Http1),
    of(true, Http::Http1),
    of(true, Http::Http2),
    of(false, Http::Http2),
];

const fn of(tls: bool, http: Http) -> Transport {
    Transport { tls, http }
}

/// A client's protocol and an endpoint's, with the gateway between them.
struct Pair<'a> {
    client: Transport,
    endpoint: Transport,
    gateway: &'a Gateway,
    /// What the endpoint does, and sees.
    seen: &'a Endpoint,
    roots: &'a Roots,
}

impl Pair<'_> {
    /// A new connection of the client's.
    async fn connect(&self) -> Client {
        let listener = usize::from(self.client.tls);
        let address = self.gateway.serving.local_addrs()[listener];
        Client::connect(address, self.client, self.roots).await
    }
}

/// A gateway that speaks TLS on its second listener, before one endpoint.
async fn gateway(
    authority: &Authority,
    endpoint: Transport,
    seen: &Endpoint,
) -> (Gateway, Option<Front>) {
    let identity = authority.identity(NAME);
    let settings = format!(
        "listeners:\n  - {{ address: '127.0.0.1:0' }}\n  - {{ address: '127.0.0.1:0', tls: {{ certificates: \
         {{ cert: {}, key: {} }} }} }}\nupstream_tls: {{ ca_file: {}, server_name: {NAME} }}\n",
        identity.cert_file.display(),
        identity.key_file.display(),
        authority.ca_file().display(),
    );
    let gateway = Gateway::of_file(&settings, ROUTES).await;
    let front = match endpoint.tls {
        true => Some(Front::start(seen.address, &identity, None).await),
        false => None,
    };
    let address = front.as_ref().map_or(seen.address, |front| front.address);
    gateway
        .service("users")
        .update(EndpointSet::of([EndpointSpec {
            transport: endpoint,
            ..EndpointSpec::new(address)
        }]));
    (gateway, front)
}

/// Runs every behaviour for every client of these endpoints.
async fn run(endpoint: Transport) {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let roots = Roots::of(&authority.ca_file());
    let seen = Endpoint::start(endpoint.http).await;
    let (gateway, _front) = gateway(&authority, endpoint, &seen).await;
    let mut failures = Vec::new();
    for client in PROTOCOLS {
        let (gateway, seen, roots) = (&gateway, &seen, &roots);
        let pair = Pair {
            client,
            endpoint,
            gateway,
            seen,
            roots,
        };
        for (name, behaviour) in BEHAVIOURS {
            let behaving = AssertUnwindSafe(behaviour(&pair)).catch_unwind();
            let failure = match tokio::time::timeout(Duration::from_secs(20), behaving).await {
                Ok(Ok(())) => continue,
                Ok(Err(panic)) => text_of(&*panic),
                Err(_) => "it takes for ever".to_owned(),
            };
            failures.push(format!("{client} to {endpoint}: {name}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_http1() {
    run(PROTOCOLS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_http1_over_tls() {
    run(PROTOCOLS[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_http2_over_tls() {
    run(PROTOCOLS[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_http2() {
    run(PROTOCOLS[3]).await;
}
