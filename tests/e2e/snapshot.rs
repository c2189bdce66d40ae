//! The snapshot: the gateway starts while Nacos is down, and an unusable snapshot costs nothing.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, command};
use crate::support::load::Load;
use crate::support::ports::{free_pair, free_port};
use crate::support::process::Process;
use crate::support::until;
use crate::support::world::{World, until_status};

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn setting(path: &Path) -> String {
    format!("snapshot: {{ path: '{}' }}", path.display())
}

async fn until_kept(path: &Path, piece: &str) {
    until(&format!("the snapshot to have {piece}"), async || {
        let text = std::fs::read_to_string(path).ok()?;
        text.contains(piece).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_started_while_nacos_is_down_serves_from_the_snapshot() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    // Credentials, so that it can be seen that they are not kept.
    let secret = "hunter2-never-to-be-kept";
    let (mut world, upstream, registered, gateway) = World::small_with(&setting(&path)).await;
    until_kept(&path, &upstream.address().to_string()).await;
    drop(gateway);
    world.kill_registry().await;

    let settings = world.settings(&setting(&path)).replace(
        "nacos: {",
        &format!("nacos: {{ username: nacos, password: {secret},"),
    );
    let gateway = Gateway::start(&settings).await.ready().await;
    let status = gateway.admin_json("/api/v1/status").await;
    assert!(status["uptime_seconds"].as_u64() <= Some(2), "{status}");
    assert_eq!(status["stale"], true, "{status}");
    assert_eq!(status["documents"][0]["from_snapshot"], true, "{status}");
    assert_eq!(status["snapshot"]["restored"]["services"], 1, "{status}");
    let metrics = gateway.metrics().await;
    for line in [
        "gateway_service_stale{service=\"DEFAULT_GROUP@@user-service\"} 1",
        "gateway_documents{state=\"stale\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    gateway
        .logged(&["WARN", "route document is served from the snapshot"])
        .await;
    gateway
        .logged(&["WARN", "endpoints are served from the snapshot"])
        .await;

    let load = Load::start(
        reqwest::Method::GET,
        &gateway.url("/api/users/1"),
        4,
        Duration::from_millis(2),
    );
    load.reached(300).await;

    // It comes back empty, and its services before or after the gateway: nobody notices.
    world.restart_registry().await;
    gateway.logged(&["a session was set up"]).await;
    load.reached(load.sent() + 300).await;
    // The document has not been published again: the last good one stays, and the console shows it.
    until(
        "the gateway's own instance to say that it is stale",
        async || {
            let own = world.client().query_service("pailou-gateway").await.ok()?;
            let own = own.instances.first()?;
            (own.metadata.get("stale")? == "true").then_some(())
        },
    )
    .await;
    world
        .publish("routes: { /api/users/**: user-service, /again/**: user-service }")
        .await;
    until_status(&gateway.url("/again/1"), 200).await;
    gateway
        .admin_until("nothing to be stale", "/api/v1/status", |status| {
            status["stale"] == false
        })
        .await;
    load.finish().await.assert_clean();
    until_kept(&path, "/again/").await;
    let text = std::fs::read_to_string(&path).expect("a snapshot");
    assert!(
        !text.contains(secret) && !text.contains("username"),
        "{text}"
    );
    drop((upstream, registered));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_snapshot_is_ignored_and_replaced() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let text = "pailou-snapshot/1 0 99\n{\"services\":";
    std::fs::write(&path, text).expect("a written file");
    let (_world, _upstream, _registered, gateway) = World::small_with(&setting(&path)).await;
    until_status(&gateway.url("/api/users/1"), 200).await;
    gateway
        .logged(&["WARN", "the snapshot was ignored", "torn"])
        .await;
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("gateway_snapshots_ignored_total 1"),
        "{metrics}"
    );
    until_kept(&path, "/api/users/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_snapshot_and_no_nacos_is_not_ready_and_no_crash() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    std::fs::write(&path, [0xff; 100]).expect("a written file");
    let mut world = World::new().await;
    world.kill_registry().await;
    let gateway = world.gateway_with(&setting(&path)).await;
    gateway
        .logged(&["WARN", "the snapshot was ignored", "another format"])
        .await;
    let answer = reqwest::get(gateway.probes_url("/readyz"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_be_written_is_said_once_and_costs_nothing() {
    let folder = folder();
    let path = folder.path().join("nowhere").join("snapshot");
    let (world, upstream, _registered, gateway) = World::small_with(&setting(&path)).await;
    gateway
        .logged(&["WARN", "the snapshot cannot be written", "nowhere"])
        .await;
    for round in 0..3 {
        world
            .publish(&format!("routes: {{ /r{round}/**: user-service }}"))
            .await;
        until_status(&gateway.url(&format!("/r{round}/x")), 200).await;
        // Each change is tried.
        let failures = format!("gateway_snapshot_write_failures_total {}", round + 2);
        until(&failures, async || {
            gateway.metrics().await.contains(&failures).then_some(())
        })
        .await;
    }
    let told = gateway
        .log()
        .iter()
        .filter(|line| line.contains("cannot be written"))
        .count();
    assert_eq!(told, 1, "at most one line a minute");
    drop(upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_leaves_nothing_behind() {
    let folder = folder();
    let ports = [
        format!("--port={}", free_port()),
        format!("--admin-port={}", free_port()),
        format!("--probes-port={}", free_port()),
        format!("--registry-port={}", free_pair()),
    ];
    let args: Vec<&str> = std::iter::once("dev")
        .chain(ports.iter().map(String::as_str))
        .collect();
    let mut dev = Process::spawn("pailou dev", command(&args).current_dir(folder.path()));
    let probes = ports[2].split('=').nth(1).expect("a port");
    until_status(&format!("http://127.0.0.1:{probes}/readyz"), 200).await;
    // Longer than a snapshot waits for more changes.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    dev.signal("-TERM");
    dev.exited().await;
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
