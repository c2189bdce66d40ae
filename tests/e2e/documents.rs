//! Route documents: bad, blank, deleted, restored, several.

use pailou_nacos_lite::Options;

use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;
use crate::support::world::{ROUTES, World, until_status};

async fn document(gateway: &Gateway, name: &str) -> serde_json::Value {
    let status = gateway.admin_json("/api/v1/status").await;
    let documents = status["documents"].as_array().expect("documents").clone();
    documents
        .into_iter()
        .find(|one| one["name"].as_str().is_some_and(|n| n.contains(name)))
        .expect("the document")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_document_changes_nothing_and_is_reported_everywhere() {
    let (world, _upstream, _registered, gateway) =
        World::small_with("registration: { service: pailou-gateway }").await;
    world
        .publish("routes:\n  /api/users/**:\n    service: user-service\n    strip_prefx: 1\n")
        .await;

    let line = gateway.logged(&["strip_prefx", "4:5"]).await;
    assert!(
        line.contains("strip_prefix"),
        "the log names the nearest valid key: {line}"
    );
    assert_eq!(
        reqwest::get(gateway.url("/api/users/1"))
            .await
            .expect("an answer")
            .status(),
        200
    );
    let view = document(&gateway, ROUTES).await;
    let fault = &view["faults"][0];
    assert_eq!(
        (
            fault["position"]["line"].as_u64(),
            fault["position"]["column"].as_u64()
        ),
        (Some(4), Some(5)),
        "{view}"
    );
    assert!(
        fault["path"]
            .as_str()
            .is_some_and(|path| path.contains("strip_prefx")),
        "{view}"
    );
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("pailou_document_refusals_total 1"),
        "{metrics}"
    );

    // The operator sees it in the Nacos console too: the gateway's own instance says so.
    let client = world.client();
    let mut watch = client.watch_service("pailou-gateway");
    loop {
        let state = watch.changed().await;
        if state.instances.iter().any(|one| {
            one.metadata
                .get("error")
                .is_some_and(|e| e.contains("strip_prefx"))
        }) {
            break;
        }
    }

    // The next good one applies, and every report is clear again.
    world
        .publish("routes: { /api/users/**: user-service, /good/**: user-service }")
        .await;
    until_status(&gateway.url("/good/x"), 200).await;
    let view = document(&gateway, ROUTES).await;
    assert_eq!(view["faults"].as_array().map(Vec::len), Some(0), "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_or_deleted_document_keeps_the_last_good_table_and_raises_an_alarm() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish("# nothing but a comment\n").await;
    gateway.logged(&["blank"]).await;
    assert_eq!(
        reqwest::get(gateway.url("/api/users/1"))
            .await
            .expect("an answer")
            .status(),
        200
    );

    world.remove(ROUTES).await;
    gateway.logged(&["deleted"]).await;
    assert_eq!(
        reqwest::get(gateway.url("/api/users/1"))
            .await
            .expect("an answer")
            .status(),
        200
    );
    let view = document(&gateway, ROUTES).await;
    assert_eq!(view["alarm"], true, "{view}");

    world
        .publish("routes: { /restored/**: user-service }")
        .await;
    until_status(&gateway.url("/restored/x"), 200).await;
    until_status(&gateway.url("/api/users/1"), 404).await;
    let view = document(&gateway, ROUTES).await;
    assert_eq!(view["alarm"], false, "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_empty_document_empties_the_table() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish("routes: {}").await;
    until_status(&gateway.url("/api/users/1"), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_several_teams_merge_and_fail_alone() {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    world
        .publish_as(
            "team-a.yaml",
            "routes: { /a/**: user-service, shared: { path: /shared/a, service: user-service } }",
        )
        .await;
    world
        .publish_as(
            "team-b.yaml",
            "routes: { /b/**: user-service, shared: { path: /shared/b, service: user-service } }",
        )
        .await;
    let gateway = world
        .gateway_with("routes: [{ data_id: team-a.yaml }, { data_id: team-b.yaml }]")
        .await
        .ready()
        .await;
    for path in ["/a/x", "/b/x", "/shared/a"] {
        until_status(&gateway.url(path), 200).await;
    }
    // The first document's route with this id stays; the other is a fault.
    assert_eq!(
        reqwest::get(gateway.url("/shared/b"))
            .await
            .expect("an answer")
            .status(),
        404
    );
    let view = document(&gateway, "team-b.yaml").await;
    assert!(view["faults"].to_string().contains("shared"), "{view}");

    // One team's mistake is its own.
    world
        .publish_as("team-a.yaml", "routes: [not, a, mapping]")
        .await;
    gateway.logged(&["team-a.yaml", "refused"]).await;
    world
        .publish_as("team-b.yaml", "routes: { /b2/**: user-service }")
        .await;
    until_status(&gateway.url("/b2/x"), 200).await;
    assert_eq!(
        reqwest::get(gateway.url("/a/x"))
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_is_a_route_document_too() {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    let settings = world.settings("routes: [{ file: routes.yaml }]");
    let files = [("routes.yaml", "routes: { /file/**: user-service }")];
    let gateway = Gateway::start_with(&settings, &files, &[])
        .await
        .ready()
        .await;
    until_status(&gateway.url("/file/x"), 200).await;

    // As an editor saves: a new file renamed over the old one.
    let file = gateway.folder().join("routes.yaml");
    let fresh = gateway.folder().join("routes.yaml.new");
    std::fs::write(&fresh, "routes: { /changed/**: user-service }").expect("a written file");
    std::fs::rename(&fresh, &file).expect("a renamed file");
    until_status(&gateway.url("/changed/x"), 200).await;

    std::fs::write(&file, "routes: { /broken/**: { service: 1, x: }").expect("a written file");
    gateway.logged(&["routes.yaml", "refused"]).await;
    assert_eq!(
        reqwest::get(gateway.url("/changed/x"))
            .await
            .expect("an answer")
            .status(),
        200
    );
    std::fs::remove_file(&file).expect("a removed file");
    gateway.logged(&["routes.yaml", "deleted"]).await;
    assert_eq!(
        reqwest::get(gateway.url("/changed/x"))
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_auth_on_the_gateway_logs_in_and_never_tells_its_password() {
    let secret = "s3cret-passw0rd";
    let world = World::with(Options {
        auth: Some(("nacos".into(), secret.into())),
        ..Options::default()
    })
    .await;
    let settings = format!(
        "{}log: {{ level: trace }}\n",
        world.settings("").replace(
            "nacos: {",
            &format!("nacos: {{ username: nacos, password: {secret},")
        )
    );
    let gateway = Gateway::start(&settings).await;
    gateway
        .admin_until("a session", "/api/v1/status", |status| {
            status["nacos"].as_array().is_some_and(|all| {
                !all.is_empty() && all.iter().all(|s| s["connection"]["connected"] == true)
            })
        })
        .await;
    let status = gateway.admin_json("/api/v1/status").await.to_string();
    let everything = format!(
        "{}\n{status}\n{}",
        gateway.log().join("\n"),
        gateway.metrics().await
    );
    assert!(!everything.contains(secret), "the password was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_too_large_is_refused_by_its_length() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    // It would parse: the point is that nobody tries.
    let mut document = String::from("routes: { /large/**: user-service }\n#");
    document.push_str(&"x".repeat(5 << 20));
    world.publish(&document).await;
    let line = gateway.logged(&["refused", ROUTES]).await;
    assert!(line.contains("are more than the 4194304"), "{line}");
    assert!(line.len() < 2_000, "the document is not in the log");
    until_status(&gateway.url("/api/users/1"), 200).await;
    until_status(&gateway.url("/large/x"), 404).await;
}
