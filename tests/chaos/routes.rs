//! Route tables that change while requests pass.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::OpenLoop;
use crate::figures::{Figure, milliseconds};
use crate::origin::Manner;
use crate::stage::{Length, PATH, SERVICE, Stage};
use crate::support::until;

/// A thousand a minute.
const BETWEEN_CHANGES: Duration = Duration::from_millis(60);

/// A table of so many routes, of which the last differs with each version.
fn table(routes: usize, version: u64) -> String {
    let mut document =
        format!("routes:\n  /api/users/**: {SERVICE}\n  /v{version}/**: {SERVICE}\n");
    for n in 2..routes {
        document.push_str(&format!("  /r{n}/**: {SERVICE}\n"));
    }
    document
}

/// Scenario 11: a thousand route changes a minute. The times are compared with those of the same load before.
pub(crate) async fn changes(length: Length) -> Vec<Figure> {
    let stage = Stage::set(3, Manner::default(), "").await;
    let routes = length.pick(100, 1_000);
    stage.world.publish(&table(routes, 0)).await;
    let load = OpenLoop::get(stage.gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(1, 5)).await;
    let (quiet_from, quiet_for) = (load.elapsed(), length.seconds(4, 60));
    load.goes_on_for(quiet_for).await;
    let first = stage.gateway.value("pailou_table_revision").await;
    let from = load.elapsed();
    let (began, mut version) = (Instant::now(), 0);
    while load.elapsed() < from + quiet_for {
        version += 1;
        stage.world.publish(&table(routes, version)).await;
        tokio::time::sleep_until(began + BETWEEN_CHANGES * version as u32).await;
    }
    let to = load.elapsed();
    let last = format!("/v{version}/**");
    until("the last table", async || {
        let routes = stage.gateway.admin_json("/api/v1/routes").await;
        routes.to_string().contains(&last).then_some(())
    })
    .await;
    let tables = stage.gateway.value("pailou_table_revision").await - first;
    let outcome = load.finish().await;
    outcome.assert_clean();
    let quiet = outcome.between(quiet_from, quiet_from + quiet_for);
    let changing = outcome.between(from, to);
    assert!(
        tables > version / 4,
        "{tables} tables of {version} versions"
    );
    // Short, an unoptimised gateway compiles on a core that it shares with everything else.
    let (factor, slack) = length.pick((10, 200), (3, 2));
    let bound = quiet.percentile(99.0) * factor + Duration::from_millis(slack);
    assert!(
        changing.percentile(99.0) <= bound,
        "{quiet:?}, then {changing:?}"
    );
    let beside = format!("{version} versions of {routes} routes, {tables} went live");
    let at_rest = format!(
        "the same load before: p99 {}",
        milliseconds(quiet.percentile(99.0))
    );
    vec![Figure::new(
        "1,000 route changes a minute",
        &changing,
        format!("{beside}; {at_rest}"),
    )]
}
