//! Weights and policies, seen in traffic.

use std::collections::HashMap;
use std::time::Duration;

use crate::support::gateway::Gateway;
use crate::support::load::Load;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

async fn shares(gateway: &Gateway, path: &str, requests: u32) -> HashMap<String, f64> {
    let client = reqwest::Client::new();
    let mut counts: HashMap<String, u32> = HashMap::new();
    for _ in 0..requests {
        let response = client
            .get(gateway.url(path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        let name = response.headers()["x-instance"]
            .to_str()
            .expect("text")
            .to_owned();
        *counts.entry(name).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(name, count)| (name, f64::from(count) / f64::from(requests)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_shares_follow_the_weights_within_one_point() {
    let world = World::new().await;
    let upstreams: Vec<_> = ["one", "two", "three", "none"].map(Upstream::start).into();
    let mut registered = Vec::new();
    for (upstream, weight) in upstreams.iter().zip([0.5, 1.0, 1.5, 0.0]) {
        registered.push(
            world
                .register_weighted("weighted", upstream.address(), weight)
                .await,
        );
    }
    world.publish("routes: { /w/**: weighted }").await;
    let gateway = world.gateway().await.ready().await;
    gateway
        .admin_until("four instances", "/api/v1/services/weighted", |view| {
            view["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == 4)
        })
        .await;
    let shares = shares(&gateway, "/w/x", 3000).await;
    for (name, expected) in [("one", 1.0 / 6.0), ("two", 1.0 / 3.0), ("three", 0.5)] {
        let share = shares.get(name).copied().unwrap_or_default();
        assert!(
            (share - expected).abs() <= 0.01,
            "{name} got {share}, expected {expected}: {shares:?}"
        );
    }
    assert!(
        !shares.contains_key("none"),
        "weight 0 gets nothing: {shares:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_an_operator_edits_are_the_shares_from_then_on() {
    let world = World::new().await;
    let upstreams = ["one", "two"].map(Upstream::start);
    let mut registered = Vec::new();
    for upstream in &upstreams {
        registered.push(world.register("weighted", upstream.address()).await);
    }
    world.publish("routes: { /w/**: weighted }").await;
    let gateway = world.gateway().await.ready().await;
    for (weight, share) in [("3", 0.75), ("0.25", 0.2), ("0", 0.0), ("1", 0.5)] {
        world
            .put(
                "weighted",
                upstreams[0].address(),
                &format!("weight={weight}"),
            )
            .await;
        let address = upstreams[0].address().to_string();
        let weight: f64 = weight.parse().expect("a weight");
        gateway
            .admin_until(
                "the weight to arrive",
                "/api/v1/services/weighted",
                |view| {
                    let all = view["endpoints"].as_array().expect("endpoints");
                    all.iter()
                        .any(|one| one["address"] == address && one["weight"] == weight)
                },
            )
            .await;
        let got = shares(&gateway, "/w/x", 600).await;
        let got = got.get("one").copied().unwrap_or_default();
        assert!(
            (got - share).abs() <= 0.01,
            "weight {weight}: {got}, expected {share}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn least_request_sends_less_to_a_slow_instance() {
    let world = World::new().await;
    let (fast, slow) = (
        Upstream::start("fast"),
        Upstream::slow("slow", Duration::from_millis(300)),
    );
    let mut registered = Vec::new();
    for upstream in [&fast, &slow] {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world
        .publish("routes: { /least/**: { service: user-service, balance: least_request } }")
        .await;
    let gateway = world.gateway().await.ready().await;
    until_answered_by(&gateway.url("/least/x"), "slow").await;
    let before = [fast.served(), slow.served()];
    let load = Load::get(&gateway.url("/least/x"), 8);
    load.reached(800).await;
    load.finish().await.assert_clean();
    let served = [fast.served() - before[0], slow.served() - before[1]];
    // In turn it would be one half.
    assert!(served[1] * 5 < served[0], "fast and slow got {served:?}");
    assert!(served[1] > 0, "it is slow, not dead");
}

/// One client at a time: nothing is ever in flight, so that only what was measured tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn peak_ewma_sends_less_to_an_instance_that_answers_late() {
    let world = World::new().await;
    let (fast, late) = (
        Upstream::start("fast"),
        Upstream::slow("late", Duration::from_millis(150)),
    );
    let mut registered = Vec::new();
    for upstream in [&fast, &late] {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world
        .publish("routes: { /peak/**: { service: user-service, balance: peak_ewma } }")
        .await;
    let gateway = world.gateway().await.ready().await;
    // Each is asked once for its time. Whoever was late is left alone for a while, so the order of the two is open.
    let mut known = std::collections::BTreeSet::new();
    until("both to have answered", async || {
        known.extend(shares(&gateway, "/peak/x", 1).await.into_keys());
        (known.len() == 2).then_some(())
    })
    .await;
    let shares = shares(&gateway, "/peak/x", 300).await;
    let late = shares.get("late").copied().unwrap_or_default();
    assert!(late < 0.2, "the late one got {late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_reaches_every_instance() {
    let world = World::new().await;
    let upstreams: Vec<_> = ["one", "two", "three"].map(Upstream::start).into();
    let mut registered = Vec::new();
    for upstream in &upstreams {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world
        .publish(
            "routes:\n  /rr/**: { service: user-service, balance: round_robin }\n  \
             /random/**: { service: user-service, balance: random }\n  \
             /least/**: { service: user-service, balance: least_request }\n  \
             /peak/**: { service: user-service, balance: peak_ewma }\n  \
             /hash/**: { service: user-service, balance: { consistent_hash: { key: 'header:x-user' } } }\n",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    for path in ["/rr/x", "/random/x", "/least/x", "/peak/x", "/hash/x"] {
        for upstream in &upstreams {
            until_answered_by(&gateway.url(path), upstream.name()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_reaches_only_the_instances_with_its_metadata() {
    let world = World::new().await;
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut registered = Vec::new();
    for (upstream, version) in [(&v1, "v1"), (&v2, "v2")] {
        let mut instance = pailou_nacos::Instance::new(
            upstream.address().ip().to_string(),
            upstream.address().port(),
        );
        instance
            .metadata
            .insert("version".to_owned(), version.to_owned());
        registered.push(world.register_instance("user-service", instance).await);
    }
    world
        .publish(
            "routes:\n  /api/**: user-service\n  canary:\n    path: /api/**\n    match: { headers: { x-canary: 'true' } }\n    \
             service: { name: user-service, metadata: { version: v2 } }\n",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    for name in ["v1", "v2"] {
        until_answered_by(&gateway.url("/api/x"), name).await;
    }
    let client = reqwest::Client::new();
    for _ in 0..20 {
        let response = client
            .get(gateway.url("/api/x"))
            .header("x-canary", "true")
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.headers()["x-instance"], "v2");
    }
}

const CANARY: &str = "
routes:
  /grey/**: { service: { name: user-service, canary: { header: x-version, metadata: version, propagate: x-part } }, strip_prefix: 1 }
  /strict/**: { service: { name: user-service, canary: { query: v, metadata: version, fallback: refuse } } }
  /lax/**: { service: { name: user-service, canary: { cookie: v, metadata: version, fallback: any } } }
";

/// Grey release as Nacos shops do it: the version that a request names is an instance's metadata.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_says_which_version_it_wants() {
    let (world, stable, _registered, gateway) = World::small().await;
    let mut versions = Vec::new();
    for version in ["v2", "v3"] {
        let upstream = Upstream::start(version);
        let address = upstream.address();
        let mut instance = pailou_nacos::Instance::new(address.ip().to_string(), address.port());
        instance
            .metadata
            .insert("version".to_owned(), version.to_owned());
        let registered = world.register_instance("user-service", instance).await;
        versions.push((upstream, registered));
    }
    world.publish(CANARY).await;
    until_status(&gateway.url("/strict/x?v=v3"), 200).await;
    let client = reqwest::Client::new();
    let ask = async |path: &str, header: (&str, &str)| {
        let asked = client.get(gateway.url(path)).header(header.0, header.1);
        let answer = asked.send().await.expect("an answer");
        let by = answer.headers().get("x-instance");
        let by = by.map(|name| name.to_str().expect("ASCII").to_owned());
        (answer.status().as_u16(), by.unwrap_or_default())
    };
    until_answered_by(&gateway.url("/strict/x?v=v2"), "v2").await;
    for _ in 0..20 {
        for (path, header, by) in [
            ("/grey/x", ("x-version", "v2"), "v2"),
            ("/grey/x", ("x-version", "v3"), "v3"),
            // Untagged is what everybody else gets, and who names a version that there is not.
            ("/grey/x", ("x-version", "v4"), stable.name()),
            ("/grey/x", ("x-other", "v2"), stable.name()),
            ("/strict/x?v=v3", ("x-other", "1"), "v3"),
            ("/strict/x", ("x-other", "1"), stable.name()),
            ("/lax/x", ("cookie", "v=v2"), "v2"),
        ] {
            let answer = ask(path, header).await;
            assert_eq!(answer, (200, by.to_owned()), "{path} {header:?}");
        }
    }
    assert_eq!(ask("/strict/x?v=v4", ("x-other", "1")).await.0, 503);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..30 {
        seen.insert(ask("/lax/x", ("cookie", "v=v4")).await.1);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");

    // The endpoint is told which part was meant, and nobody else can say it.
    let asked = client
        .get(gateway.url("/grey/headers"))
        .header("x-version", "v2")
        .header("x-part", "forged");
    let told = asked.send().await.expect("an answer").text().await;
    let told = told.expect("a body");
    assert!(
        told.contains("[\"x-part\",\"v2\"]") && !told.contains("forged"),
        "{told}"
    );

    // A version that goes away leaves its requests to the others.
    drop(versions.remove(0));
    until_answered_by_version(&client, &gateway.url("/grey/x"), "v2", stable.name()).await;
}

async fn until_answered_by_version(client: &reqwest::Client, url: &str, version: &str, name: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    loop {
        let answer = client.get(url).header("x-version", version).send().await;
        let answer = answer.expect("an answer");
        if answer
            .headers()
            .get("x-instance")
            .is_some_and(|by| by == name)
        {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Users stay where they are while endpoints come, go and are overloaded.
#[tokio::test(flavor = "multi_thread")]
async fn equal_keys_go_to_the_same_endpoint() {
    let world = World::new().await;
    let mut upstreams: Vec<_> = ["one", "two", "three", "four"].map(Upstream::start).into();
    let mut registered = Vec::new();
    for upstream in &upstreams {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    world
        .publish(
            "routes:\n  /h/**: { service: user-service, balance: { consistent_hash: { key: 'header:x-user' } } }\n  \
             /c/**: { service: user-service, balance: { consistent_hash: { key: 'cookie:user' } } }\n  \
             /q/**: { service: user-service, balance: { consistent_hash: { key: 'query:user' } } }\n  \
             /given/**: { service: user-service, balance: { consistent_hash: { key: 'header:x-given' } }, \
             filters: [ { set_request_header: { name: x-given, value: anna } } ] }\n",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    // Without a key they take turns.
    for upstream in &upstreams {
        until_answered_by(&gateway.url("/h/x"), upstream.name()).await;
    }
    let before = owners(&gateway, 40).await;
    assert!(
        before
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            > 1
    );
    assert_eq!(owners(&gateway, 40).await, before);
    // Wherever it is said, and whoever says it, a key is a key.
    let client = reqwest::Client::new();
    let anna = by(client.get(gateway.url("/h/x")).header("x-user", "anna")).await;
    let cookie = client
        .get(gateway.url("/c/x"))
        .header("cookie", "user=anna");
    assert_eq!(by(cookie).await, anna);
    assert_eq!(by(client.get(gateway.url("/q/x?user=ann%61"))).await, anna);
    let given = client.get(gateway.url("/given/x"));
    assert_eq!(by(given).await, anna);

    // One that dies moves its own keys, and no request fails.
    let dead = upstreams.remove(1);
    dead.kill();
    let after = owners(&gateway, 40).await;
    for (user, owner) in &before {
        assert!(
            owner == "two" || after[user] == *owner,
            "{user} left {owner}"
        );
    }

    // An endpoint that is busy with its key gets no more than its bound.
    let own = upstreams
        .iter()
        .find(|upstream| upstream.name() == after["user-7"]);
    let own = own.expect("its endpoint");
    let load: Vec<_> = (0..30)
        .map(|_| {
            let slow = client
                .get(gateway.url("/h/slow/1500"))
                .header("x-user", "user-7");
            tokio::spawn(slow.send())
        })
        .collect();
    for task in load {
        assert_eq!(
            task.await.expect("a task").expect("an answer").status(),
            200
        );
    }
    let most = own.most_active();
    assert!((8..=14).contains(&most), "{most} of 30 at one of three");
}

/// Who answers each of so many users.
async fn owners(gateway: &Gateway, users: u32) -> HashMap<String, String> {
    let client = reqwest::Client::new();
    let mut owners = HashMap::new();
    for user in (0..users).map(|number| format!("user-{number}")) {
        let asked = client.get(gateway.url("/h/x")).header("x-user", &user);
        owners.insert(user, by(asked).await);
    }
    owners
}

/// Who answers a request.
async fn by(request: reqwest::RequestBuilder) -> String {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let name = answer.headers()["x-instance"].to_str().expect("text");
    name.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_joins_begins_with_a_part_of_its_share() {
    let (world, _one, _registered, gateway) = World::small().await;
    world
        .publish(
            "routes:\n  /late/**: { service: user-service, slow_start: 1h }\n  \
             /soon/**: { service: user-service, slow_start: 2s }\n  /at-once/**: user-service\n",
        )
        .await;
    until_answered_by(&gateway.url("/late/x"), "one").await;
    let joined = Upstream::start("joined");
    let _joined = world.register("user-service", joined.address()).await;
    until_answered_by(&gateway.url("/at-once/x"), "joined").await;
    let path = "/api/v1/services/user-service";
    let is_slow = |view: &serde_json::Value| {
        let endpoints = view["endpoints"].as_array();
        endpoints.into_iter().flatten().any(|one| {
            one["address"] == joined.address().to_string() && one["slow_start_percent"] == 10
        })
    };
    gateway.admin_until("a slow start", path, is_slow).await;
    let share = |shares: HashMap<String, f64>| shares.get("joined").copied().unwrap_or_default();
    let slow = share(shares(&gateway, "/late/x", 440).await);
    assert!((slow - 1.0 / 11.0).abs() < 0.02, "{slow}");
    let at_once = share(shares(&gateway, "/at-once/x", 200).await);
    assert!((at_once - 0.5).abs() < 0.02, "{at_once}");
    // And ends with its whole share.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let soon = share(shares(&gateway, "/soon/x", 200).await);
        if (soon - 0.5).abs() < 0.02 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{soon}");
    }
}

/// Two in the gateway's own cluster and one elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn instances_of_the_own_cluster_come_first_and_others_when_those_are_too_few() {
    let world = World::new().await;
    let (one, two, far) = (
        Upstream::start("one"),
        Upstream::start("two"),
        Upstream::start("far"),
    );
    let mut registered = Vec::new();
    for (upstream, cluster) in [(&one, "hz"), (&two, "hz"), (&far, "sh")] {
        let address = upstream.address();
        let mut instance = pailou_nacos::Instance::new(address.ip().to_string(), address.port());
        instance.cluster = cluster.to_owned();
        registered.push(world.register_instance("user-service", instance).await);
    }
    world
        .publish(
            "routes:\n  /any/**: user-service\n  \
             /far/**: { service: { name: user-service, cluster: sh } }\n",
        )
        .await;
    let settings =
        "discovery: { cluster: hz, cluster_min_percent: 100 }\nejection: { max_percent: 100 }";
    let gateway = world.gateway_with(settings).await.ready().await;
    until_answered_by(&gateway.url("/far/x"), "far").await;
    let own = shares(&gateway, "/any/x", 100).await;
    assert!(!own.contains_key("far") && own.len() == 2, "{own:?}");

    // Half of the cluster is well, and all of it is wanted: half of the requests leave.
    let load = Load::get(&gateway.url("/any/x"), 2);
    two.kill();
    until_answered_by(&gateway.url("/any/x"), "far").await;
    let path = "/api/v1/services/user-service";
    gateway
        .admin_until("half to leave", path, |view| {
            let selections = view["selections"].as_array();
            selections
                .into_iter()
                .flatten()
                .any(|one| one["away_percent"] == 50)
        })
        .await;
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("pailou_service_away_ratio"), "{metrics}");
    one.kill();
    load.finish().await.assert_clean();
    let last = shares(&gateway, "/any/x", 20).await;
    assert_eq!(last.get("far"), Some(&1.0), "{last:?}");
}
