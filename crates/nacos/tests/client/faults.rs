//! The client comes through whatever the embedded registry can be told to do. After each fault the client knows what the
//! server knows, and the server knows of the client.

use std::time::Duration;

use pailou_nacos::{Client, ClientOptions, Credentials, Instance};
use pailou_nacos_lite::{Answer, ClockMove, Faults, Options, Registry};
use tokio::{task::JoinSet, time::sleep};

use crate::tcp::{options, quick, registry as start, until_true};

type Order = fn(&Faults);

const FOR_EVER: u32 = u32::MAX;
const HOUR: Duration = Duration::from_secs(3600);

/// What goes wrong. All of it is taken back in the end.
const FAULTS: [(&str, Order); 21] = [
    ("lost pushes", |faults| faults.drop_pushes(true)),
    ("late pushes", |faults| {
        faults.delay_pushes(Duration::from_millis(700));
    }),
    ("pushes that come twice", |faults| {
        faults.duplicate_pushes(true);
    }),
    ("pushes that overtake each other", |faults| {
        faults.reorder_pushes(true);
    }),
    ("subscriptions answered with no hosts", |faults| {
        faults.answer("SubscribeServiceRequest", Answer::Empty, FOR_EVER);
        faults.kill_connections();
    }),
    ("a server that is starting", |faults| {
        faults.answer("ServerCheckRequest", Answer::Error(300), FOR_EVER);
        faults.kill_connections();
    }),
    ("300", |faults| fail_all(faults, 300)),
    ("301", |faults| fail_all(faults, 301)),
    ("403", |faults| fail_all(faults, 403)),
    ("500", |faults| fail_all(faults, 500)),
    ("503", |faults| fail_all(faults, 503)),
    ("garbage for an answer", |faults| {
        answer_all(faults, Answer::Garbage);
    }),
    ("garbage unasked", Faults::send_garbage),
    ("silence", |faults| faults.hang(true)),
    (
        "connections that are half-open",
        Faults::half_open_connections,
    ),
    ("reset streams", Faults::reset_streams),
    ("cut connections", Faults::kill_connections),
    ("refused connections", |faults| {
        faults.refuse_connections(true);
        faults.kill_connections();
    }),
    ("expired tokens", Faults::expire_tokens),
    ("a clock that goes ahead", |faults| {
        faults.move_clock(ClockMove::Ahead(24 * HOUR));
    }),
    ("a clock that goes back", |faults| {
        faults.move_clock(ClockMove::Back(24 * HOUR));
    }),
];

fn fail_all(faults: &Faults, code: i32) {
    answer_all(faults, Answer::Error(code));
}

fn answer_all(faults: &Faults, answer: Answer) {
    for request in [
        "SubscribeServiceRequest",
        "ServiceQueryRequest",
        "ConfigQueryRequest",
        "ConfigBatchListenRequest",
        "InstanceRequest",
        "HealthCheckRequest",
    ] {
        faults.answer(request, answer, FOR_EVER);
    }
}

#[tokio::test]
async fn whatever_the_server_does_the_client_knows_what_is_true_in_the_end() {
    let mut cases = JoinSet::new();
    for (name, fault) in FAULTS {
        cases.spawn(async move {
            let world = World::new(name).await;
            fault(world.registry.faults());
            world.change(2).await;
            sleep(Duration::from_secs(1)).await;
            world.registry.faults().clear();
            world.change(3).await;
            world.assert_agreement().await;
        });
    }
    while let Some(case) = cases.join_next().await {
        case.expect("the case holds");
    }
}

#[tokio::test]
async fn a_server_that_restarts_empty_is_told_of_the_client_again() {
    let world = World::new("a restart without data").await;
    world.registry.faults().restart_empty();
    assert!(world.registry.config("routes").is_none());
    world.change(2).await;
    world.assert_agreement().await;
}

/// A client that watches a service and a config and has registered an instance.
struct World {
    name: &'static str,
    registry: Registry,
    client: Client,
    orders: pailou_nacos::ServiceWatch,
    routes: pailou_nacos::ConfigWatch,
    _registration: pailou_nacos::Registration,
}

impl World {
    async fn new(name: &'static str) -> Self {
        let registry = start(Options {
            auth: Some(("nacos".into(), "nacos".into())),
            push_timeout: Duration::from_millis(500),
            push_retry: Duration::from_millis(100),
            // What a half-open connection has registered goes when the server misses the client.
            detect_after: Duration::from_secs(2),
            detect_timeout: Duration::from_secs(1),
            ..quick()
        })
        .await;
        let client = Client::connect(ClientOptions {
            credentials: Some(Credentials::new("nacos", "nacos")),
            audit_interval: Duration::from_secs(2),
            ..options(&[&registry])
        });
        let (orders, routes) = (
            client.watch_service("orders"),
            client.watch_config("routes"),
        );
        let registration = client
            .register("gateway", Instance::new("10.0.0.9", 80))
            .await
            .expect("the instance is legal");
        let world = Self {
            name,
            registry,
            client,
            orders,
            routes,
            _registration: registration,
        };
        world.change(1).await;
        world.assert_agreement().await;
        world
    }

    /// Two changes of the service, apart enough to be two pushes, and one of the config.
    async fn change(&self, number: u16) {
        for port in [10 * number, 10 * number + 1] {
            let instance = pailou_nacos_lite::Instance::new("10.0.0.1", port);
            self.registry.put_instance("orders", instance);
            sleep(Duration::from_millis(80)).await;
        }
        self.registry
            .publish_config("routes", &format!("a: {number}"));
    }

    /// Waits until the client's view and Nacos's are one.
    async fn assert_agreement(&self) {
        let (name, registry) = (self.name, &self.registry);
        until_true(&format!("{name}: the service"), || {
            let current = self.orders.current();
            let seen = current.map(|state| state.instances.iter().map(|it| it.port).collect());
            let mut there: Vec<u16> = registry
                .instances("orders")
                .iter()
                .map(|it| it.port)
                .collect();
            there.sort_unstable();
            seen.map(|mut seen: Vec<u16>| {
                seen.sort_unstable();
                seen
            }) == Some(there)
        })
        .await;
        until_true(&format!("{name}: the config"), || {
            let state = self.routes.current();
            let seen = state.as_ref().and_then(|state| state.config());
            seen.map(|config| config.content.to_string()) == registry.config("routes")
        })
        .await;
        until_true(&format!("{name}: its own instance"), || {
            self.client.state().connection.connected && registry.instances("gateway").len() == 1
        })
        .await;
    }
}
