//! Ejection, return, panic mode, holds and slow start, with the clock paused.

mod support;

use std::sync::Arc;
use std::time::Duration;

use pailou_upstream::{
    EjectionSettings, EndpointSet, EndpointSpec, Hint, NoEndpoint, Outcome, ServiceId, Subset,
    Tried,
};
use support::{ANSWERED, World, address, spec};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};

/// A round-robin world that is supervised.
fn supervised() -> (World, JoinHandle<std::convert::Infallible>) {
    let world = World::new("round_robin");
    let supervisor = tokio::spawn(Arc::clone(&world.services).supervise());
    (world, supervisor)
}

/// Waits until that endpoint is picked, and says how long that took.
async fn returns_after(world: &World, number: u16) -> Duration {
    let start = Instant::now();
    while !world
        .view(number)
        .reasons
        .contains(&pailou_upstream::Reason::OnTrial)
    {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{number} does not return"
        );
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

#[track_caller]
fn assert_between(duration: Duration, least: f64, most: f64) {
    // The watcher looks every 10 ms.
    let seconds = duration.as_secs_f64();
    assert!(
        (least - 0.02..=most + 0.02).contains(&seconds),
        "{seconds} s, not {least} to {most}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_ejects_and_what_does_not() {
    for (outcome, ejects) in [
        (Outcome::Refused, true),
        (Outcome::Reset, true),
        (Outcome::ConnectTimeout, true),
        (Outcome::Tls, true),
        (Outcome::Timeout, false),
        (ANSWERED, false),
    ] {
        let world = World::new("round_robin");
        world.weights(&[1.0; 3]);
        world.report(1, outcome);
        assert_eq!(world.is_picked(1), !ejects, "{outcome:?}");
        assert_eq!(world.view(1).ejection.is_some(), ejects, "{outcome:?}");
        assert_eq!(world.view(1).is_in, !ejects, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn five_timeouts_in_a_row_eject_and_an_answer_between_them_forgives() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    for _ in 0..4 {
        world.report(1, Outcome::Timeout);
    }
    world.report(1, ANSWERED);
    for _ in 0..4 {
        world.report(1, Outcome::Timeout);
    }
    assert!(world.is_picked(1));
    world.report(1, Outcome::Timeout);
    assert!(!world.is_picked(1));
    world.assert_metric(
        "pailou_service_ejections_total{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\",cause=\"timeout\"} 1",
    );
}

#[tokio::test(start_paused = true)]
async fn the_back_off_doubles_while_it_fails_and_an_answer_resets_it() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 3]);
    for longest in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        world.report(1, Outcome::Refused);
        assert_eq!(world.reasons(1), "ejected");
        assert_between(returns_after(&world, 1).await, longest * 0.8, longest);
    }
    world.report(1, ANSWERED);
    assert_eq!(world.reasons(1), "eligible");
    world.report(1, Outcome::Reset);
    assert_between(returns_after(&world, 1).await, 0.8, 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_returned_endpoint_gets_one_request_at_a_time_until_it_answers() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 3]);
    world.report(1, Outcome::Refused);
    returns_after(&world, 1).await;
    let test = world.pick_of(1);
    assert!(!world.is_picked(1), "while the trial is under way");
    drop(test);
    let test = world.pick_of(1);
    assert!(
        !world.is_picked(1),
        "a trial that said nothing is open again, for one"
    );
    test.report(ANSWERED);
    assert!(world.is_picked(1));
    assert_eq!(world.reasons(1), "eligible");
}

#[tokio::test(start_paused = true)]
async fn a_trial_ends_with_its_first_timeout() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 3]);
    world.report(1, Outcome::Refused);
    returns_after(&world, 1).await;
    world.report(1, Outcome::Timeout);
    assert_eq!(
        world
            .view(1)
            .ejection
            .map(|ejection| (ejection.cause, ejection.failures)),
        Some(("timeout", 2))
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_resort_is_an_endpoint_on_trial() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 2]);
    world.report(1, Outcome::Refused);
    returns_after(&world, 1).await;
    let _test = world.pick_of(1);
    let mut tried = Tried::none();
    tried.push(address(2));
    assert_eq!(
        world
            .selection
            .pick(&Hint::after(&tried))
            .expect("rather than none")
            .address(),
        address(1)
    );
}

#[tokio::test(start_paused = true)]
async fn many_failures_at_once_are_one_ejection() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 3]);
    let picks: Vec<_> = (0..30).map(|_| world.pick_of(1)).collect();
    for pick in &picks[..20] {
        pick.report(Outcome::Reset);
    }
    assert_eq!(
        world.view(1).ejection.map(|ejection| ejection.failures),
        Some(1)
    );
    assert_between(returns_after(&world, 1).await, 0.8, 1.0);
    for pick in &picks[20..] {
        pick.report(Outcome::Reset);
    }
    assert_eq!(
        world.reasons(1),
        "on trial",
        "what was sent before the ejection says nothing about now"
    );
}

#[tokio::test(start_paused = true)]
async fn an_ejection_survives_updates() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    world.report(1, Outcome::Refused);
    world.weights(&[5.0, 1.0, 1.0]);
    world.update([
        EndpointSpec {
            metadata: Arc::new([("a".into(), "b".into())].into()),
            ..spec(1)
        },
        spec(2),
        spec(3),
    ]);
    assert_eq!(world.reasons(1), "ejected");
    assert!(!world.is_picked(1));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_share_ejected_endpoints_are_used_again() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 4]);
    world.report(1, Outcome::Refused);
    world.report(2, Outcome::Refused);
    assert!(!world.service.view().panic, "half is not more than half");
    assert_eq!(world.selection.len(), 2);
    world.report(3, Outcome::Refused);
    let view = world.service.view();
    assert!(view.panic && view.selections[0].panic);
    assert_eq!(world.selection.len(), 4);
    assert!((1..=4).all(|number| world.is_picked(number)));
    assert_eq!(
        (world.view(1).is_in, world.reasons(1)),
        (true, "ejected".to_owned())
    );
    world.assert_metric("pailou_service_panic{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"} 1");

    let mut tried = Tried::none();
    tried.push(address(3));
    for _ in 0..50 {
        let pick = world.selection.pick(&Hint::after(&tried)).expect("another");
        assert_eq!(pick.address(), address(4), "a retry goes where it is well");
    }

    world.report(1, Outcome::Refused);
    assert_eq!(
        world.view(1).ejection.map(|ejection| ejection.failures),
        Some(1),
        "no doubling while it is out"
    );
    world.report(1, ANSWERED);
    assert!(
        !world.service.view().panic,
        "the answer of an ejected endpoint returns it"
    );
    assert_eq!(world.selection.len(), 2);
    world.assert_metric("pailou_service_panic{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"} 0");
}

#[tokio::test(start_paused = true)]
async fn a_lone_endpoint_is_used_although_it_is_ejected() {
    let world = World::new("round_robin");
    world.weights(&[1.0]);
    world.report(1, Outcome::Refused);
    assert!(world.is_picked(1));
    let never = World::with(
        "round_robin",
        EjectionSettings {
            max_percent: 100,
            ..Default::default()
        },
    );
    never.weights(&[1.0]);
    never.report(1, Outcome::Refused);
    assert_eq!(
        never.selection.pick(&Hint::first()).err(),
        Some(NoEndpoint::NoneEligible)
    );
}

#[tokio::test(start_paused = true)]
async fn the_share_is_reckoned_within_a_selections_subset() {
    let world = World::new("round_robin");
    let canary: Arc<_> = Arc::new([("version".to_owned(), "v2".to_owned())].into());
    world.update((1..=10).map(|number| match number {
        1 => EndpointSpec {
            metadata: Arc::clone(&canary),
            ..spec(1)
        },
        number => spec(number),
    }));
    let subset = Subset {
        split: None,
        metadata: (*canary).clone(),
        ..Subset::default()
    };
    let selection = world
        .services
        .selection(&world.service, &subset, world.selection.policy());
    selection
        .pick(&Hint::first())
        .expect("the canary")
        .report(Outcome::Refused);
    assert!(
        selection.pick(&Hint::first()).is_ok(),
        "the canary's only endpoint is used in panic"
    );
    assert!(
        !world.is_picked(1),
        "for the whole service one of ten is out"
    );
}

#[tokio::test(start_paused = true)]
async fn panic_never_revives_a_held_endpoint() {
    let (world, _supervisor) = supervised();
    let held = |number| EndpointSpec {
        held: true,
        ..spec(number)
    };
    world.update([spec(1), spec(2)]);
    world.update([held(1), held(2)]);
    assert!(world.is_picked(1) && world.is_picked(2));
    world.report(1, Outcome::Refused);
    world.report(2, Outcome::Refused);
    assert_eq!(
        world.selection.pick(&Hint::first()).err(),
        Some(NoEndpoint::NoneEligible)
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        world.selection.pick(&Hint::first()).err(),
        Some(NoEndpoint::NoneEligible)
    );
    assert_eq!(world.reasons(1), "ejected, held");
    assert_eq!(
        world
            .view(1)
            .ejection
            .map(|ejection| ejection.returns_in_ms),
        Some(None)
    );

    world.update([spec(1), held(2)]);
    assert!(world.is_picked(1), "it is listed again");
    assert_eq!(world.reasons(1), "slow start");
    assert!(!world.is_picked(2));
}

#[tokio::test(start_paused = true)]
async fn panic_revives_the_live_and_leaves_the_held_out() {
    let world = World::new("round_robin");
    world.update([
        spec(1),
        EndpointSpec {
            held: true,
            ..spec(2)
        },
    ]);
    world.report(2, Outcome::Refused);
    world.report(1, Outcome::Refused);
    assert!(world.service.view().panic);
    assert!(world.is_picked(1) && !world.is_picked(2));
    assert_eq!((world.view(1).is_in, world.view(2).is_in), (true, false));
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_that_becomes_held_stays_out() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 3]);
    world.report(1, Outcome::Refused);
    world.update((1..=3).map(|number| EndpointSpec {
        held: true,
        ..spec(number)
    }));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.reasons(1), "ejected, held");
    world.update([spec(1), spec(2), spec(3)]);
    assert!(world.is_picked(1));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_registration_lifts_the_ejection_and_starts_slowly() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 3]);
    for _ in 0..3 {
        world.report(1, Outcome::Refused);
        returns_after(&world, 1).await;
    }
    world.report(1, Outcome::Refused);
    world.update([
        EndpointSpec {
            registration: 1,
            ..spec(1)
        },
        spec(2),
        spec(3),
    ]);
    assert_eq!(world.reasons(1), "slow start");
    let start = Instant::now();
    for (seconds, percent) in [(0, 10), (1, 19), (5, 55), (9, 91)] {
        advance(start + Duration::from_secs(seconds) - Instant::now()).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(world.view(1).slow_start_percent, Some(percent));
        let share = world.shares(3_000)[&1] as f64 / 30.0;
        let exact = f64::from(percent) / (200.0 + f64::from(percent)) * 100.0;
        assert!(
            (share - exact).abs() < 1.0,
            "{share} % for {exact} % after {seconds} s"
        );
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.reasons(1), "eligible");
    assert_eq!(world.shares(3_000)[&1], 1_000);
    world.report(1, Outcome::Refused);
    assert_eq!(
        world.view(1).ejection.map(|ejection| ejection.failures),
        Some(1),
        "its past is forgotten"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fresh_registration_of_a_well_endpoint_changes_nothing() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    world.update([
        EndpointSpec {
            registration: 1,
            ..spec(1)
        },
        spec(2),
        spec(3),
    ]);
    assert_eq!(world.reasons(1), "eligible");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_leaves_and_comes_back_keeps_its_counters_while_it_matters() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 2]);
    let pick = world.pick_of(1);
    world.update([spec(2)]);
    assert!(!world.is_picked(1));
    world.weights(&[1.0; 2]);
    assert_eq!(world.view(1).in_flight, 1, "its request is still under way");
    assert_eq!(world.reasons(1), "eligible");
    pick.report(Outcome::Refused);
    drop(pick);
    assert_eq!(world.reasons(1), "ejected");
    world.update([spec(2)]);
    world.weights(&[1.0; 2]);
    assert_eq!(
        world.reasons(1),
        "slow start",
        "to be listed anew is a fresh registration"
    );
}

#[tokio::test(start_paused = true)]
async fn ejection_is_per_service_and_address() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    let other = world
        .services
        .service(&ServiceId::new("", "DEFAULT_GROUP", "order-service"));
    let selection = world
        .services
        .selection(&other, &Subset::default(), world.selection.policy());
    other.update(EndpointSet::of([spec(1), spec(4)]));
    world.report(1, Outcome::Refused);
    assert_eq!(selection.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_report_after_the_service_is_gone_is_ignored() {
    let world = World::new("round_robin");
    world.weights(&[1.0]);
    let pick = world.pick();
    drop(world);
    pick.report(Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_skipped_before_the_supervisor_has_seen_it() {
    for policy in ["round_robin", "random", "least_request"] {
        let world = World::new(policy);
        world.weights(&[1.0; 3]);
        world.pick_of(1).report(Outcome::Refused);
        assert_eq!(world.selection.len(), 3, "nothing was rebuilt");
        assert!(!world.is_picked(1), "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_wakes_the_supervisor_at_once() {
    let (world, _supervisor) = supervised();
    world.weights(&[1.0; 3]);
    let start = Instant::now();
    let pick = world.pick_of(1);
    pick.report(Outcome::Refused);
    while world.selection.len() == 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_held_endpoint_that_just_failed_is_no_last_resort() {
    let world = World::new("round_robin");
    world.update([EndpointSpec {
        held: true,
        ..spec(1)
    }]);
    world.pick_of(1).report(Outcome::Refused);
    let error = || world.selection.pick(&Hint::first()).err();
    assert_eq!(error(), Some(NoEndpoint::NoneEligible));
    world.services.advance();
    assert_eq!(error(), Some(NoEndpoint::NoneEligible));
}

#[tokio::test(start_paused = true)]
async fn a_retry_tries_what_is_listed_before_what_is_held() {
    for policy in ["round_robin", "random", "least_request"] {
        let world = World::new(policy);
        let held = |number| EndpointSpec {
            held: true,
            ..spec(number)
        };
        world.update([held(1), held(2), held(3), spec(4), spec(5), spec(6)]);
        for first in 1..=3 {
            let mut tried = Tried::none();
            tried.push(address(first));
            let mut order = Vec::new();
            while let Ok(pick) = world.selection.pick(&Hint::after(&tried)) {
                tried.push(pick.address());
                order.push(pick.address().port());
            }
            let (listed, rest) = order.split_at(3);
            assert!(listed.iter().all(|port| *port > 3), "{policy} {order:?}");
            assert_eq!(rest.len(), 2, "{policy} {order:?}");
        }
    }
}

const BAD_GATEWAY: Outcome = Outcome::Answered {
    status: 502,
    latency: Duration::from_millis(1),
};

#[tokio::test(start_paused = true)]
async fn gateway_errors_in_a_row_eject_where_a_setting_says_how_many() {
    let settings = EjectionSettings {
        gateway_errors: 3,
        ..EjectionSettings::default()
    };
    let world = World::with("round_robin", settings);
    let _supervisor = tokio::spawn(Arc::clone(&world.services).supervise());
    world.weights(&[1.0; 3]);
    let status = |status| Outcome::Answered {
        status,
        latency: Duration::from_millis(1),
    };
    // Anything else between them begins the count anew, and any other error is a service's own affair.
    for outcome in [502, 503, 200, 504, 502, 404, 500, 500, 500, 501, 503, 503].map(status) {
        world.report(1, outcome);
        assert_eq!(world.reasons(1), "eligible", "{outcome:?}");
    }
    world.report(1, BAD_GATEWAY);
    assert_eq!(world.reasons(1), "ejected");
    assert_eq!(
        world.view(1).ejection.map(|it| it.cause),
        Some("gateway_errors")
    );
    // On trial one more is enough, and an answer ends it.
    returns_after(&world, 1).await;
    world.report(1, BAD_GATEWAY);
    assert_eq!(world.view(1).ejection.map(|it| it.failures), Some(2));
    returns_after(&world, 1).await;
    world.report(1, status(404));
    assert_eq!(world.reasons(1), "eligible");
}

#[tokio::test(start_paused = true)]
async fn gateway_errors_say_nothing_unless_a_setting_wants_it() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    (0..100).for_each(|_| world.report(1, BAD_GATEWAY));
    assert_eq!(world.reasons(1), "eligible");
}
