//! More than one Nacos: routes from one, instances from another, and one of them down.

use std::time::Duration;

use pailou_nacos_lite::{Instance, Options, Registry};
use serde_json::Value;

use crate::support::load::Load;
use crate::support::upstream::Upstream;
use crate::support::world::{ROUTES, World, until_answered_by, until_status};

fn is_connected(status: &Value, nacos: &str) -> Option<bool> {
    let sessions = status["nacos"].as_array()?;
    let session = sessions.iter().find(|session| session["nacos"] == nacos)?;
    session["connection"]["connected"].as_bool()
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_come_from_one_cluster_and_instances_from_another_and_either_may_be_down() {
    let mut main = World::new().await;
    let mut east = World::new().await;
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let _one = main.register("user-service", one.address()).await;
    let _two = east.register("order-service", two.address()).await;
    east.publish(
        "routes:\n  /users/**: user-service\n  /orders/**: { service: { name: order-service, nacos: east } }\n",
    )
    .await;
    let gateway = main
        .gateway_with(&format!(
            "routes: [ {{ data_id: {ROUTES}, nacos: east }} ]\n\
             other_nacos: {{ east: {{ servers: [ '{}' ] }} }}\n",
            east.http()
        ))
        .await
        .ready()
        .await;
    let (users, orders) = (gateway.url("/users/1"), gateway.url("/orders/1"));
    until_answered_by(&users, "one").await;
    until_answered_by(&orders, "two").await;
    let services = gateway.admin_json("/api/v1/services").await;
    let sources: Vec<_> = services
        .as_array()
        .expect("a list")
        .iter()
        .map(|service| service["nacos"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(sources, ["default", "east"], "{services}");

    let pause = Duration::from_millis(4);
    let loads = [
        Load::start(reqwest::Method::GET, &users, 2, pause),
        Load::start(reqwest::Method::GET, &orders, 2, pause),
    ];
    // The one with the routes is down: what the other one says is followed as ever.
    east.kill_registry().await;
    gateway
        .admin_until("east to be down", "/api/v1/status", |status| {
            is_connected(status, "east") == Some(false)
        })
        .await;
    gateway.logged(&["session", "lost", "east"]).await;
    let status = gateway.admin_json("/api/v1/status").await;
    assert_eq!(is_connected(&status, "default"), Some(true), "{status}");
    let three = Upstream::start("three");
    let _three = main.register("user-service", three.address()).await;
    until_answered_by(&users, "three").await;

    // And the other way round.
    east.restart_registry().await;
    gateway
        .admin_until("east to be back", "/api/v1/status", |status| {
            is_connected(status, "east") == Some(true)
        })
        .await;
    main.kill_registry().await;
    let four = Upstream::start("four");
    let _four = east.register("order-service", four.address()).await;
    until_answered_by(&orders, "four").await;
    east.publish("routes: { /users/**: user-service, /orders/**: { service: { name: order-service, nacos: east } }, /more/**: user-service }")
        .await;
    until_status(&gateway.url("/more/1"), 200).await;
    for load in loads {
        load.reached(200).await;
        load.finish().await.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cluster_has_its_own_account() {
    let secret = "east-hunter2";
    let options = Options {
        auth: Some(("east-user".to_owned(), secret.to_owned())),
        ..Options::default()
    };
    let east = Registry::start(options).await.expect("a Nacos");
    let upstream = Upstream::start("one");
    let address = upstream.address();
    let instance = Instance::new(address.ip().to_string(), address.port());
    east.put_instance("user-service", instance);
    let main = World::new().await;
    main.publish("routes: { /users/**: { service: { name: user-service, nacos: east } } }")
        .await;
    let gateway = main
        .gateway_with(&format!(
            "other_nacos: {{ east: {{ servers: [ '{}' ], username: east-user, password: {secret} }} }}\n",
            east.http_addr()
        ))
        .await
        .ready()
        .await;
    until_answered_by(&gateway.url("/users/1"), "one").await;
    let status = gateway.admin_json("/api/v1/status").await;
    assert_eq!(is_connected(&status, "east"), Some(true), "{status}");
    let told = format!("{}\n{status}", gateway.log().join("\n"));
    assert!(!told.contains(secret), "{told}");
}
