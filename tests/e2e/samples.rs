//! The samples of `examples/` behind the gateway: FastAPI on the official SDK, axum on `pailou-nacos`.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use pailou_nacos_lite::Options;
use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::load::Load;
use crate::support::samples::Sample;
use crate::support::until;
use crate::support::world::{World, until_status};

const SIGTERM: i32 = 15;

const DOCUMENT: &str = "\
routes:
  /api/users/**: { service: fastapi-user-service, strip_prefix: 1 }
  /api/orders/**: { service: order-service, strip_prefix: 1 }
  /api/fastapi/**: { service: fastapi-user-service, strip_prefix: 2 }
  /api/axum/**: { service: order-service, strip_prefix: 2 }
";

async fn get(url: &str) -> Value {
    let response = reqwest::get(url).await.expect("an answer");
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.expect("JSON")
}

/// A gateway with the routes to both, ready.
async fn gateway(world: &World) -> Gateway {
    world.publish(DOCUMENT).await;
    world.gateway().await.ready().await
}

/// Waits until Nacos lists a sample and it answers.
async fn up(world: &World, sample: &mut Sample) {
    until(&format!("{} to be listed", sample.service), async || {
        sample.is_listed(world).then_some(())
    })
    .await;
    until_status(&sample.url("/health"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_answer_through_the_gateway_and_one_finds_the_other() {
    let world = World::new().await;
    let (mut users, mut orders) = (Sample::fastapi(&world, &[]), Sample::orders(&world, &[]));
    up(&world, &mut users).await;
    up(&world, &mut orders).await;
    let gateway = gateway(&world).await;

    let all = get(&gateway.url("/api/users/")).await;
    assert_eq!(all["users"].as_array().map(Vec::len), Some(3), "{all}");
    let user = get(&gateway.url("/api/users/1")).await;
    assert_eq!(user["id"], 1, "{user}");
    assert_eq!(
        user["instance"],
        format!("127.0.0.1:{}", users.port),
        "{user}"
    );
    let order = get(&gateway.url("/api/orders/7")).await;
    assert_eq!(
        (&order["id"], &order["served_by"]),
        (&json!(7), &json!("rust-order-service")),
        "{order}"
    );
    // Client, gateway, FastAPI, discovery, axum, and back.
    let order = get(&gateway.url("/api/fastapi/orders/7")).await;
    assert_eq!(order["order"]["served_by"], "rust-order-service", "{order}");
    // What a service answers is passed on, an error too.
    until_status(&gateway.url("/api/users/99"), 404).await;

    let listed = &world.instances("fastapi-user-service")[0];
    assert_eq!(listed.cluster, "DEFAULT", "not the SDK's \"None\"");
    for key in ["version", "env", "framework"] {
        assert!(listed.metadata.contains_key(key), "{key}: {listed:?}");
    }
    assert_eq!(
        world.instances("order-service")[0].metadata["framework"],
        "axum"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_config_shows_in_both_and_so_does_its_removal() {
    let world = World::new().await;
    let (mut users, mut orders) = (Sample::fastapi(&world, &[]), Sample::orders(&world, &[]));
    up(&world, &mut users).await;
    up(&world, &mut orders).await;
    let gateway = gateway(&world).await;
    let samples = [
        (
            "fastapi-user-service.json",
            gateway.url("/api/fastapi/config"),
            "values",
        ),
        (
            "order-service.json",
            gateway.url("/api/axum/config"),
            "content",
        ),
    ];
    for (_, url, _) in &samples {
        until_status(url, 200).await;
    }
    // The first publish is of a config that was not there when they began to watch it.
    for greeting in ["hello", "good morning"] {
        for (data_id, url, key) in &samples {
            world
                .publish_as(data_id, &json!({ "greeting": greeting }).to_string())
                .await;
            until(&format!("{data_id} to show {greeting}"), async || {
                (get(url).await[key]["greeting"] == greeting).then_some(())
            })
            .await;
        }
    }
    for (data_id, url, key) in &samples {
        world.remove(data_id).await;
        until(&format!("{data_id} to be gone"), async || {
            get(url).await[key]["greeting"].is_null().then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_leaves_nacos_before_it_stops_and_no_request_fails() {
    let world = World::new().await;
    let mut samples = vec![
        Sample::fastapi(&world, &[]),
        Sample::fastapi(&world, &[]),
        Sample::orders(&world, &[]),
        Sample::orders(&world, &[]),
    ];
    for sample in &mut samples {
        up(&world, sample).await;
    }
    let gateway = gateway(&world).await;
    for (path, leaving) in [("/api/users/1", 0), ("/api/orders/1", 1)] {
        let url = gateway.url(path);
        until_status(&url, 200).await;
        let load = Load::unechoed(&url, 4);
        load.reached(100).await;
        // Of the four, and then of the three that are left: the first of its service.
        leave(&world, samples.remove(leaving)).await;
        load.reached(load.sent() + 100).await;
        load.finish().await.assert_clean();
    }
}

/// Ends a sample, which must be out of Nacos first.
async fn leave(world: &World, mut sample: Sample) {
    sample.process.signal("-TERM");
    until(
        &format!("{} to leave the registry", sample.service),
        async || {
            // In this order: one that has ended and is still listed did not leave in time.
            let ended = sample.process.has_ended();
            let listed = sample.is_listed(world);
            assert!(
                !(ended && listed),
                "{} ended while it was listed",
                sample.service
            );
            (!listed).then_some(())
        },
    )
    .await;
    let status = sample.process.exited().await;
    // uvicorn raises the signal that it was sent again, once everything is done.
    let in_order = status.success()
        || status.signal() == Some(SIGTERM) && sample.process.find(&["Finished server"]).is_some();
    assert!(in_order, "{}: {status}", sample.service);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_the_python_sample_listed_and_a_killed_one_expires() {
    let world = World::with(Options {
        unhealthy_after: Duration::from_secs(3),
        remove_after: Duration::from_secs(5),
        ..Options::default()
    })
    .await;
    let mut users = Sample::fastapi(&world, &[("NACOS_HEARTBEAT_INTERVAL", "0.5")]);
    up(&world, &mut users).await;
    let gateway = gateway(&world).await;
    let url = gateway.url("/api/users/1");
    let began = Instant::now();
    // Well past the time at which it would be gone without beats.
    until("seven seconds of beats", async || {
        let listed = world.instances("fastapi-user-service");
        assert!(listed.len() == 1 && listed[0].healthy, "{listed:?}");
        assert_eq!(reqwest::get(&url).await.expect("an answer").status(), 200);
        (began.elapsed() > Duration::from_secs(7)).then_some(())
    })
    .await;

    users.process.signal("-KILL");
    users.process.exited().await;
    until("the killed sample to expire", async || {
        (!users.is_listed(&world)).then_some(())
    })
    .await;
    until_status(&url, 503).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_are_back_after_nacos_was_restarted_empty() {
    let mut world = World::new().await;
    let mut samples = [
        Sample::fastapi(&world, &[("NACOS_HEARTBEAT_INTERVAL", "0.5")]),
        Sample::orders(&world, &[]),
    ];
    for sample in &mut samples {
        up(&world, sample).await;
    }
    let gateway = gateway(&world).await;
    let urls = ["/api/users/1", "/api/orders/1"].map(|path| gateway.url(path));
    let loads = urls.each_ref().map(|url| Load::unechoed(url, 1));
    world.kill_registry().await;
    gateway.logged(&["session", "lost"]).await;
    world.restart_registry().await;
    for sample in &samples {
        until(&format!("{} to be back", sample.service), async || {
            sample.is_listed(&world).then_some(())
        })
        .await;
    }
    for load in loads {
        load.finish().await.assert_clean();
    }
}
