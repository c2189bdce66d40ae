//! The snapshot: the gateway starts while Nacos is down, and an unusable snapshot costs nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::gateway::{Gateway, command, run};
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
        "pailou_service_stale{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"} 1",
        "pailou_documents{state=\"stale\"} 1",
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

/// A publish breaks a route: its last good version is served, also by the next process, whether Nacos is there or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_route_keeps_its_last_good_version_over_restarts() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let setting = setting(&path);
    let (mut world, upstream, _registered, gateway) = World::small_with(&setting).await;
    let document = |filter: &str, other: &str| {
        format!(
            "spring.cloud.gateway.routes:
- {{ id: users, uri: 'lb://user-service', predicates: [ Path=/u/** ], filters: [ {filter} ] }}
- {{ id: other, uri: 'lb://user-service', predicates: [ Path={other} ] }}
"
        )
    };
    let served = async |gateway: &Gateway| {
        let answer = reqwest::get(gateway.url("/u/api/7")).await;
        let body = answer.expect("an answer").text().await.expect("a body");
        assert!(body.ends_with("GET /api/7"), "{body}");
        until_status(&gateway.url("/second/1"), 200).await;
        let status = gateway.admin_json("/api/v1/status").await;
        let document = &status["documents"][0];
        assert_eq!(document["routes"], 2, "{status}");
    };
    world.publish(&document("StripPrefix=1", "/first/**")).await;
    until_status(&gateway.url("/first/1"), 200).await;
    world.publish(&document("Nobody=1", "/second/**")).await;
    until_status(&gateway.url("/second/1"), 200).await;
    served(&gateway).await;
    for piece in ["/second/", "/first/", &upstream.address().to_string()] {
        until_kept(&path, piece).await;
    }
    drop(gateway);

    let gateway = Gateway::start(&world.settings(&setting))
        .await
        .ready()
        .await;
    gateway
        .admin_until("the document to be a part", "/api/v1/status", |status| {
            status["documents"][0]["state"] == "partial"
        })
        .await;
    served(&gateway).await;
    gateway
        .logged(&["the last good version of the route stays"])
        .await;
    drop(gateway);

    world.kill_registry().await;
    let gateway = Gateway::start(&world.settings(&setting))
        .await
        .ready()
        .await;
    served(&gateway).await;
    let status = gateway.admin_json("/api/v1/status").await;
    assert_eq!(status["documents"][0]["from_snapshot"], true, "{status}");
}

/// From the start of the process to the first answer. It was a second, which was waited for Nacos.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_hung_nacos_the_first_answer_comes_at_once() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let (mut world, upstream, _registered, gateway) = World::small_with(&setting(&path)).await;
    until_kept(&path, &upstream.address().to_string()).await;
    drop(gateway);
    world.kill_registry().await;
    let _http = std::net::TcpListener::bind(world.http()).expect("the port");
    let _grpc = std::net::TcpListener::bind(world.grpc()).expect("the port");
    let data = format!("127.0.0.1:{}", free_port());
    let settings = world.settings(&setting(&path));
    std::fs::write(folder.path().join("gateway.yaml"), settings).expect("a written file");
    let mut fastest = Duration::MAX;
    // The fastest of some, since the machine may be busy.
    for _ in 0..5 {
        let started = Instant::now();
        let mut command = command(&["run", "--config", "gateway.yaml"]);
        command
            .current_dir(folder.path())
            .env("PAILOU_LISTENERS", &data);
        let _gateway = Process::spawn("the gateway", &mut command);
        // Until the port is there; from then on the connection waits for the gateway to be ready.
        let answer = loop {
            match reqwest::get(format!("http://{data}/api/users/1")).await {
                Ok(answer) => break answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        };
        fastest = fastest.min(started.elapsed());
        assert_eq!(answer.status(), 200);
    }
    // 100 ms on a machine of its own, of which Nacos is waited for 60. A busy one gets more, and less than the second that it
    // took.
    assert!(fastest <= Duration::from_millis(700), "{fastest:?}");
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
        metrics.contains("pailou_snapshots_ignored_total 1"),
        "{metrics}"
    );
    until_kept(&path, "/api/users/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_snapshot_and_no_nacos_is_not_ready_and_no_crash() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    std::fs::write(&path, b"pailou-snapshot/9 \xff\xff\n").expect("a written file");
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

/// What `check` and `run` say of these settings, both of which must refuse them, beside some files.
fn refused(settings: &str, files: &Path) -> String {
    std::fs::write(files.join("gateway.yaml"), settings).expect("a written file");
    for args in [
        &["check", "gateway.yaml"][..],
        &["run", "--config", "gateway.yaml"],
    ] {
        let (status, out, err) = run(args, files);
        let said = format!("{out}{err}");
        assert!(!status.success(), "{settings}: {said}");
        if args[0] == "run" {
            return said;
        }
        assert!(said.contains("snapshot.path"), "{said}");
    }
    unreachable!("run is the last one")
}

/// A slip in this one setting cost a route file, and a device node of the system.
#[test]
fn a_file_of_the_operators_is_never_overwritten() {
    let folder = folder();
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("routes.yaml"), "routes: {}\n").expect("a written file");
    std::fs::write(place("empty.yaml"), "").expect("a written file");
    std::os::unix::fs::symlink(place("away"), place("link")).expect("a link");
    let _socket = std::os::unix::net::UnixListener::bind(place("socket")).expect("a socket");
    for (path, expected) in [
        ("routes.yaml", "routes.yaml holds something else"),
        (
            "gateway.yaml",
            "gateway.yaml is also the file of these settings",
        ),
        ("./empty.yaml", "empty.yaml is also routes"),
        ("link", "a symbolic link"),
        ("socket", "a socket"),
        (".", "a folder"),
        ("/dev/null", "a device"),
        ("nowhere/snapshot", "nowhere"),
    ] {
        let settings =
            format!("routes: [{{ file: empty.yaml }}]\nsnapshot: {{ path: '{path}' }}\n");
        let said = refused(&settings, folder.path());
        for piece in ["gateway.yaml:2:19", "snapshot.path", expected, "or `off`"] {
            assert!(said.contains(piece), "{path}: {piece:?} is not in {said}");
        }
        let text = |name: &str| std::fs::read_to_string(place(name)).expect("a file");
        assert_eq!(text("routes.yaml"), "routes: {}\n");
        assert_eq!(text("gateway.yaml"), settings);
    }
    // The default's place counts as well.
    std::fs::write(place("pailou-snapshot"), "notes of mine").expect("a written file");
    let said = refused("routes: [{ file: empty.yaml }]\n", folder.path());
    assert!(
        said.contains("pailou-snapshot holds something else"),
        "{said}"
    );
    assert!(said.contains("or `off`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_do_not_share_a_snapshot_in_silence() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let (world, upstream, _registered, first) = World::small_with(&setting(&path)).await;
    until_kept(&path, &upstream.address().to_string()).await;
    let second = world.gateway_with(&setting(&path)).await.ready().await;
    second
        .logged(&["WARN", "the snapshot cannot be written", "another gateway"])
        .await;
    world
        .publish("routes: { /api/more/**: user-service }")
        .await;
    until_status(&second.url("/api/more/1"), 200).await;
    until_kept(&path, "/api/more/").await;
    // The first one ends, and the next change is the second one's to keep.
    drop(first);
    world
        .publish("routes: { /api/last/**: user-service }")
        .await;
    until_kept(&path, "/api/last/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_be_written_is_said_once_and_costs_nothing() {
    let folder = folder();
    let nowhere = folder.path().join("nowhere");
    let path = nowhere.join("snapshot");
    std::fs::create_dir(&nowhere).expect("a folder");
    let (world, upstream, _registered, gateway) = World::small_with(&setting(&path)).await;
    until_kept(&path, &upstream.address().to_string()).await;
    std::fs::remove_dir_all(&nowhere).expect("removed");
    world
        .publish("routes: { /api/users/**: user-service, /gone/**: user-service }")
        .await;
    gateway
        .logged(&["WARN", "the snapshot cannot be written", "nowhere"])
        .await;
    for round in 0..3 {
        world
            .publish(&format!("routes: {{ /r{round}/**: user-service }}"))
            .await;
        until_status(&gateway.url(&format!("/r{round}/x")), 200).await;
        // Each change is tried.
        let failures = format!("pailou_snapshot_write_failures_total {}", round + 2);
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
