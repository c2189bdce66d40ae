//! Slow start where a route wants it: who begins slowly, and what it gets.

mod support;

use std::sync::Arc;
use std::time::Duration;

use pailou_config::{CheckKind, HealthCheckSpec};
use pailou_upstream::{
    Check, CheckFailure, EjectionSettings, EndpointSpec, Outcome, Policy, Selection, Subset,
};
use support::{ANSWERED, World, spec};
use tokio::time::{advance, sleep};

const WINDOW: Duration = Duration::from_secs(20);

/// A world with two endpoints whose selection gives new ones time, and one that does not.
fn world(policy: &str) -> (World, Arc<Selection>) {
    let mut world = World::with(policy, EjectionSettings::default());
    let plain = Arc::clone(&world.selection);
    let policy = Policy::named(policy).expect("it is listed");
    world.selection = world.services.selection(
        &world.service,
        &Subset::default(),
        &policy.with_slow_start(WINDOW),
    );
    world.update([spec(1), spec(2)]);
    (world, plain)
}

/// The share of endpoint 3 in percent.
fn share(world: &World) -> f64 {
    fastrand::seed(3);
    world
        .shares(4_000)
        .get(&3)
        .map_or(0.0, |picks| *picks as f64 / 40.0)
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_joins_rises_to_its_share_under_every_policy() {
    for policy in ["round_robin", "random", "least_request"] {
        let (world, plain) = world(policy);
        let _supervisor = tokio::spawn(Arc::clone(&world.services).supervise());
        assert_eq!(
            world.reasons(1),
            "eligible",
            "the first ones are there already"
        );
        world.update([spec(1), spec(2), spec(3)]);
        assert_eq!(world.reasons(3), "slow start");
        for (seconds, part) in [(0, 0.10), (5, 0.325), (5, 0.55), (9, 0.955)] {
            sleep(Duration::from_secs(seconds)).await;
            sleep(Duration::from_millis(1)).await;
            let exact = part / (2.0 + part) * 100.0;
            let share = share(&world);
            assert!(
                (share - exact).abs() < 2.5,
                "{policy}: {share} % for {exact} %"
            );
            assert_eq!(plain.len(), 3, "a route that gives no time uses all of it");
        }
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.reasons(3), "eligible");
        assert!((share(&world) - 33.3).abs() < 2.5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_gives_no_time_uses_a_new_endpoint_at_once() {
    let (mut world, plain) = world("round_robin");
    world.update([spec(1), spec(2), spec(3)]);
    world.selection = plain;
    assert!((share(&world) - 33.3).abs() < 1.0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_begins_slowly() {
    let (world, _plain) = world("round_robin");
    let checking = world.service.checking(&Check {
        spec: HealthCheckSpec {
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            unhealthy_after: 1,
            healthy_after: 1,
        },
        transport: None,
        upstream_tls: 0,
        proxy_protocol: false,
    });
    world.update([spec(1), spec(2), spec(3)]);
    advance(WINDOW).await;
    world.services.advance();
    assert_eq!(world.reasons(3), "eligible");

    // From ejection, when it has answered.
    world.report(3, Outcome::Refused);
    advance(Duration::from_secs(2)).await;
    world.services.advance();
    assert_eq!(world.reasons(3), "on trial");
    world.report(3, ANSWERED);
    assert_eq!(world.reasons(3), "slow start");
    assert!(share(&world) < 6.0);

    // From a failed check.
    advance(WINDOW).await;
    world.services.advance();
    let targets = world.services.targets();
    let target = targets.iter().find(|target| target.address.port() == 3);
    let target = target.expect("it is asked");
    target.report(Err(CheckFailure::Refused));
    target.report(Ok(()));
    assert_eq!(world.reasons(3), "slow start");
    drop(checking);

    // As another process.
    advance(WINDOW).await;
    world.services.advance();
    assert_eq!(world.reasons(3), "eligible");
    let fresh = EndpointSpec {
        registration: 9,
        ..spec(3)
    };
    world.update([spec(1), spec(2), fresh.clone()]);
    assert_eq!(world.reasons(3), "slow start");
    // An edit of its weight is none.
    advance(WINDOW).await;
    world.services.advance();
    world.update([
        spec(1),
        spec(2),
        EndpointSpec {
            weight: 2.0,
            ..fresh
        },
    ]);
    assert_eq!(world.reasons(3), "eligible");
}
