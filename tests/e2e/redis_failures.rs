//! Redis killed, stopped, slow, locked and restarted: no request hangs, the policy is as stated, and it heals by itself.

use std::time::{Duration, Instant};

use crate::support::gateway::Gateway;
use crate::support::redis::{Redis, until_up};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_status};

/// One route for each policy. Keys are counted exactly: no lease is of more than one request.
const POLICIES: &str = "
routes:
  /local/**:
    service: user-service
    filters: [ { rate_limit: { key: 'header:x-key', requests: 5, per: 1h, store: redis } } ]
  /open/**:
    service: user-service
    filters: [ { rate_limit: { key: 'header:x-key', requests: 5, per: 1h, store: redis, on_failure: open } } ]
  /closed/**:
    service: user-service
    filters: [ { rate_limit: { key: 'header:x-key', requests: 5, per: 1h, store: redis, on_failure: closed } } ]
  /free/**: user-service
";

/// Far beyond what a request may wait, and far below what a client would.
const AT_ONCE: Duration = Duration::from_secs(4);

struct Scene {
    redis: Redis,
    gateway: Gateway,
    client: reqwest::Client,
    _world: (World, Upstream, Registered),
}

impl Scene {
    async fn new() -> Scene {
        let scene = Scene::with(Redis::start().await, "").await;
        until_up(&scene.gateway, true).await;
        scene
    }

    /// A gateway before this Redis, with more settings of it.
    async fn with(redis: Redis, more: &str) -> Scene {
        let world = World::new().await;
        let upstream = Upstream::start("one");
        let registered = world.register("user-service", upstream.address()).await;
        world.publish(POLICIES).await;
        let servers = redis.address();
        let settings = format!("redis: {{ servers: ['{servers}'], timeout: 200ms{more} }}");
        let gateway = world.gateway_with(&settings).await.ready().await;
        until_status(&gateway.url("/free/1"), 200).await;
        Scene {
            redis,
            gateway,
            client: reqwest::Client::new(),
            _world: (world, upstream, registered),
        }
    }

    /// How so many requests of a key are answered, none of which hangs.
    async fn ask(&self, path: &str, key: &str, requests: usize) -> Vec<u16> {
        let mut answers = Vec::new();
        for _ in 0..requests {
            let began = Instant::now();
            let asked = self.client.get(self.gateway.url(path));
            let answer = asked.header("x-key", key).send().await;
            answers.push(answer.expect("an answer").status().as_u16());
            assert!(began.elapsed() < AT_ONCE, "{path}: {:?}", began.elapsed());
        }
        answers
    }

    /// Every policy does what it says, with keys of this name that nobody has used.
    async fn falls_back(&self, key: &str) {
        let local = self.ask("/local/1", key, 7).await;
        assert_eq!(local, [200, 200, 200, 200, 200, 429, 429], "{key}");
        assert_eq!(self.ask("/open/1", key, 7).await, [200; 7], "{key}");
        assert_eq!(self.ask("/closed/1", key, 2).await, [503; 2], "{key}");
        let metrics = self.gateway.metrics().await;
        for (limit, policy) in [
            ("/local/**", "local"),
            ("/open/**", "open"),
            ("/closed/**", "closed"),
        ] {
            let counted = format!(
                "pailou_rate_limit_fallbacks_total{{limit=\"{limit}\",policy=\"{policy}\"}} "
            );
            let mut lines = metrics
                .lines()
                .filter_map(|line| line.strip_prefix(&*counted));
            assert!(lines.any(|count| count != "0"), "{counted}\n{metrics}");
        }
    }

    /// It is counted in Redis again, and all policies are one.
    async fn heals(&self, key: &str) {
        until_up(&self.gateway, true).await;
        for path in ["/local/1", "/open/1", "/closed/1"] {
            // Leases of before and short losses on a busy machine aside, the sixth is refused.
            until(&format!("{path} to be counted again"), async || {
                let answers = self.ask(path, key, 6).await;
                (answers.ends_with(&[429])).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_restarted() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.ask("/closed/1", "a", 6).await[5], 429);
    scene.redis.kill().await;
    until_up(&scene.gateway, false).await;
    scene.falls_back("b").await;
    scene.gateway.logged(&["Redis is lost", "WARN"]).await;
    scene.redis.restart().await;
    scene.heals("c").await;
}

/// A server that is stopped still takes connections, and answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_and_continued() {
    let scene = Scene::new().await;
    scene.redis.signal("-STOP");
    // The first ones wait for their time to be over, and then nobody does.
    scene.falls_back("b").await;
    until_up(&scene.gateway, false).await;
    let began = Instant::now();
    scene.ask("/open/1", "c", 20).await;
    assert!(
        began.elapsed() < AT_ONCE,
        "nobody waits for a Redis that is down: {:?}",
        began.elapsed()
    );
    scene.redis.signal("-CONT");
    scene.heals("d").await;
}

/// All commands wait for some seconds, as behind a slow script or a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn slow_for_a_while() {
    let scene = Scene::new().await;
    let _: () = scene.redis.ask(&["CLIENT", "PAUSE", "5000", "ALL"]).await;
    scene.falls_back("b").await;
    scene.heals("c").await;
    let late = "pailou_redis_requests_total{outcome=\"late\"}";
    assert!(scene.gateway.value(late).await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_and_can_be_put_right_there() {
    let redis = Redis::start_with(&["--requirepass", "right"]).await;
    let scene = Scene::with(redis, ", password: wrong").await;
    scene.falls_back("a").await;
    let line = scene.gateway.logged(&["Redis cannot be asked"]).await;
    assert!(!line.contains("wrong"), "{line}");
    let client = redis::Client::open(format!("redis://:right@{}", scene.redis.address()));
    let client = client.expect("an address");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("let in");
    let set = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "wrong"])
        .query_async(&mut connection)
        .await;
    let () = set.expect("the password is another one");
    scene.heals("b").await;
}

/// With a user that may do no more than limits need, as the documentation has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_few_rights() {
    let redis = Redis::start().await;
    let page = include_str!("../../docs/recipes/limits.md");
    let rights = page
        .lines()
        .find_map(|line| line.trim().strip_prefix("ACL SETUSER gateway on >secret "))
        .expect("the page says which rights are needed");
    let words = ["ACL", "SETUSER", "gateway", "on", ">secret"];
    let words: Vec<_> = words.into_iter().chain(rights.split(' ')).collect();
    let _: () = redis.ask(&words).await;
    let scene = Scene::with(redis, ", username: gateway, password: secret").await;
    scene.heals("a").await;
    assert_eq!(scene.gateway.value("pailou_redis_gateways").await, 1);
    let _: () = scene
        .redis
        .ask(&["ACL", "SETUSER", "gateway", "-hset"])
        .await;
    assert_eq!(scene.ask("/open/1", "b", 7).await, [200; 7]);
    scene
        .gateway
        .logged(&["Redis refuses what limits ask", "WARN"])
        .await;
    let _: () = scene
        .redis
        .ask(&["ACL", "SETUSER", "gateway", "+hset"])
        .await;
    scene.heals("c").await;
}

/// A gateway starts, serves and is ready without its Redis.
#[tokio::test(flavor = "multi_thread")]
async fn not_there_at_the_start() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let mut scene = Scene::with(redis, "").await;
    scene.falls_back("a").await;
    scene.redis.restart().await;
    scene.heals("b").await;
}
