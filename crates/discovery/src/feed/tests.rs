use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use pailou_nacos::Instance;
use pailou_upstream::{EjectionSettings, EndpointView, ServiceId, Services};

use super::*;
use crate::claims::Claims;
use crate::resolve::Answer;
use crate::snapshot::AT_ONCE;

/// Answers every name with the addresses that the test sets.
#[derive(Default)]
struct Fixed(Mutex<Option<Vec<IpAddr>>>);

impl Lookup for Fixed {
    fn lookup(&self, _host: Arc<str>) -> Answer {
        let answer = self.0.lock().expect("not poisoned").clone();
        Box::pin(async move {
            match answer {
                Some(addresses) => Ok(addresses),
                None => std::future::pending().await,
            }
        })
    }
}

struct Bench {
    feed: Feed,
    service: Arc<Service>,
    names: Arc<Fixed>,
}

impl Bench {
    fn new() -> Bench {
        let metrics = Metrics::new();
        let services = Services::new(EjectionSettings::default(), metrics.clone());
        let service = services.service(&ServiceId::new("", "DEFAULT_GROUP", "orders"));
        let names = Arc::new(Fixed::default());
        let context = FeedContext {
            admission: Arc::new(Admission::new(Vec::new(), false, Vec::new())),
            lookup: Arc::clone(&names) as Arc<dyn Lookup>,
            dns_refresh: Duration::from_secs(30),
            metrics,
            snapshot: None,
        };
        let status = Arc::default();
        let mut feed = Feed::new(
            context,
            Arc::clone(&service),
            Duration::from_secs(30),
            status,
            Arc::<Claims>::default().claimant(),
            None,
        );
        feed.connection = connection(1);
        Bench {
            feed,
            service,
            names,
        }
    }

    fn listed(&mut self, epoch: u64, instances: impl IntoIterator<Item = Instance>) {
        self.feed.listed(Arc::new(ServiceState {
            instances: instances.into_iter().collect(),
            protected: false,
            origin: Origin::Push,
            epoch,
            received: Instant::now(),
        }));
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        self.service.view().endpoints
    }

    fn addresses(&self) -> Vec<String> {
        let endpoints = self.endpoints();
        endpoints
            .iter()
            .map(|endpoint| endpoint.address.to_string())
            .collect()
    }

    fn refused(&self) -> Vec<(String, &'static str)> {
        let refused = self.feed.status().refused.clone();
        refused
            .into_iter()
            .map(|refused| (refused.address, refused.reason))
            .collect()
    }
}

fn connection(epoch: u64) -> ConnectionState {
    ConnectionState {
        connected: true,
        epoch,
        ..ConnectionState::default()
    }
}

#[tokio::test(start_paused = true)]
async fn instances_become_endpoints_or_are_refused_with_a_reason() {
    let mut bench = Bench::new();
    bench.listed(
        1,
        [
            Instance::new("10.0.0.1", 80),
            Instance::new("::ffff:10.0.0.2", 80),
            Instance::new("[2001:db8::1]", 80),
            Instance::new("127.0.0.1", 80),
            Instance::new("169.254.169.254", 80),
            Instance::new("10.0.0.9", 0),
            Instance::new("10.0.0.256", 80),
            Instance::new("fe80::1%eth0", 80),
        ],
    );
    assert_eq!(
        bench.addresses(),
        ["10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"]
    );
    let refused = [
        ("10.0.0.256:80", "neither an address nor a host name"),
        ("10.0.0.9:0", "port 0"),
        (
            "127.0.0.1:80",
            "loopback address, not allowed by discovery.allow_loopback",
        ),
        ("169.254.169.254:80", "link-local address"),
        ("[fe80::1%eth0]:80", "neither an address nor a host name"),
    ];
    assert_eq!(
        bench.refused(),
        refused.map(|(address, reason)| (address.to_owned(), reason))
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_listed_twice_keeps_both_listings() {
    let mut bench = Bench::new();
    let dead = Instance {
        healthy: false,
        cluster: "OLD".to_owned(),
        ..Instance::new("10.0.0.1", 80)
    };
    bench.listed(1, [dead, Instance::new("10.0.0.1", 80)]);
    let endpoints = bench.endpoints();
    let clusters: Vec<_> = endpoints.iter().map(|row| &*row.cluster).collect();
    assert_eq!(clusters, ["OLD", "DEFAULT"]);
    assert!(bench.refused().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_marks_the_endpoints_stale_and_changes_nothing_else() {
    let mut bench = Bench::new();
    bench.listed(1, [Instance::new("10.0.0.1", 80)]);
    assert!(!bench.service.view().stale);
    bench.feed.connection_is(ConnectionState {
        connected: false,
        ..connection(1)
    });
    assert!(bench.service.view().stale);
    assert_eq!(bench.addresses(), ["10.0.0.1:80"]);
    // A new connection vouches for a service only when it has spoken of it.
    bench.feed.connection_is(connection(2));
    assert!(bench.service.view().stale);
    bench.listed(2, []);
    assert!(!bench.service.view().stale);
    assert_eq!(
        bench.addresses(),
        ["10.0.0.1:80"],
        "held after the reconnect"
    );
    bench.feed.expire();
    assert_eq!(bench.addresses().len(), 1, "the window is not over yet");
    tokio::time::advance(Duration::from_secs(30)).await;
    bench.feed.expire();
    assert!(bench.addresses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_state_waits_for_its_host_names_but_not_for_long() {
    let mut bench = Bench::new();
    let named = Instance {
        weight: 3.0,
        ..Instance::new("orders.local", 80)
    };
    bench.listed(1, [Instance::new("10.0.0.1", 80), named.clone()]);
    assert!(!bench.service.is_known());
    tokio::time::advance(FIRST_LOOKUP).await;
    bench.feed.refresh();
    assert_eq!(bench.addresses(), ["10.0.0.1:80"]);
    assert_eq!(
        bench.refused(),
        [("orders.local:80".to_owned(), "host name is being resolved")]
    );

    let mut bench = Bench::new();
    let addresses = ["10.0.0.8", "10.0.0.9", "127.0.0.1"];
    let addresses = addresses.map(|ip| ip.parse().expect("an IP"));
    *bench.names.0.lock().expect("not poisoned") = Some(addresses.to_vec());
    bench.listed(1, [named]);
    bench.feed.names.changed().await;
    bench.feed.refresh();
    assert_eq!(bench.addresses(), ["10.0.0.8:80", "10.0.0.9:80"]);
    assert_eq!(bench.endpoints()[0].weight, Some(1.0), "a third each");
    assert_eq!(
        bench.refused().len(),
        1,
        "what a name resolves to is admitted like any address"
    );
}

fn restore(ports: &[u16]) -> Restore {
    let endpoint = |port: &u16| EndpointSpec::new(SocketAddr::from(([10, 0, 0, 1], *port)));
    // One that the rules refuse today.
    let denied = EndpointSpec::new(SocketAddr::from(([127, 0, 0, 1], 80)));
    Restore {
        saved: SavedService {
            endpoints: ports.iter().map(endpoint).chain([denied]).collect(),
            health_is_known: true,
        },
        at: Instant::now(),
        at_once_until: Instant::now() + AT_ONCE,
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_nacoss_service_has_the_snapshots_endpoints_and_is_stale() {
    let mut bench = Bench::new();
    bench.feed.connection = ConnectionState::default();
    bench.feed.restore = Some(restore(&[1, 2]));
    assert!(!bench.service.is_known());
    bench.feed.restore();
    assert_eq!(bench.addresses(), ["10.0.0.1:1", "10.0.0.1:2"]);
    assert!(bench.service.view().stale);
    assert!(bench.feed.status().from_snapshot);

    // What was served for so long counts as last good: it is held beside the first answer, whatever that is.
    tokio::time::advance(AT_ONCE).await;
    bench.feed.connection_is(connection(1));
    bench.listed(1, [Instance::new("10.0.0.1", 2)]);
    assert_eq!(bench.addresses(), ["10.0.0.1:1", "10.0.0.1:2"]);
    assert!(!bench.service.view().stale);
    assert!(!bench.feed.status().from_snapshot);
    assert_eq!(bench.feed.status().held, 1);
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_is_served_for_a_moment_and_not_held_against_an_answer_that_comes_soon() {
    let mut bench = Bench::new();
    bench.feed.restore = Some(restore(&[1, 2]));
    bench.feed.restore();
    tokio::time::advance(AT_ONCE / 2).await;
    bench.listed(1, [Instance::new("10.0.0.1", 2)]);
    assert_eq!(bench.addresses(), ["10.0.0.1:2"]);
    assert_eq!(bench.feed.status().held, 0);
    assert!(!bench.feed.status().from_snapshot);

    // An empty one may come from a Nacos that was started together with the gateway.
    let mut bench = Bench::new();
    bench.feed.restore = Some(restore(&[1, 2]));
    bench.feed.restore();
    bench.listed(1, []);
    assert_eq!(bench.addresses(), ["10.0.0.1:1", "10.0.0.1:2"]);
    assert_eq!(bench.feed.status().held, 2);
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_is_believed_over_the_snapshot_unless_it_is_empty() {
    let mut bench = Bench::new();
    bench.feed.restore = Some(restore(&[1, 2]));
    bench.listed(1, [Instance::new("10.0.0.1", 3)]);
    assert_eq!(bench.addresses(), ["10.0.0.1:3"]);
    assert!(bench.feed.restore.is_none());

    // A Nacos that was started together with the gateway knows nothing yet.
    let mut bench = Bench::new();
    bench.feed.restore = Some(restore(&[1, 2]));
    bench.listed(1, []);
    assert_eq!(bench.addresses(), ["10.0.0.1:1", "10.0.0.1:2"]);
    assert_eq!(bench.feed.status().held, 2);
    bench.listed(1, [Instance::new("10.0.0.1", 1)]);
    assert_eq!(bench.feed.status().held, 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    bench.feed.expire();
    assert_eq!(bench.addresses(), ["10.0.0.1:1"]);
}
