//! Sentinel's flow rules in Nacos: published, edited, broken, removed.

use pailou_nacos::{Client, ConfigName, Publish};

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{World, until_status};

const SETTINGS: &str =
    "sentinel: { flow_rules: gw-flow, api_groups: gw-api, group: SENTINEL_GROUP }";

async fn publish(client: &Client, data_id: &str, text: &str) {
    let name = ConfigName::new("SENTINEL_GROUP", data_id);
    client
        .publish_config(&name, text, Publish::default())
        .await
        .expect("a publish");
}

async fn value(gateway: &Gateway, series: &str) -> f64 {
    let metrics = gateway.metrics().await;
    let begin = format!("{series} ");
    let line = metrics.lines().find(|line| line.starts_with(&begin));
    let line = line.expect("the series").rsplit(' ').next();
    line.and_then(|number| number.parse().ok())
        .expect("a number")
}

async fn until_value(gateway: &Gateway, series: &str, expected: f64) {
    until(&format!("{series} to be {expected}"), async || {
        (value(gateway, series).await == expected).then_some(())
    })
    .await;
}

/// How many of some requests pass; the others are 429.
async fn passed(
    gateway: &Gateway,
    path: &str,
    header: Option<(&str, &str)>,
    times: usize,
) -> usize {
    let client = reqwest::Client::new();
    let mut passed = 0;
    for _ in 0..times {
        let mut asked = client.get(gateway.url(path));
        if let Some((name, value)) = header {
            asked = asked.header(name, value);
        }
        match asked.send().await.expect("an answer").status().as_u16() {
            200 => passed += 1,
            status => assert_eq!(status, 429),
        }
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_followed_as_they_are_published() {
    let (world, _upstream, _registered, gateway) = World::small_with(SETTINGS).await;
    world
        .publish("routes: { users: { path: /api/users/**, service: user-service }, other: { path: /other/**, service: user-service } }")
        .await;
    until_status(&gateway.url("/other/1"), 200).await;
    let client = world.client();
    let rules = "pailou_flow_rules";
    assert_eq!(value(&gateway, rules).await, 0.0, "neither config is there");

    publish(
        &client,
        "gw-flow",
        r#"[ { "resource": "users", "count": 2, "intervalSec": 3600, "burst": 1 }, { "resource": "users", "grade": 2, "count": 1 } ]"#,
    )
    .await;
    until_value(&gateway, rules, 1.0).await;
    gateway.logged(&["a flow rule differs", "`grade`"]).await;
    assert_eq!(passed(&gateway, "/api/users/1", None, 5).await, 3);
    assert_eq!(passed(&gateway, "/other/1", None, 5).await, 5);
    let answer = reqwest::get(gateway.url("/api/users/1"))
        .await
        .expect("an answer");
    assert_eq!(
        answer.headers()["content-type"],
        "application/json;charset=UTF-8"
    );
    let body = answer.text().await.expect("a body");
    assert_eq!(
        body,
        r#"{"code":429,"message":"Blocked by Sentinel: ParamFlowException"}"#
    );
    until_value(&gateway, "pailou_flow_blocked_total", 3.0).await;

    // An edit, and a group that comes with it.
    publish(
        &client,
        "gw-api",
        r#"[ { "apiName": "open", "predicateItems": [ { "pattern": "/other/**", "matchStrategy": 1 } ] } ]"#,
    )
    .await;
    publish(
        &client,
        "gw-flow",
        r#"[ { "resource": "users", "count": 4, "intervalSec": 3600 },
             { "resource": "open", "resourceMode": 1, "count": 1, "intervalSec": 3600,
               "paramItem": { "parseStrategy": 2, "fieldName": "x-tenant", "pattern": "t", "matchStrategy": 3 } } ]"#,
    )
    .await;
    until_value(&gateway, rules, 2.0).await;
    assert_eq!(passed(&gateway, "/api/users/1", None, 6).await, 4);
    assert_eq!(
        passed(&gateway, "/other/1", Some(("x-tenant", "t1")), 3).await,
        1
    );
    assert_eq!(
        passed(&gateway, "/other/1", Some(("x-tenant", "t2")), 3).await,
        1
    );
    assert_eq!(
        passed(&gateway, "/other/1", Some(("x-tenant", "u")), 3).await,
        3
    );
    assert_eq!(passed(&gateway, "/other/1", None, 3).await, 3);

    // A broken publish changes nothing.
    publish(&client, "gw-flow", "[ { ").await;
    gateway
        .logged(&["flow rules cannot be read", "no list in JSON"])
        .await;
    until_value(&gateway, "pailou_flow_rule_refusals_total", 1.0).await;
    assert_eq!(passed(&gateway, "/api/users/1", None, 2).await, 0);

    // What is deleted is gone.
    let name = ConfigName::new("SENTINEL_GROUP", "gw-flow");
    client.remove_config(&name).await.expect("a removal");
    until_value(&gateway, rules, 0.0).await;
    assert_eq!(passed(&gateway, "/api/users/1", None, 6).await, 6);
}

/// Preflights are answered before any rule counts, and a page of the allowed origin can read that it was blocked.
#[tokio::test(flavor = "multi_thread")]
async fn cors_comes_before_the_rules() {
    let (world, _upstream, _registered, gateway) =
        World::small_with("sentinel: { flow_rules: gw-flow }").await;
    let client = world.client();
    let name = ConfigName::new("DEFAULT_GROUP", "gw-flow");
    let rules = r#"[ { "resource": "users", "count": 1, "intervalSec": 3600 } ]"#;
    client
        .publish_config(&name, rules, Publish::default())
        .await
        .expect("a publish");
    world
        .publish(
            "routes: { users: { path: /api/users/**, service: user-service, filters: \
             [ Cors: { '/**': { allowedOrigins: 'https://ok.test', allowedMethods: '*' } } ] } }",
        )
        .await;
    until_value(&gateway, "pailou_flow_rules", 1.0).await;
    let url = gateway.url("/api/users/1");
    let http = reqwest::Client::new();
    let preflight = async || {
        let asked = http.request(reqwest::Method::OPTIONS, &url);
        let asked = asked.header("origin", "https://ok.test");
        let asked = asked.header("access-control-request-method", "GET");
        asked.send().await.expect("an answer")
    };
    until("the route", async || {
        let answer = preflight().await;
        let allowed = answer.headers().contains_key("access-control-allow-origin");
        (answer.status() == 200 && allowed).then_some(())
    })
    .await;
    for expected in [200, 429] {
        let asked = http.get(&url).header("origin", "https://ok.test");
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected);
        assert_eq!(
            answer.headers()["access-control-allow-origin"],
            "https://ok.test"
        );
    }
    assert_eq!(preflight().await.status(), 200);
}

/// A gateway that is started while Nacos is down limits as the one before it did.
#[tokio::test(flavor = "multi_thread")]
async fn rules_outlive_a_restart_without_nacos() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot");
    let settings = format!("{SETTINGS}\nsnapshot: {{ path: '{}' }}", path.display());
    let (mut world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    let client = world.client();
    publish(
        &client,
        "gw-api",
        r#"[ { "apiName": "users-api", "predicateItems": [ { "pattern": "/api/users/**", "matchStrategy": 1 } ] } ]"#,
    )
    .await;
    publish(
        &client,
        "gw-flow",
        r#"[ { "resource": "users-api", "resourceMode": 1, "count": 2, "intervalSec": 3600 } ]"#,
    )
    .await;
    until_value(&gateway, "pailou_flow_rules", 1.0).await;
    // What cannot be read is not what is kept.
    publish(&client, "gw-flow", "[ { ").await;
    until_value(&gateway, "pailou_flow_rule_refusals_total", 1.0).await;
    until("the snapshot to have the rules", async || {
        let text = std::fs::read_to_string(&path).ok()?;
        let has_all = ["users-api", "gw-flow", "gw-api", "endpoints"];
        has_all
            .iter()
            .all(|piece| text.contains(piece))
            .then_some(())
    })
    .await;
    drop(gateway);
    world.kill_registry().await;

    let gateway = Gateway::start(&world.settings(&settings))
        .await
        .ready()
        .await;
    gateway
        .logged(&["flow rules of the snapshot are in force"])
        .await;
    assert_eq!(value(&gateway, "pailou_flow_rules").await, 1.0);
    assert_eq!(passed(&gateway, "/api/users/1", None, 5).await, 2);
}
