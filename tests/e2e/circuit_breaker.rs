//! Circuit breakers as documents set them: with Resilience4j's keys, and natively.

use crate::support::gateway::Gateway;
use crate::support::world::{World, until_status};

/// The routes and the breakers of an application, as it keeps them in one document.
const APPLICATION: &str = "
spring:
  cloud:
    circuitbreaker.resilience4j.disable-time-limiter-map.free: true
    gateway.routes:
    - { id: slow, uri: 'lb://user-service', predicates: [ Path=/slow/** ], filters: [ { name: CircuitBreaker, args: { name: slow, fallbackUri: 'forward:/instead' } } ] }
    - { id: timed, uri: 'lb://user-service', predicates: [ Path=/timed/** ], filters: [ { name: CircuitBreaker, args: { name: timed, statusCodes: 500 } } ] }
    - { id: around, uri: 'http://127.0.0.1:1', predicates: [ Path=/around ], filters: [ CircuitBreaker=around, Retry=2 ] }
    - { id: behind, uri: 'http://127.0.0.1:1', predicates: [ Path=/behind ], filters: [ Retry=2, CircuitBreaker=behind ] }
    - { id: limited, uri: 'lb://user-service', predicates: [ Path=/limited/** ], filters: [ CircuitBreaker=limited ] }
    - { id: free, uri: 'lb://user-service', predicates: [ Path=/free/** ], filters: [ CircuitBreaker=free ] }
    - { id: group, uri: 'lb://user-service', predicates: [ Path=/group/** ], filters: [ { name: CircuitBreaker, args: { name: other, statusCodes: 500 } } ] }
    - { id: instead, uri: 'lb://user-service', predicates: [ Path=/instead ] }
resilience4j:
  circuitbreaker:
    configs: { default: { registerHealthIndicator: true, slidingWindowSize: 10, minimumNumberOfCalls: 2, waitDurationInOpenState: 60s } }
    instances:
      slow: { slowCallDurationThreshold: 50ms, slowCallRateThreshold: 60 }
      timed: { slidingWindowType: TIME_BASED, slidingWindowSize: 60 }
      group: { minimumNumberOfCalls: 3 }
  timelimiter.instances: { limited: { timeoutDuration: 200ms }, free: { timeoutDuration: 200ms } }
";

/// Status and body.
async fn ask(gateway: &Gateway, path: &str) -> (u16, String) {
    let answer = reqwest::get(gateway.url(path)).await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a body"))
}

async fn statuses<const N: usize>(gateway: &Gateway, path: &str) -> [u16; N] {
    let mut statuses = [0; N];
    for status in &mut statuses {
        *status = ask(gateway, path).await.0;
    }
    statuses
}

async fn application() -> (World, Gateway, impl Sized) {
    let (world, upstream, registered, gateway) = World::small().await;
    world.publish(APPLICATION).await;
    until_status(&gateway.url("/instead"), 200).await;
    (world, gateway, (upstream, registered))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_calls_open_a_breaker_and_its_fallback_answers() {
    let (_world, gateway, _parts) = application().await;
    let statuses = statuses::<2>(&gateway, "/slow/slow/300").await;
    assert_eq!(statuses, [200, 200], "slow is not wrong");
    let (status, body) = ask(&gateway, "/slow/slow/300").await;
    assert_eq!(status, 200);
    assert!(body.ends_with("GET /instead"), "{body}");
    gateway
        .logged(&["a circuit breaker opened", "slow_calls"])
        .await;
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("pailou_breaker_open{breaker=\"slow\"} 1"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_those_of_the_instance_of_its_route_and_of_all() {
    let (_world, gateway, _parts) = application().await;
    assert_eq!(
        statuses(&gateway, "/timed/status/500").await,
        [500, 500, 503]
    );
    // The breaker's name has no settings, its route has.
    assert_eq!(
        statuses(&gateway, "/group/status/500").await,
        [500, 500, 500, 503]
    );
    let (status, body) = ask(&gateway, "/limited/slow/3000").await;
    assert_eq!(status, 504);
    assert!(body.contains("circuit_timeout"), "{body}");
    assert_eq!(statuses(&gateway, "/free/slow/600").await, [200]);
}

/// `Retry=2` tries a dead endpoint three times. A breaker behind it counts each try, and has seen enough after two.
#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_behind_a_retry_counts_tries_and_one_in_front_of_it_requests() {
    let (_world, gateway, _parts) = application().await;
    assert_eq!(statuses(&gateway, "/behind").await, [503, 503]);
    assert_eq!(statuses(&gateway, "/around").await, [502, 502, 503]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_route_has_one_too() {
    let (world, upstream, _registered, gateway) = World::small().await;
    world
        .publish(
            "
routes:
  plain: { path: /plain/**, service: user-service, filters: [ circuit_breaker: { window: 1m, minimum_calls: 2, statuses: [ 500 ] } ] }
  saved: { path: /saved/**, service: user-service, filters: [ circuit_breaker: { window: 2, minimum_calls: 2, statuses: [ 500 ], fallback: /instead } ] }
  instead: { path: /instead, filters: [ respond: { body: instead } ] }
",
        )
        .await;
    until_status(&gateway.url("/instead"), 200).await;
    assert_eq!(
        statuses(&gateway, "/plain/status/500").await,
        [500, 500, 503]
    );
    let before = upstream.served();
    for _ in 0..4 {
        let answer = ask(&gateway, "/saved/status/500").await;
        assert_eq!(answer, (200, "instead".to_owned()));
    }
    assert_eq!(
        upstream.served() - before,
        2,
        "two were asked, two were not"
    );
}
