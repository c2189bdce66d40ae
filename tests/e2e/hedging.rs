//! Hedged tries: another endpoint is asked too while one takes its time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_status};

/// How long the slow one takes. A request that waits for it is seen even on a busy machine.
const SLOW: Duration = Duration::from_secs(4);

const ROUTES: &str = "
routes:
  /hedged/**: { service: user-service, retries: { hedge: { after: 200ms } } }
  /hedged-h2/**: { service: { name: user-service, protocol: h2c }, retries: { hedge: { after: 200ms } } }
  /hedged-post/**: { service: user-service, retries: { methods: [POST], hedge: { after: 200ms } } }
  /plain/**: user-service
";

/// A fast and a slow instance.
struct Pair {
    _world: World,
    slow: Upstream,
    fast: Upstream,
    _registered: Vec<Registered>,
    gateway: Gateway,
}

async fn pair(more: &str) -> Pair {
    let world = World::new().await;
    let (slow, fast) = (Upstream::slow("slow", SLOW), Upstream::start("fast"));
    let mut registered = Vec::new();
    for upstream in [&slow, &fast] {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world.publish(ROUTES).await;
    let settings = match more.contains("retry:") {
        true => more.to_owned(),
        false => format!("retry: {{ tries_header: x-tries }}\n{more}"),
    };
    let gateway = world.gateway_with(&settings).await.ready().await;
    gateway
        .admin_until("both", "/api/v1/services/user-service", |view| {
            view["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == 2)
        })
        .await;
    Pair {
        _world: world,
        slow,
        fast,
        _registered: registered,
        gateway,
    }
}

struct Answer {
    instance: String,
    tries: String,
    text: String,
    took: Duration,
}

async fn ask(gateway: &Gateway, method: Method, path: &str) -> Answer {
    let began = Instant::now();
    let mut asked = Client::new().request(method.clone(), gateway.url(path));
    if method == Method::POST {
        asked = asked.body("hello");
    }
    let answer = asked.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{method} {path}");
    let header = |name| match answer.headers().get(name) {
        Some(value) => value.to_str().expect("ASCII").to_owned(),
        None => String::new(),
    };
    let (instance, tries) = (header("x-instance"), header("x-tries"));
    let text = answer.text().await.expect("a body");
    Answer {
        instance,
        tries,
        text,
        took: began.elapsed(),
    }
}

async fn hedges(gateway: &Gateway, outcome: &str) -> u64 {
    let name = format!("pailou_hedged_tries_total{{outcome=\"{outcome}\"}}");
    gateway.value(&name).await
}

async fn overtaken(gateway: &Gateway) -> u64 {
    gateway
        .value("pailou_failed_tries_total{reason=\"overtaken\"}")
        .await
}

/// Asks until the slow instance was asked first so many times. Each answer must be the fast one's.
async fn ask_slow_ones(pair: &Pair, method: Method, path: &str, count: usize) -> Vec<Answer> {
    let mut hedged = Vec::new();
    while hedged.len() < count {
        let answer = ask(&pair.gateway, method.clone(), path).await;
        assert_eq!(answer.instance, "fast", "{}", answer.tries);
        assert!(answer.took < SLOW, "{:?}", answer.took);
        if answer.tries.contains("overtaken") {
            assert!(answer.took >= Duration::from_millis(200));
            hedged.push(answer);
        }
    }
    hedged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_is_overtaken_by_another_and_not_blamed() {
    let pair = pair("").await;
    let (slow, fast) = (pair.slow.address(), pair.fast.address());
    for path in ["/hedged/1", "/hedged-h2/1"] {
        let (won, lost) = (
            hedges(&pair.gateway, "won").await,
            overtaken(&pair.gateway).await,
        );
        for answer in ask_slow_ones(&pair, Method::GET, path, 3).await {
            assert!(
                answer.tries.starts_with(&format!("{slow} overtaken ")),
                "{}",
                answer.tries
            );
            assert!(
                answer.tries.contains(&format!(", {fast} 200 ")),
                "{}",
                answer.tries
            );
        }
        // What is given up is cancelled: its service need not work on it.
        let began = Instant::now();
        until("the slow one to be left alone", async || {
            (pair.slow.active() == 0).then_some(())
        })
        .await;
        assert!(began.elapsed() < SLOW / 2, "{path}: {:?}", began.elapsed());
        until("the hedges to be counted", async || {
            let counted = (
                hedges(&pair.gateway, "won").await,
                overtaken(&pair.gateway).await,
            );
            (counted == (won + 3, lost + 3)).then_some(())
        })
        .await;
    }
    let service = pair
        .gateway
        .admin_json("/api/v1/services/user-service")
        .await;
    for endpoint in service["endpoints"].as_array().expect("a list") {
        assert_eq!(endpoint["in"], true, "{service}");
        assert_eq!(endpoint["in_flight"], 0, "{service}");
    }
    let line = pair
        .gateway
        .logged(&["pailou.failed_tries", "overtaken"])
        .await;
    assert!(line.contains("\"pailou.tries\":2"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_may_not_run_twice_is_not_hedged() {
    let pair = pair("").await;
    let mut instances = Vec::new();
    for _ in 0..2 {
        let answer = ask(&pair.gateway, Method::POST, "/hedged/1").await;
        assert!(!answer.tries.contains("overtaken"), "{}", answer.tries);
        instances.push(answer.instance);
    }
    instances.sort_unstable();
    assert_eq!(instances, ["fast", "slow"]);
    for outcome in ["won", "lost", "failed"] {
        assert_eq!(hedges(&pair.gateway, outcome).await, 0, "{outcome}");
    }
    // Where the route says that it may, the body is sent to both.
    for answer in ask_slow_ones(&pair, Method::POST, "/hedged-post/echo", 2).await {
        assert_eq!(answer.text, "hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_budget_or_another_endpoint_there_is_no_hedge() {
    let pair = pair("retry: { budget_percent: 0, min_per_second: 0 }").await;
    let mut instances = Vec::new();
    for _ in 0..2 {
        instances.push(ask(&pair.gateway, Method::GET, "/hedged/1").await.instance);
    }
    instances.sort_unstable();
    assert_eq!(instances, ["fast", "slow"], "the slow one is waited for");
    drop(pair);

    let world = World::new().await;
    let slow = Upstream::slow("slow", Duration::from_secs(1));
    let _registered = world.register("user-service", slow.address()).await;
    world.publish(ROUTES).await;
    let gateway = world.gateway().await.ready().await;
    assert_eq!(
        ask(&gateway, Method::GET, "/hedged/1").await.instance,
        "slow"
    );
    assert_eq!(slow.served(), 1);
    assert_eq!(
        hedges(&gateway, "won").await + hedges(&gateway, "lost").await,
        0
    );
}

/// Takes requests and ends the connection after a while, or never.
async fn poor(after: Option<Duration>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                match after {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_tries_fail_the_error_is_the_usual_one() {
    for (after, expected, cause) in [
        (Some(Duration::from_millis(600)), 502, "upstream_reset"),
        (None, 504, "response_timeout"),
    ] {
        let world = World::new().await;
        let mut registered = Vec::new();
        for address in [poor(after).await, poor(after).await] {
            registered.push(world.register("user-service", address).await);
        }
        world
            .publish(
                "routes: { /hedged/**: { service: user-service, timeout: 2s, retries: { count: 1, hedge: { after: 100ms } } } }",
            )
            .await;
        let settings = "retry: { tries_header: x-tries }";
        let gateway = world.gateway_with(settings).await.ready().await;
        gateway
            .admin_until("both", "/api/v1/services/user-service", |view| {
                view["endpoints"]
                    .as_array()
                    .is_some_and(|all| all.len() == 2)
            })
            .await;
        let answer = reqwest::get(gateway.url("/hedged/1"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), expected);
        let tries = answer.headers()["x-tries"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        assert_eq!(tries.matches(cause).count(), 2, "{tries}");
        let problem = answer.text().await.expect("a body");
        assert!(problem.contains(&format!("\"{cause}\"")), "{problem}");
    }
}

/// A status that the route tries again does not win while another try is under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_answer_does_not_count_while_another_try_is_under_way() {
    let world = World::new().await;
    let late = Upstream::slow("late", Duration::from_secs(2));
    let busy = axum::Router::new().fallback(async || axum::http::StatusCode::SERVICE_UNAVAILABLE);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, busy).await });
    let _late = world.register("user-service", late.address()).await;
    let _busy = world.register("user-service", address).await;
    world
        .publish(
            "routes: { /hedged/**: { service: user-service, retries: { statuses: 503, hedge: { after: 100ms } } } }",
        )
        .await;
    let gateway = world
        .gateway_with("retry: { tries_header: x-tries }")
        .await
        .ready()
        .await;
    until_status(&gateway.url("/hedged/1"), 200).await;
    for _ in 0..4 {
        let answer = ask(&gateway, Method::GET, "/hedged/1").await;
        assert_eq!(answer.instance, "late", "{}", answer.tries);
        assert!(
            answer.tries.contains(&format!("{address} 503 ")),
            "{}",
            answer.tries
        );
    }
    until("a hedge that failed", async || {
        (hedges(&gateway, "failed").await > 0).then_some(())
    })
    .await;
}
