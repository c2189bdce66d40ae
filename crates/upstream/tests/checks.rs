//! Active checks: who is asked, and what answers make of an endpoint.

mod support;

use std::sync::Arc;
use std::time::Duration;

use pailou_config::{CheckKind, HealthCheckSpec};
use pailou_upstream::{Check, CheckFailure, Checking, EndpointSpec, Outcome, Target};
use support::{World, address, spec};

fn check(path: &str) -> Check {
    Check {
        spec: HealthCheckSpec {
            kind: CheckKind::Http(path.to_owned()),
            port: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            unhealthy_after: 2,
            healthy_after: 2,
        },
        transport: None,
        upstream_tls: 0,
        proxy_protocol: false,
    }
}

/// Four endpoints of equal weight, checked.
fn world() -> (World, Arc<Checking>) {
    let world = World::new("round_robin");
    world.weights(&[1.0; 4]);
    let checking = world.service.checking(&check("/up"));
    (world, checking)
}

fn target(world: &World, number: u16) -> Target {
    let mut targets = world.services.targets().into_iter();
    let target = targets.find(|target| target.address == address(number));
    target.expect("it is to be asked")
}

fn fails(world: &World, number: u16, times: usize) {
    let target = target(world, number);
    (0..times).for_each(|_| target.report(Err(CheckFailure::Timeout)));
}

fn passes(world: &World, number: u16, times: usize) {
    let target = target(world, number);
    (0..times).for_each(|_| target.report(Ok(())));
}

#[test]
fn failures_in_a_row_take_an_endpoint_out_and_answers_bring_it_back() {
    let (world, _checking) = world();
    fails(&world, 2, 1);
    passes(&world, 2, 1);
    fails(&world, 2, 1);
    assert!(world.is_picked(2));
    fails(&world, 2, 1);
    assert!(!world.is_picked(2) && world.is_picked(1));
    assert_eq!(world.reasons(2), "check failed");
    assert!(!world.view(2).is_in);
    let seen = world.view(2).checks;
    assert_eq!(seen[0].check, "http /up");
    assert_eq!(
        (seen[0].failing, seen[0].last.as_deref()),
        (true, Some("timeout"))
    );
    world.assert_metric("pailou_service_endpoints{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\",state=\"check_failed\"} 1");
    passes(&world, 2, 1);
    assert!(!world.is_picked(2));
    passes(&world, 2, 1);
    assert!(world.is_picked(2));
}

#[test]
fn checks_and_requests_each_have_their_own_word() {
    let (world, _checking) = world();
    fails(&world, 1, 2);
    world.weights(&[1.0; 4]);
    assert_eq!(
        world.reasons(1),
        "check failed",
        "an update changes nothing"
    );
    // What requests have found is not lifted by a check.
    world.report(2, Outcome::Refused);
    passes(&world, 2, 5);
    assert_eq!(world.reasons(2), "ejected");
    fails(&world, 2, 2);
    assert_eq!(world.reasons(2), "ejected, check failed");
}

#[test]
fn no_more_than_the_bounded_share_is_left_out() {
    let (world, _checking) = world();
    fails(&world, 1, 2);
    world.report(2, Outcome::Refused);
    assert!(!world.is_picked(1) && !world.is_picked(2));
    assert!(!world.service.view().panic);
    // Two of four is half; a third one is too much.
    fails(&world, 3, 2);
    assert!(world.service.view().panic);
    assert!((1..=4).all(|number| world.is_picked(number)));
    passes(&world, 3, 2);
    assert!(!world.service.view().panic && !world.is_picked(1));
}

#[test]
fn who_could_have_requests_is_asked_and_nobody_else() {
    let (world, checking) = world();
    world.update([
        spec(1),
        EndpointSpec {
            healthy: false,
            ..spec(2)
        },
        EndpointSpec {
            enabled: false,
            ..spec(3)
        },
        EndpointSpec {
            weight: 0.0,
            ..spec(4)
        },
        // Two listings are one address.
        EndpointSpec {
            cluster: "b".into(),
            ..spec(1)
        },
    ]);
    let asked = |world: &World| {
        let targets = world.services.targets();
        targets
            .iter()
            .map(|target| target.address.port())
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(&world), [1, 2]);
    // The same wish is the same check; another is one more.
    let same = world.service.checking(&check("/up"));
    assert!(Arc::ptr_eq(&checking, &same));
    let other = world.service.checking(&check("/ready"));
    assert_eq!(asked(&world), [1, 1, 2, 2]);
    drop(other);
    assert_eq!(asked(&world), [1, 2]);
    drop((checking, same));
    assert!(asked(&world).is_empty());
    // It may begin again.
    let _again = world.service.checking(&check("/up"));
    assert_eq!(asked(&world), [1, 2]);
}

#[test]
fn what_a_check_found_ends_with_it() {
    let (world, checking) = world();
    fails(&world, 1, 2);
    let late = target(&world, 1);
    drop(checking);
    world.services.targets();
    assert!(world.is_picked(1));
    assert_eq!(world.reasons(1), "eligible");
    late.report(Err(CheckFailure::Timeout));
    assert!(world.view(1).checks.is_empty());
}

#[test]
fn a_fresh_registration_is_another_process() {
    let (world, _checking) = world();
    fails(&world, 1, 2);
    world.update([
        EndpointSpec {
            registration: 7,
            ..spec(1)
        },
        spec(2),
        spec(3),
    ]);
    assert!(world.is_picked(1));
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_of_changes() {
    let (world, checking) = world();
    let told = async || {
        tokio::time::timeout(Duration::from_secs(1), world.services.checks_changed())
            .await
            .is_ok()
    };
    assert!(told().await, "a check began");
    assert!(!told().await);
    world.weights(&[1.0; 5]);
    assert!(told().await, "endpoints changed");
    drop(checking);
    assert!(told().await, "a check ended");
}
