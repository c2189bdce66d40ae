//! Endpoints that do worse than the others of their service, with the clock paused.

mod support;

use std::sync::Arc;
use std::time::Duration;

use pailou_upstream::{
    EjectionSettings, EndpointSpec, EndpointView, Hint, Outcome, Policy, Reason, Subset,
};
use support::{World, address, spec};
use tokio::time::{advance, sleep};

const INTERVAL: Duration = Duration::from_secs(10);

fn settings() -> EjectionSettings {
    EjectionSettings {
        success_rate: Some(1.9),
        latency: Some(3.0),
        ..EjectionSettings::default()
    }
}

/// So many endpoints of equal weight.
fn world(settings: EjectionSettings, endpoints: usize) -> World {
    let world = World::with("round_robin", settings);
    world.weights(&vec![1.0; endpoints]);
    world
}

fn answered(status: u16, milliseconds: u64) -> Outcome {
    Outcome::Answered {
        status,
        latency: Duration::from_millis(milliseconds),
    }
}

/// Sends so many requests, which go as `outcome` says of an endpoint and a running number, and ends the interval.
async fn interval(world: &World, requests: u32, outcome: impl Fn(u16, u32) -> Outcome) {
    for number in 0..requests {
        let pick = world.pick();
        pick.report(outcome(pick.address().port(), number));
    }
    advance(INTERVAL).await;
    world.services.advance();
}

/// Every third answer of endpoint 1 is an error of its own. (Requests go round; 5 and 3 have no common divisor.)
fn flaky(port: u16, number: u32) -> Outcome {
    answered(
        if port == 1 && number.is_multiple_of(3) {
            500
        } else {
            200
        },
        1,
    )
}

fn slow(port: u16, _: u32) -> Outcome {
    answered(200, if port == 2 { 100 } else { 20 })
}

fn cause(view: &EndpointView) -> Option<&'static str> {
    view.ejection.as_ref().map(|ejection| ejection.cause)
}

fn ejected(world: &World) -> usize {
    let view = world.service.view();
    let is_out = |it: &&EndpointView| it.reasons.contains(&Reason::Ejected);
    view.endpoints.iter().filter(is_out).count()
}

#[tokio::test(start_paused = true)]
async fn a_flaky_endpoint_and_a_slow_one_are_ejected_and_say_why() {
    for (outcome, number, word, evidence) in [
        (
            flaky as fn(u16, u32) -> Outcome,
            1,
            "success_rate",
            " % of 200 requests went well, 93.",
        ),
        (
            slow,
            2,
            "latency",
            "106 ms to an answer (median), 18 ms at the others",
        ),
    ] {
        let world = world(settings(), 5);
        interval(&world, 1_000, outcome).await;
        assert_eq!(ejected(&world), 1, "{word}");
        let view = world.view(number);
        assert_eq!(cause(&view), Some(word));
        assert!(!view.is_in && !world.is_picked(number), "{word}");
        let ejection = view.ejection.expect("it is ejected");
        let told = ejection.evidence.expect("it is measured");
        assert!(told.contains(evidence), "{told}");
        assert!((24_000..=30_000).contains(&ejection.returns_in_ms.expect("a time")));
        assert_eq!(view.interval.expect("it is measured").requests, 200);
        world.assert_metric(&format!(
            "pailou_service_ejections_total{{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\",cause=\"{word}\"}} 1"
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_ejected_with_too_few_requests_or_too_few_endpoints_or_without_the_settings() {
    let both = |port, number| match port {
        1 => flaky(port, number),
        _ => slow(port, number),
    };
    for (settings, endpoints, requests) in [
        (settings(), 5, 495),
        (settings(), 4, 4_000),
        (EjectionSettings::default(), 5, 5_000),
    ] {
        let world = world(settings, endpoints);
        for _ in 0..3 {
            interval(&world, requests, both).await;
        }
        assert_eq!(ejected(&world), 0, "{endpoints} {requests}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_client_did_wrong_does_not_count() {
    let world = world(settings(), 5);
    for status in [400, 401, 404, 413, 429, 499] {
        let outcome = |port, _| answered(if port == 1 { status } else { 200 }, 1);
        interval(&world, 1_000, outcome).await;
        assert_eq!(ejected(&world), 0, "{status}");
        assert_eq!(
            world.view(1).interval.expect("measured").success_percent,
            100.0
        );
    }
    // A client that went away: nothing is reported.
    (0..1_000).for_each(|_| drop(world.pick()));
    advance(INTERVAL).await;
    world.services.advance();
    assert!(world.view(1).interval.is_none());
}

#[tokio::test(start_paused = true)]
async fn requests_without_an_answer_count_against_the_endpoint() {
    let world = world(settings(), 5);
    // Four late answers in a row do not eject by themselves.
    let outcome = |port, number: u32| match (port, number % 4) {
        (3, 0) => Outcome::Timeout,
        (3, 1) => Outcome::Malformed,
        _ => answered(200, 1),
    };
    interval(&world, 1_000, outcome).await;
    assert_eq!(cause(&world.view(3)), Some("success_rate"));
    assert_eq!(
        world.view(3).interval.expect("measured").success_percent,
        50.0
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_share_is_ejected_and_outliers_never_bring_panic() {
    // Nine of twenty are slow, each slower than the one before.
    let outcome = |port, _| {
        answered(
            200,
            if port <= 9 {
                1_000 * u64::from(port)
            } else {
                10
            },
        )
    };
    for (max_percent, most) in [(50, 9), (20, 4), (5, 1), (4, 0)] {
        let settings = EjectionSettings {
            max_percent,
            ..settings()
        };
        let world = world(settings, 20);
        for _ in 0..3 {
            interval(&world, 4_000, outcome).await;
            assert!(ejected(&world) <= most, "{max_percent}");
            assert!(!world.service.view().panic);
        }
        assert_eq!(ejected(&world), most, "{max_percent}");
        // The worst were the first to go.
        let worst = world.view(9).ejection.is_some();
        assert_eq!(worst, most > 0, "{max_percent}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_share_is_kept_in_every_selection() {
    let world = World::with("round_robin", settings());
    let policy = Policy::round_robin();
    let canary = Subset {
        cluster: Some("canary".to_owned()),
        ..Subset::default()
    };
    let canary = world.services.selection(&world.service, &canary, &policy);
    let specs = (1..=10).map(|number| EndpointSpec {
        cluster: if number == 1 { "canary" } else { "stable" }.into(),
        ..spec(number)
    });
    world.update(specs);
    // The only canary is flaky: to eject it would leave its route with nothing but panic.
    interval(&world, 2_000, flaky).await;
    assert_eq!(ejected(&world), 0);
    let pick = canary.pick(&Hint::first()).expect("the canary");
    assert_eq!(pick.address(), address(1));
}

#[tokio::test(start_paused = true)]
async fn an_outlier_returns_by_trial_and_stays_out_longer_each_time_that_it_is_one_again() {
    let world = world(settings(), 5);
    let supervisor = tokio::spawn(Arc::clone(&world.services).supervise());
    for longest in [30, 60, 120, 240, 300, 300] {
        interval(&world, 1_000, flaky).await;
        let ejection = world.view(1).ejection.expect("it is ejected");
        let left = ejection.returns_in_ms.expect("a time") / 1_000;
        assert!(
            (longest * 8 / 10 - 1..=longest).contains(&left),
            "{left} of {longest}"
        );
        // What was sent before says nothing of the present.
        assert!(!world.is_picked(1));
        sleep(Duration::from_secs(longest)).await;
        assert_eq!(world.reasons(1), "on trial");
        world.pick_of(1).report(answered(200, 1));
        assert_eq!(world.reasons(1), "eligible");
        interval(&world, 0, flaky).await;
    }
    // Every interval in which it is like the others makes up for one in which it was not.
    for _ in 0..5 {
        interval(&world, 1_000, |_, _| answered(200, 1)).await;
    }
    interval(&world, 1_000, flaky).await;
    let ejection = world.view(1).ejection.expect("it is ejected");
    assert!(ejection.returns_in_ms <= Some(60_000));
    supervisor.abort();
}

#[tokio::test(start_paused = true)]
async fn a_fresh_registration_lifts_it_and_nothing_of_the_old_process_is_judged() {
    let world = world(settings(), 5);
    interval(&world, 1_000, flaky).await;
    assert_eq!(ejected(&world), 1);
    let fresh = (1..=5).map(|number| EndpointSpec {
        registration: u64::from(number == 1),
        ..spec(number)
    });
    world.update(fresh);
    assert_eq!(ejected(&world), 0);
    interval(&world, 1_000, |_, _| answered(200, 1)).await;
    assert_eq!(ejected(&world), 0);
    assert_eq!(
        world.view(1).interval.expect("measured").success_percent,
        100.0
    );
}

/// All services are judged at the same moments, so that the supervisor sleeps between them.
#[tokio::test(start_paused = true)]
async fn the_supervisor_is_due_once_in_an_interval_and_only_where_there_is_something_to_compare() {
    let world = world(settings(), 5);
    let start = tokio::time::Instant::now();
    assert_eq!(world.services.advance(), Some(start + INTERVAL));
    advance(INTERVAL * 7 / 2).await;
    assert_eq!(world.services.advance(), Some(start + 4 * INTERVAL));
    world.weights(&[1.0; 4]);
    assert_eq!(world.services.advance(), None);
}
