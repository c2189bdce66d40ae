//! Limits that are counted in Redis, by several gateways and beside Spring Cloud Gateway.

use std::time::Instant;

use redis::aio::MultiplexedConnection;

use crate::support::gateway::Gateway;
use crate::support::redis::{Redis, until_up};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_status};

/// What Spring Cloud Gateway runs for each request.
const SPRING: &str = include_str!("support/scg_request_rate_limiter.lua");

/// Routes of the native form, each with a limit of its own.
const LIMITED: &str = "
routes:
  /few/**:
    service: user-service
    filters: [ { rate_limit: { key: 'header:x-key', requests: 9, per: 1h, store: redis } } ]
  /many/**:
    service: user-service
    filters: [ { rate_limit: { key: route, requests: 10000, per: 1h, store: redis } } ]
  /one/**:
    service: user-service
    filters: [ { rate_limit: { key: client_address, requests: 4, per: 1h, store: redis, name: shop } } ]
  /other/**:
    service: user-service
    filters: [ { rate_limit: { key: client_address, requests: 4, per: 1h, store: redis, name: shop } } ]
  /free/**: user-service
";

/// A service and so many gateways that count in one Redis.
async fn gateways<const N: usize>(
    redis: &Redis,
    document: &str,
    more: &str,
) -> (World, Upstream, Registered, [Gateway; N]) {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let registered = world.register("user-service", upstream.address()).await;
    world.publish(document).await;
    let settings = format!(
        "redis: {{ servers: ['{}'], timeout: 2s }}\n{more}",
        redis.address()
    );
    let mut gateways = Vec::new();
    for _ in 0..N {
        let gateway = world.gateway_with(&settings).await.ready().await;
        until_up(&gateway, true).await;
        gateways.push(gateway);
    }
    let gateways = gateways.try_into().ok().expect("as many as were started");
    (world, upstream, registered, gateways)
}

async fn status(gateway: &Gateway, path: &str, key: &str) -> u16 {
    let asked = reqwest::Client::new().get(gateway.url(path));
    let answer = asked.header("x-key", key).send().await;
    answer.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_count_together_and_to_the_last_request() {
    let redis = Redis::start().await;
    let (_world, _upstream, _registered, gateways) = gateways::<2>(&redis, LIMITED, "").await;
    for gateway in &gateways {
        until_status(&gateway.url("/free/1"), 200).await;
    }
    let mut passed = 0;
    for at in 0..16 {
        let status = status(&gateways[at % 2], "/few/1", "a").await;
        assert!(status == 200 || status == 429, "{status}");
        passed += usize::from(status == 200);
    }
    assert_eq!(passed, 9);
    assert_eq!(status(&gateways[0], "/few/1", "b").await, 200);
    // Routes that give it one name count together.
    for (at, expected) in [200, 200, 200, 200, 429, 429].into_iter().enumerate() {
        let path = ["/one/1", "/other/1"][at % 2];
        assert_eq!(status(&gateways[at % 2], path, "").await, expected, "{at}");
    }
    let answer = reqwest::get(gateways[1].url("/one/1")).await;
    let answer = answer.expect("an answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("ratelimit-policy"), "\"route\";q=4;w=3600");
    assert!(header("ratelimit").starts_with("\"route\";r=0;t="));
    assert!(header("retry-after").parse::<u64>().expect("seconds") > 600);
    // What a client sends does not stand in Redis.
    let keys: Vec<String> = redis.ask(&["KEYS", "pailou:rate_limit:*"]).await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    until("both gateways to be known", async || {
        let gateways: u64 = redis.ask(&["ZCARD", "pailou:gateways"]).await;
        (gateways == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_does_not_cost_a_question_for_each_request() {
    let redis = Redis::start().await;
    let (_world, _upstream, _registered, [gateway]) = gateways(&redis, LIMITED, "").await;
    until_status(&gateway.url("/many/1"), 200).await;
    let began = Instant::now();
    let client = reqwest::Client::new();
    for _ in 0..400 {
        let answer = client.get(gateway.url("/many/1")).send().await;
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    let asked = answered(&gateway).await;
    // A lease doubles with each that is used up within its second.
    let most = 20 + 20 * began.elapsed().as_secs();
    assert!(asked <= most, "{asked} questions for 400 requests");
}

async fn answered(gateway: &Gateway) -> u64 {
    gateway
        .value("pailou_redis_requests_total{outcome=\"answered\"}")
        .await
}

/// A bucket of Spring's, as one of its gateways sees it.
struct Spring {
    connection: MultiplexedConnection,
    keys: [String; 2],
    /// Rate, capacity, tokens of a request.
    numbers: [i64; 3],
}

impl Spring {
    async fn of(redis: &Redis, id: &str, numbers: [i64; 3]) -> Spring {
        let key = |what: &str| format!("request_rate_limiter.{{{id}}}.{what}");
        Spring {
            connection: redis.connection().await,
            keys: [key("tokens"), key("timestamp")],
            numbers,
        }
    }

    /// What its script says of a request: whether it may pass, and the tokens that are left.
    async fn take(&mut self) -> (bool, i64) {
        let [rate, capacity, requested] = self.numbers;
        let script = redis::Script::new(SPRING);
        let mut asked = script.prepare_invoke();
        asked
            .key(&self.keys)
            .arg(rate)
            .arg(capacity)
            .arg("")
            .arg(requested);
        let answered = asked.invoke_async(&mut self.connection).await;
        let (allowed, left): (i64, i64) = answered.expect("an answer of the script");
        (allowed == 1, left)
    }
}

fn spring_route(rate: u32, capacity: u32, requested: u32) -> String {
    format!(
        "
spring:
  cloud:
    gateway:
      routes:
        - id: limited
          uri: lb://user-service
          predicates: [ \"Path=/scg/**\" ]
          filters:
            - name: RequestRateLimiter
              args:
                redis-rate-limiter.replenishRate: {rate}
                redis-rate-limiter.burstCapacity: {capacity}
                redis-rate-limiter.requestedTokens: {requested}
                key-resolver: '#{{@ipKeyResolver}}'
"
    )
}

const BEANS: &str = "scg: { beans: { ipKeyResolver: client_address } }\n";

/// Whether a request passes, and the tokens that are left of its bucket.
async fn take(gateway: &Gateway) -> (bool, i64) {
    let answer = reqwest::get(gateway.url("/scg/1")).await;
    let answer = answer.expect("an answer");
    let left = answer.headers()["x-ratelimit-remaining"].to_str();
    let left = left.expect("text").parse().expect("a number");
    (answer.status() == 200, left)
}

/// A company moves: its old gateways and the new one let through together what one of them would.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_gateway_and_a_new_one_share_a_bucket() {
    let redis = Redis::start().await;
    let document = spring_route(1, 400, 100);
    let (_world, _upstream, _registered, [gateway]) = gateways(&redis, &document, BEANS).await;
    let route = async || {
        let answer = reqwest::get(gateway.url("/scg/1")).await.ok()?;
        (answer.status() != 404).then_some(())
    };
    until("the route", route).await;
    let _: () = redis.ask(&["FLUSHALL"]).await;
    let began = Instant::now();
    let mut spring = Spring::of(&redis, "limited.127.0.0.1", [1, 400, 100]).await;
    let mut passed = Vec::new();
    for turn in 0..6 {
        let (is_allowed, left) = match turn % 2 {
            0 => spring.take().await,
            _ => take(&gateway).await,
        };
        passed.push(is_allowed);
        let taken = passed.iter().filter(|is_allowed| **is_allowed).count() as i64;
        // A token comes back each second.
        let came_back = began.elapsed().as_secs() as i64 + 1;
        let expected = 400 - 100 * taken;
        assert!(
            (expected..=expected + came_back).contains(&left),
            "{turn}: {left} are left after {taken}"
        );
    }
    assert_eq!(passed, [true, true, true, true, false, false]);
    let life: i64 = redis
        .ask(&["TTL", "request_rate_limiter.{limited.127.0.0.1}.tokens"])
        .await;
    assert!((1..=800).contains(&life), "{life}");
}

/// The same requests at two buckets, one for each algorithm.
#[tokio::test(flavor = "multi_thread")]
async fn both_algorithms_say_the_same() {
    for (rate, capacity, requested) in [(1, 3, 1), (2, 100, 30), (1, 5, 6), (50, 7, 7)] {
        let redis = Redis::start().await;
        let document = spring_route(rate, capacity, requested);
        let (_world, _upstream, _registered, [gateway]) = gateways(&redis, &document, BEANS).await;
        until("the route", async || {
            let answer = reqwest::get(gateway.url("/scg/1")).await.ok()?;
            (answer.status() != 404).then_some(())
        })
        .await;
        let _: () = redis.ask(&["FLUSHALL"]).await;
        let numbers = [rate, capacity, requested].map(i64::from);
        let mut spring = Spring::of(&redis, "other", numbers).await;
        let mut differences = Vec::new();
        for at in 0..6 {
            let began = Instant::now();
            let (theirs, ours) = (spring.take().await, take(&gateway).await);
            // Between the two a second may begin, and tokens come.
            let came = i64::from(rate) * (began.elapsed().as_secs() as i64 + 1);
            let is_near = (theirs.1 - ours.1).abs() <= came + i64::from(requested);
            assert!(is_near, "{numbers:?} {at}: {theirs:?} {ours:?}");
            if theirs != ours {
                differences.push((at, theirs, ours));
            }
        }
        // In most rounds none does.
        assert!(differences.len() <= 3, "{numbers:?}: {differences:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_gateways_have_one_bucket_for_all_routes() {
    let redis = Redis::start().await;
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    world.publish(&spring_route(1, 200, 100)).await;
    let settings = format!(
        "redis: {{ servers: ['{}'], timeout: 2s, scg_keys: key }}\n{BEANS}",
        redis.address()
    );
    let gateway = world.gateway_with(&settings).await.ready().await;
    until_up(&gateway, true).await;
    until_status(&gateway.url("/scg/1"), 200).await;
    let mut spring = Spring::of(&redis, "127.0.0.1", [1, 200, 100]).await;
    let (is_allowed, left) = spring.take().await;
    assert!(is_allowed && left < 100, "{left}");
    assert!(!take(&gateway).await.0);
}

/// As in Spring, a limit behind `Retry` counts each try, and one in front of it the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_springs_behind_a_retry_counts_each_try() {
    const LIMIT: &str = "RequestRateLimiter: { key-resolver: host, redis-rate-limiter.replenishRate: 1, \
                         redis-rate-limiter.requestedTokens: 1000, redis-rate-limiter.burstCapacity: 2000 }";
    let redis = Redis::start().await;
    let document = format!(
        "routes:
  behind: {{ path: /behind/**, service: user-service, filters: [ Retry: 5, {LIMIT} ] }}
  front: {{ path: /front/**, service: user-service, filters: [ {LIMIT}, Retry: 5 ] }}
  free: {{ path: /free/**, service: user-service }}
"
    );
    let (_world, upstream, _registered, [gateway]) = gateways(&redis, &document, "").await;
    until_status(&gateway.url("/free/1"), 200).await;
    for (path, expected, tries) in [
        ("/behind/status/503", 429, 2),
        ("/front/status/503", 503, 6),
    ] {
        let before = upstream.served();
        assert_eq!(status(&gateway, path, "").await, expected, "{path}");
        assert_eq!(upstream.served() - before, tries, "{path}");
    }
}
