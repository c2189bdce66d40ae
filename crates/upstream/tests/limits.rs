//! A bound on the requests of each endpoint, and who waits for room.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use pailou_upstream::{
    EjectionSettings, EndpointLimitSpec, Hint, NoEndpoint, Outcome, Pick, Policy, Selection,
    Subset, Tried,
};
use support::{ANSWERED, World, address, assert_shares, spec};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// A world whose selection lets each endpoint have `requests`, while `queue` wait for a second.
fn world(policy: &str, requests: u32, queue: u32) -> World {
    let mut world = World::with(policy, EjectionSettings::default());
    world.selection = limited(&world, policy, requests, queue);
    world
}

fn limited(world: &World, policy: &str, requests: u32, queue: u32) -> Arc<Selection> {
    let policy = Policy::named(policy).expect("it is listed");
    let policy = policy.with_endpoint_limit(Some(EndpointLimitSpec {
        requests,
        queue,
        wait: SECOND,
    }));
    world
        .services
        .selection(&world.service, &Subset::default(), &policy)
}

fn pick(selection: &Selection) -> Result<Pick, NoEndpoint> {
    selection.pick(&Hint::first())
}

/// Waits as a request does that has all the time in the world.
async fn wait(selection: &Selection) -> Result<Pick, NoEndpoint> {
    let due = Instant::now() + Duration::from_secs(3_600);
    selection.wait(&Hint::first(), due).await
}

#[test]
fn a_full_endpoint_is_passed_over_under_every_policy() {
    for entry in pailou_upstream::balance::REGISTRY {
        let world = world(entry.name, 3, 0);
        world.weights(&[1.0, 1.0, 5.0]);
        let hint = Hint::first().with_key(Some(7));
        let picks: Vec<Pick> = std::iter::from_fn(|| world.selection.pick(&hint).ok()).collect();
        let mut counts = BTreeMap::new();
        for pick in &picks {
            *counts.entry(pick.address().port()).or_insert(0) += 1;
        }
        let all_full = BTreeMap::from([(1, 3), (2, 3), (3, 3)]);
        assert_eq!(counts, all_full, "{}", entry.name);
        let none = world.selection.pick(&hint).expect_err("all are full");
        assert_eq!(none, NoEndpoint::Full, "{}", entry.name);
        drop(picks);
        assert!(pick(&world.selection).is_ok(), "{}", entry.name);
    }
}

#[test]
fn a_limit_that_is_not_reached_changes_nothing() {
    let world = world("round_robin", 1, 0);
    world.weights(&[1.0, 2.0, 3.0]);
    assert_shares(&world.shares(6_000), &[1.0, 2.0, 3.0], 0.1, "limited");
}

#[test]
fn the_requests_of_all_routes_count_and_each_has_its_own_limit() {
    let world = world("round_robin", 4, 0);
    world.weights(&[1.0]);
    let (two, free) = (
        limited(&world, "round_robin", 2, 0),
        limited(&world, "round_robin", u32::MAX, 0),
    );
    let picks = [pick(&free), pick(&free)];
    assert_eq!(pick(&two).err(), Some(NoEndpoint::Full));
    let third = pick(&world.selection).expect("three of four");
    drop(picks);
    assert!(pick(&two).is_ok(), "one of two");
    drop(third);
}

#[test]
fn what_is_full_is_told_from_what_is_tried_or_not_there() {
    let world = world("round_robin", 1, 0);
    assert_eq!(pick(&world.selection).err(), Some(NoEndpoint::Unknown));
    world.weights(&[0.0]);
    assert_eq!(pick(&world.selection).err(), Some(NoEndpoint::NoneEligible));
    world.weights(&[1.0, 1.0]);
    let mut tried = Tried::none();
    tried.push(address(1));
    let second = world.selection.pick(&Hint::after(&tried)).expect("2");
    assert_eq!(second.address(), address(2));
    let hint = Hint::after(&tried);
    assert_eq!(world.selection.pick(&hint).err(), Some(NoEndpoint::Full));
    tried.push(address(2));
    let hint = Hint::after(&tried);
    assert_eq!(
        world.selection.pick(&hint).err(),
        Some(NoEndpoint::AllTried)
    );
}

#[tokio::test(start_paused = true)]
async fn one_on_trial_is_tried_again_although_it_was_full() {
    let world = world("round_robin", 1, 0);
    world.weights(&[1.0]);
    let old = pick(&world.selection).expect("1");
    old.report(Outcome::Refused);
    world.services.advance();
    sleep(2 * SECOND).await;
    world.services.advance();
    assert_eq!(pick(&world.selection).err(), Some(NoEndpoint::Full));
    drop(old);
    let trial = pick(&world.selection).expect("on trial");
    trial.report(ANSWERED);
    drop(trial);
    assert_eq!(world.reasons(1), "eligible");
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_first_and_nobody_waits_for_longer_than_he_may() {
    let world = world("round_robin", 1, 2);
    world.weights(&[1.0]);
    let held = pick(&world.selection).expect("1");
    let order = Arc::new(AtomicUsize::new(0));
    let begin = |number: usize| {
        let (selection, order) = (Arc::clone(&world.selection), Arc::clone(&order));
        tokio::spawn(async move {
            let pick = wait(&selection).await.expect("in time");
            assert_eq!(order.fetch_add(1, SeqCst), number);
            sleep(SECOND / 10).await;
            drop(pick);
        })
    };
    let (first, second) = (begin(0), begin(1));
    tokio::task::yield_now().await;
    assert_eq!(world.selection.waiting(), 2);
    assert_eq!(
        wait(&world.selection).await.err(),
        Some(NoEndpoint::Full),
        "two may wait"
    );
    drop(held);
    // A newcomer does not take the place of those who wait.
    assert_eq!(pick(&world.selection).err(), Some(NoEndpoint::Full));
    first.await.expect("in order");
    second.await.expect("in order");
    assert_eq!(world.selection.waiting(), 0);

    let held = pick(&world.selection).expect("1");
    let began = Instant::now();
    assert_eq!(wait(&world.selection).await.err(), Some(NoEndpoint::Full));
    assert_eq!(began.elapsed(), SECOND);
    let due = Instant::now() + SECOND / 4;
    let late = world.selection.wait(&Hint::first(), due).await;
    assert_eq!(late.err(), Some(NoEndpoint::Full));
    assert_eq!(Instant::now(), due);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_makes_room_and_loses_nothing_for_the_others() {
    let world = world("round_robin", 1, 2);
    world.weights(&[1.0]);
    let held = pick(&world.selection).expect("1");
    let begin = || {
        let selection = Arc::clone(&world.selection);
        tokio::spawn(async move { wait(&selection).await.map(|pick| pick.address()) })
    };
    let (gone, stays) = (begin(), begin());
    tokio::task::yield_now().await;
    drop(held);
    // It was woken, and leaves before it looks.
    gone.abort();
    let picked = stays.await.expect("no panic");
    assert_eq!(picked, Ok(address(1)));
    assert_eq!(world.selection.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_and_the_requests_of_other_routes_make_room() {
    let world = world("round_robin", 1, 5);
    world.weights(&[1.0]);
    let free = limited(&world, "round_robin", 10, 0);
    let held = pick(&free).expect("1");
    let begin = || {
        let selection = Arc::clone(&world.selection);
        tokio::spawn(async move { wait(&selection).await })
    };
    let (one, two, three) = (begin(), begin(), begin());
    tokio::task::yield_now().await;
    world.update([spec(1), spec(2), spec(3)]);
    let (one, two) = (one.await.expect("no panic"), two.await.expect("no panic"));
    assert!(one.is_ok() && two.is_ok());
    assert!(!three.is_finished());
    drop(held);
    assert_eq!(
        three.await.expect("no panic").map(|it| it.address()),
        Ok(address(1))
    );
    // None is left: nobody waits in vain.
    let all = [pick(&world.selection), pick(&world.selection)];
    let four = begin();
    tokio::task::yield_now().await;
    world.update([]);
    let began = Instant::now();
    assert_eq!(four.await.expect("no panic").err(), Some(NoEndpoint::Empty));
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop((all, one, two));
}

/// Many threads: the bound holds at every moment, and nobody is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bound_holds_in_a_race_and_nobody_is_forgotten() {
    const LIMIT: usize = 2;
    let world = world("least_request", LIMIT as u32, 1_000);
    world.weights(&[1.0; 3]);
    let under_way: Arc<[AtomicUsize; 4]> = Arc::default();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (selection, under_way) = (Arc::clone(&world.selection), Arc::clone(&under_way));
            tokio::spawn(async move {
                for _ in 0..200 {
                    let picked = match pick(&selection) {
                        Err(NoEndpoint::Full) => wait(&selection).await,
                        picked => picked,
                    };
                    // A second is a long time for a hundred thousandth of one each.
                    let pick = picked.expect("nobody is forgotten");
                    let count = &under_way[pick.address().port() as usize];
                    assert!(count.fetch_add(1, SeqCst) < LIMIT);
                    tokio::task::yield_now().await;
                    count.fetch_sub(1, SeqCst);
                    drop(pick);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(world.selection.waiting(), 0);
}
