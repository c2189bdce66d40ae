//! Networks between the gateway and its instances that drop, stall, reset, delay and cut.

use std::sync::Arc;
use std::time::Duration;

use crate::client::{OpenLoop, Outcome};
use crate::fault_proxy::{Fault, FaultProxy};
use crate::figures::{Figure, milliseconds};
use crate::origin::{Ledger, Manner, Origin};
use crate::stage::{Length, PATH, SERVICE, endpoints, settings};
use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{Registered, World};

/// A gateway whose instances are each behind a proxy.
struct Behind {
    _world: World,
    gateway: Gateway,
    ledger: Arc<Ledger>,
    origins: Vec<Origin>,
    proxies: Vec<FaultProxy>,
    _registered: Vec<Registered>,
}

/// So many instances; `route` is what the table says of them.
async fn behind(instances: usize, route: &str, more: &str) -> Behind {
    let world = World::new().await;
    let ledger = Arc::default();
    let (mut origins, mut proxies, mut registered) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..instances {
        let origin = Origin::start(&format!("i{n}"), &ledger, Manner::default());
        let proxy = FaultProxy::start(origin.address(), n as u64);
        registered.push(world.register(SERVICE, proxy.address()).await);
        origins.push(origin);
        proxies.push(proxy);
    }
    world
        .publish(&format!("routes: {{ /api/users/**: {route} }}"))
        .await;
    let gateway = world.gateway_with(&settings(more)).await.ready().await;
    endpoints(&gateway, instances).await;
    Behind {
        _world: world,
        gateway,
        ledger,
        origins,
        proxies,
        _registered: registered,
    }
}

impl Behind {
    fn served(&self) -> Vec<u64> {
        self.origins.iter().map(Origin::served).collect()
    }

    /// How often an endpoint was ejected, whatever the cause.
    async fn ejections(&self) -> u64 {
        let metrics = self.gateway.metrics().await;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("pailou_service_ejections_total"));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() as u64
    }

    async fn until_ejected(&self) {
        until("an ejection", async || {
            (self.ejections().await > 0).then_some(())
        })
        .await;
    }
}

/// The proxy's own ways to break a connection: reset in the middle of an answer, half-close there, latency with jitter. Of an
/// answer that had begun, the client must not be told that it is whole; nothing else may fail.
pub(crate) async fn broken(length: Length) -> Vec<Figure> {
    let stage = behind(3, SERVICE, "").await;
    let load = OpenLoop::get(stage.gateway.data(), PATH, length.rate());
    let mut figures = Vec::new();
    let (by, jitter) = (Duration::from_millis(10), Duration::from_millis(20));
    for (name, fault) in [
        ("reset before an answer", Fault::ResetAt(0)),
        ("reset within an answer", Fault::ResetAt(300)),
        ("half-close within an answer", Fault::HalfCloseAt(300)),
        ("10 ms to 30 ms of latency", Fault::Delay { by, jitter }),
    ] {
        let from = load.elapsed();
        stage.proxies[0].set(fault);
        load.goes_on_for(length.seconds(2, 20)).await;
        stage.proxies[0].set(Fault::None);
        figures.push((name, from, load.elapsed()));
        load.goes_on_for(Duration::from_millis(500)).await;
    }
    let outcome = load.finish().await;
    let rows = figures.into_iter().map(|(name, from, to)| {
        let tally = outcome.between(from, to);
        assert!(tally.answered() > 0, "{name}: {tally:?}");
        let is_truncated = |cause: &String| cause.starts_with("truncated");
        // A head that went out cannot be taken back: the client is told by the end of the connection.
        let allowed = name.contains("within") && tally.failures.keys().all(is_truncated);
        assert!(allowed || tally.failed() == 0, "{name}: {tally:?}");
        Figure::new(name, &tally, "one of 3 instances")
    });
    rows.collect()
}

/// Scenario 5: half of the instances are cut off, by dropped packets. Until the gateway has noticed, a request may take the time of a
/// connect time-out and one more try.
pub(crate) async fn partition_of_half(length: Length) -> Vec<Figure> {
    let more = "defaults: { connect_timeout: 500ms, timeout: 3s }";
    let stage = behind(4, SERVICE, more).await;
    let load = OpenLoop::get(stage.gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(1, 5)).await;
    let from = load.elapsed();
    for proxy in &stage.proxies[..2] {
        proxy.set(Fault::BlackHole);
    }
    stage.until_ejected().await;
    load.goes_on_for(length.seconds(6, 30)).await;
    for proxy in &stage.proxies[..2] {
        proxy.set(Fault::None);
    }
    let healed = load.elapsed();
    let before = stage.served();
    until("the two to serve again", async || {
        let now = stage.served();
        (now[0] > before[0] && now[1] > before[1]).then_some(())
    })
    .await;
    let back = load.elapsed() - healed;
    let outcome = load.finish().await;
    let later = outcome.between(from + Duration::from_secs(4), healed);
    assert_eq!(later.failed(), 0, "once it is noticed: {later:?}");
    let cut = outcome.between(from, healed);
    // Those that were written on an open connection just then can only be waited for.
    assert!(cut.failures.keys().all(|cause| cause == "504"), "{cut:?}");
    let beside = format!("2 of 4; back {:.1} s after it healed", back.as_secs_f64());
    vec![Figure::new(
        "partition from half of the instances",
        &cut,
        beside,
    )]
}

/// Scenario 8: an instance accepts and then says nothing, as one that is stopped by SIGSTOP.
pub(crate) async fn hung(length: Length) -> Vec<Figure> {
    let stage = behind(3, &format!("{{ service: {SERVICE}, timeout: 1s }}"), "").await;
    let load = OpenLoop::get(stage.gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(1, 5)).await;
    let from = load.elapsed();
    stage.proxies[0].set(Fault::Stall);
    stage.until_ejected().await;
    let noticed = load.elapsed();
    // Those that were on their way when it was ejected.
    load.goes_on_for(Duration::from_millis(1_500)).await;
    let settled = load.elapsed();
    load.goes_on_for(length.seconds(4, 30)).await;
    let to = load.elapsed();
    stage.proxies[0].set(Fault::None);
    let before = stage.served()[0];
    until("it to serve again", async || {
        (stage.served()[0] > before + 5).then_some(())
    })
    .await;
    let outcome = load.finish().await;
    let all = outcome.all();
    assert!(all.failures.keys().all(|cause| cause == "504"), "{all:?}");
    assert_victims_are_few(&outcome, (settled, to));
    let victims = outcome.between(from, noticed);
    let beside = format!(
        "1 of 3; out after {:.1} s; {} victims before, {} in the {:.0} s after",
        (noticed - from).as_secs_f64(),
        victims.failed(),
        outcome.between(noticed, to).failed(),
        (to - noticed).as_secs_f64()
    );
    vec![Figure::new(
        "an instance that hangs",
        &outcome.between(from, to),
        beside,
    )]
}

/// Once it is out, only requests that look whether it is back may find it hung: at most one each second, since back-off grows from there.
fn assert_victims_are_few(outcome: &Outcome, (from, to): (Duration, Duration)) {
    let tally = outcome.between(from, to);
    let seconds = (to - from).as_secs_f64().ceil() as u64;
    assert!(tally.failed() <= 5 * seconds, "{tally:?} in {seconds} s");
}

/// Scenario 9: one of five instances takes half a second. It gets little, and is not ejected for it.
pub(crate) async fn slow(length: Length) -> Vec<Figure> {
    let route = format!("{{ service: {SERVICE}, balance: least_request }}");
    let stage = behind(5, &route, "").await;
    let by = Duration::from_millis(500);
    let jitter = Duration::ZERO;
    let load = OpenLoop::get(stage.gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(2, 20)).await;
    let healthy = load.elapsed();
    let before = stage.served();
    stage.proxies[0].set(Fault::Delay { by, jitter });
    load.goes_on_for(length.seconds(5, 30)).await;
    let after = stage.served();
    let to = load.elapsed();
    let outcome = load.finish().await;
    outcome.assert_clean();
    let took: Vec<u64> = after
        .iter()
        .zip(before)
        .map(|(now, then)| now - then)
        .collect();
    let share = took[0] as f64 / took.iter().sum::<u64>() as f64;
    assert!(share < 0.1, "its share is {share} of {took:?}");
    assert_eq!(stage.ejections().await, 0, "slow is not broken");
    let quiet = outcome.between(Duration::ZERO, healthy);
    let beside = format!(
        "its share {:.1} % of 20 %; p99 before {}",
        share * 100.0,
        milliseconds(quiet.percentile(99.0))
    );
    let slow = outcome.between(healthy, to);
    drop(stage.ledger);
    vec![Figure::new(
        "an instance that is 500 ms late",
        &slow,
        beside,
    )]
}
