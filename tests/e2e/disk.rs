//! A full disk under the logs. `tests/chaos` has it under load, and under the snapshot.

use std::path::Path;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_status};

/// Nothing was said of lines that were lost, and the next line stood behind the half of another.
#[tokio::test(flavor = "multi_thread")]
async fn logs_that_cannot_be_written_are_told_of_once_and_cost_no_request() {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    // Its own log goes to a file later, since the harness reads the addresses from it.
    let settings = world.settings("snapshot: { path: off }\nlog: { access_file: access.log }");
    let gateway = Gateway::start_after(&settings, "trap '' XFSZ").await;
    let gateway = gateway.ready().await;
    let url = gateway.url("/api/users/1");
    let access = gateway.folder().join("access.log");
    until_status(&url, 200).await;
    let first = until_longer(&access, 0).await;

    // Room for half of a line.
    gateway.limit_files(Some(first + 100));
    for _ in 0..5 {
        until_status(&url, 200).await;
    }
    gateway
        .logged(&[
            "WARN",
            "a log cannot be written",
            "\"log\":\"access\"",
            "File too large",
        ])
        .await;
    until("four lines to be lost", async || {
        let lost = gateway.value("pailou_access_log_dropped_total").await;
        (lost >= 4).then_some(())
    })
    .await;
    gateway.limit_files(None);
    until_status(&url, 200).await;
    gateway
        .logged(&["INFO", "a log can be written again", "\"lost\":"])
        .await;
    until_longer(&access, first + 100).await;
    let text = std::fs::read_to_string(&access).expect("a log");
    let whole = text.lines().filter(|line| line.ends_with('}')).count();
    assert_eq!(text.lines().count(), whole + 1, "{text}");

    // The same of the gateway's own log: standard error is where it can be said.
    let settings = format!("{settings}\n").replace("log: {", "log: { file: gateway.log,");
    std::fs::write(gateway.folder().join("gateway.yaml"), settings).expect("a written file");
    gateway.signal("-HUP");
    let own = gateway.folder().join("gateway.log");
    let length = until_longer(&own, 0).await;
    gateway.limit_files(Some(length));
    world.publish("routes: { /other/**: user-service }").await;
    gateway
        .logged(&["pailou: the log cannot be written", "File too large"])
        .await;
    until_status(&gateway.url("/other/1"), 200).await;
    assert!(gateway.value("pailou_log_dropped_total").await > 0);
}

/// Waits until the file has more than so many bytes; how many it has then.
async fn until_longer(file: &Path, bytes: u64) -> u64 {
    until(&format!("{} to grow", file.display()), async || {
        let length = std::fs::metadata(file).ok()?.len();
        (length > bytes).then_some(length)
    })
    .await
}
