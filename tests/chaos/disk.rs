//! A disk that is full.

use std::time::Duration;

use crate::client::OpenLoop;
use crate::figures::Figure;
use crate::origin::{Ledger, Manner};
use crate::stage::{Length, PATH, SERVICE, instance};
use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::World;

/// How often a log line has these words.
fn told(log: &[String], words: &[&str]) -> usize {
    let has_all = |line: &&String| words.iter().all(|word| line.contains(word));
    log.iter().filter(has_all).count()
}

/// Scenario 25: no file of the gateway can grow: log, access log and snapshot. Serving goes on. What is lost is counted, said once, and
/// nothing is lost any more once there is room.
pub(crate) async fn full(length: Length) -> Vec<Figure> {
    let world = World::new().await;
    let ledger = std::sync::Arc::<Ledger>::default();
    let _one = instance(&world, &ledger, "i0", Manner::default()).await;
    let document = |routes: &str| {
        let routes = routes
            .split(' ')
            .map(|route| format!(", {route}: {SERVICE}"));
        format!(
            "routes: {{ /api/users/**: {SERVICE}{} }}",
            routes.collect::<String>()
        )
    };
    world.publish(&document("/before/**")).await;
    let settings = world
        .settings("log: { access_file: access.log, format: json }\nsnapshot: { path: snapshot }");
    // A write beyond the limit sends SIGXFSZ too, whose usual effect is the end; a full disk sends nothing.
    let gateway = Gateway::start_after(&settings, "trap '' XFSZ").await;
    let gateway = gateway.ready().await;
    let load = OpenLoop::get(gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(1, 5)).await;
    let kept =
        |file: &str| std::fs::read_to_string(gateway.folder().join(file)).unwrap_or_default();
    until("a snapshot", async || {
        kept("snapshot").contains("/before/").then_some(())
    })
    .await;

    // No room for a line more, nor for a snapshot with a longer table.
    gateway.limit_files(Some(kept("snapshot").len() as u64));
    world.publish(&document("/during/** /as-well/**")).await;
    gateway.logged(&["a log cannot be written", "access"]).await;
    gateway.logged(&["the snapshot cannot be written"]).await;
    until("the new table, all the same", async || {
        let routes = gateway.admin_json("/api/v1/routes").await;
        routes.to_string().contains("/during/**").then_some(())
    })
    .await;
    load.goes_on_for(length.seconds(2, 30)).await;
    let lost = gateway.value("pailou_access_log_dropped_total").await;
    assert!(lost > 0);
    assert!(gateway.value("pailou_snapshot_write_failures_total").await > 0);
    assert!(
        kept("snapshot").contains("/before/"),
        "the old one is whole"
    );

    gateway.limit_files(None);
    gateway
        .logged(&["a log can be written again", "access", "lost"])
        .await;
    world.publish(&document("/after/**")).await;
    until("a snapshot again", async || {
        kept("snapshot").contains("/after/").then_some(())
    })
    .await;
    gateway.logged(&["the snapshot can be written again"]).await;
    let lost = gateway.value("pailou_access_log_dropped_total").await;
    load.goes_on_for(Duration::from_secs(1)).await;
    assert_eq!(gateway.value("pailou_access_log_dropped_total").await, lost);
    let outcome = load.finish().await;
    outcome.assert_clean();
    let log = gateway.log();
    assert_eq!(told(&log, &["a log cannot be written"]), 1);
    // Once a minute, and the long form is a part of a minute.
    assert_eq!(told(&log, &["the snapshot cannot be written"]), 1);
    let torn = kept("access.log")
        .lines()
        .filter(|line| !line.ends_with('}'))
        .count();
    assert!(torn <= 1, "{torn} torn lines");
    let beside = format!("{lost} lines of the access log lost, and counted");
    vec![Figure::new("disk full", &outcome.all(), beside)]
}
