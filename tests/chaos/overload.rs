//! More requests than can be served.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{OpenLoop, Outcome, Tally};
use crate::figures::{Figure, milliseconds};
use crate::origin::Manner;
use crate::stage::{Length, Stage};
use crate::support::until;
use crate::support::world::until_status;

/// How long each request takes it.
const SERVICE_TIME: Duration = Duration::from_millis(20);

/// The same service, once for those that matter more.
const ROUTES: &str = "{ /api/users/**: user-service, /high/**: { service: user-service, filters: [ { priority: high } ] } }";

/// Three times as many requests as can be served. What is served stays near the peak, the rest is refused at once, and requests of high
/// priority pass. Probes and the admin interface answer meanwhile.
pub(crate) async fn three_times(length: Length) -> Vec<Figure> {
    let places = length.pick(2, 16);
    let manner = Manner {
        places,
        service_time: SERVICE_TIME,
        ..Manner::default()
    };
    // Somewhat above what waits at the highest load that is served well, as docs/operations.md says.
    let more = format!(
        "overload: {{ requests: {}, normal_percent: 75 }}",
        3 * places
    );
    let stage = Stage::set(1, manner, &more).await;
    stage.world.publish(&format!("routes: {ROUTES}")).await;
    until_status(&stage.gateway.url("/high/big"), 200).await;
    let data = stage.gateway.data();
    let capacity = places as f64 / SERVICE_TIME.as_secs_f64();

    // The peak: as much as can be served is asked for, and little more.
    let load = OpenLoop::get(data, "/api/users/1", capacity);
    let time = length.seconds(4, 30);
    load.goes_on_for(time).await;
    let peak = rate_of(&load.finish().await, time);

    let normal = OpenLoop::get(data, "/api/users/1", 2.8 * capacity);
    let high = OpenLoop::get(data, "/high/1", 0.2 * capacity);
    let slowest = asked_meanwhile(&stage, time).await;
    let time = normal.elapsed();
    let (normal, high) = (normal.finish().await, high.finish().await);
    let goodput = rate_of(&normal, time) + rate_of(&high, time);

    let (n, h) = (normal.all(), high.all());
    let is_shed = |tally: &Tally| tally.failures.keys().all(|cause| cause == "503");
    assert!(is_shed(&n) && is_shed(&h), "{n:?}, {h:?}");
    assert!(n.failed() > n.sent / 3, "it was no overload: {n:?}");
    let share = goodput / peak;
    assert!(
        share >= length.pick(0.3, 0.9),
        "{goodput:.0} of {peak:.0} a second"
    );
    let passed = h.answered() as f64 / h.sent as f64;
    assert!(passed > length.pick(0.3, 0.95), "high priority: {h:?}");
    let refusals = n.failed_percentile(99.0);
    assert!(
        refusals < length.pick(Duration::from_secs(3), Duration::from_millis(100)),
        "{refusals:?}"
    );
    assert!(
        slowest < length.seconds(5, 1),
        "probes and admin: {slowest:?}"
    );
    until("what waited to be done", async || {
        (stage.gateway.value("pailou_requests_waiting").await == 0).then_some(())
    })
    .await;
    let beside = format!(
        "served {:.0} % of the peak of {peak:.0} a second; 503 within {} (p99); of high priority {:.0} % served; \
         probes and admin within {}",
        share * 100.0,
        milliseconds(refusals),
        passed * 100.0,
        milliseconds(slowest)
    );
    vec![Figure::new(
        "overload, three times the capacity",
        &n,
        beside,
    )]
}

fn rate_of(outcome: &Outcome, time: Duration) -> f64 {
    outcome.all().answered() as f64 / time.as_secs_f64()
}

/// Asks probes and admin again and again for so long; the longest that one of them took.
async fn asked_meanwhile(stage: &Stage, time: Duration) -> Duration {
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < time {
        for url in [
            stage.gateway.probes_url("/readyz"),
            stage.gateway.admin_url("/api/v1/status"),
        ] {
            let asked = Instant::now();
            let answer = reqwest::get(&url).await.expect("an answer");
            assert_eq!(answer.status(), 200, "{url}");
            slowest = slowest.max(asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    slowest
}
