//! What `consistent_hash` does with requests that have a key.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use pailou_upstream::{Hint, Outcome, Pick, Tried};
use support::{ANSWERED, World, address, assert_shares};

fn world(weights: &[f64]) -> World {
    fastrand::seed(7);
    let world = World::new("consistent_hash");
    world.weights(weights);
    world
}

fn hint(key: usize) -> Hint<'static> {
    Hint::first().with_key(Some(Hint::hash(format!("user-{key}").as_bytes())))
}

fn pick(world: &World, key: usize) -> Pick {
    world.selection.pick(&hint(key)).expect("an endpoint")
}

/// Where each of so many keys goes while nothing is in flight.
fn owners(world: &World, keys: usize) -> Vec<u16> {
    (0..keys)
        .map(|key| pick(world, key).address().port())
        .collect()
}

#[test]
fn a_key_stays_and_keys_follow_the_weights() {
    for weights in [&[1.0, 1.0, 1.0][..], &[3.0, 2.0, 1.0], &[0.5, 1.0]] {
        let world = world(weights);
        let first = owners(&world, 20_000);
        assert_eq!(first, owners(&world, 20_000));
        let mut shares = BTreeMap::new();
        for owner in first {
            *shares.entry(owner).or_default() += 1;
        }
        assert_shares(&shares, weights, 3.0, &format!("{weights:?}"));
    }
}

#[test]
fn another_gateway_sends_a_key_to_the_same_endpoint() {
    let weights = [1.0; 5];
    assert_eq!(owners(&world(&weights), 500), owners(&world(&weights), 500));
}

#[test]
fn an_endpoint_that_comes_or_is_ejected_moves_only_its_own_keys() {
    let world = world(&[1.0; 5]);
    let before = owners(&world, 2_000);
    world.report(3, Outcome::Refused);
    let without = owners(&world, 2_000);
    for (before, after) in before.iter().zip(&without) {
        assert!(*after != 3 && (before == after || *before == 3));
    }
    // What it had is spread over all others.
    let pairs = before.iter().zip(&without).filter(|(was, _)| **was == 3);
    let heirs: BTreeSet<u16> = pairs.map(|(_, is)| *is).collect();
    assert_eq!(heirs, BTreeSet::from([1, 2, 4, 5]));
    world.weights(&[1.0; 6]);
    let with = owners(&world, 2_000);
    for (before, after) in without.iter().zip(&with) {
        assert!(before == after || *after == 6, "{before} to {after}");
    }
}

/// One key has all the traffic, and each of its requests stays: nobody gets more than the bound.
#[test]
fn the_load_of_an_endpoint_is_bounded() {
    let weights = [1.0, 2.0, 1.0, 4.0];
    let world = world(&weights);
    let held: Vec<_> = (0..800).map(|_| pick(&world, 1)).collect();
    let mut shares: BTreeMap<u16, u32> = BTreeMap::new();
    for pick in &held {
        *shares.entry(pick.address().port()).or_default() += 1;
    }
    for (port, count) in &shares {
        let bound = 1.25 * 800.0 * weights[usize::from(*port) - 1] / 8.0;
        assert!(f64::from(*count) <= bound.ceil(), "{port}: {shares:?}");
    }
    // As soon as its own endpoint has room again, the key is back.
    let own = held[0].address();
    drop(held);
    assert_eq!(pick(&world, 1).address(), own);
}

/// Distinct keys under a steady load of 200 requests.
#[test]
fn few_keys_leave_their_endpoint_for_its_load() {
    let world = world(&[1.0; 10]);
    let own = owners(&world, 5_000);
    let mut in_flight = std::collections::VecDeque::new();
    let mut moved = 0;
    for (key, own) in own.iter().enumerate() {
        let pick = pick(&world, key);
        moved += usize::from(pick.address().port() != *own);
        in_flight.push_back(pick);
        if in_flight.len() > 200 {
            in_flight.pop_front();
        }
        let most = (1..=10).map(|number| world.view(number).in_flight).max();
        assert!(most <= Some(26), "{most:?} with {}", in_flight.len());
    }
    assert!(moved < 1_250, "{moved} of 5000");
}

#[test]
fn requests_without_a_key_take_turns() {
    let world = world(&[1.0, 1.0, 2.0]);
    assert_shares(&world.shares(400), &[1.0, 1.0, 2.0], 1.0, "in turn");
}

#[test]
fn a_retry_goes_where_the_key_would_go_without_the_endpoint() {
    let world = world(&[1.0; 6]);
    for key in 0..200 {
        let mut tried = Tried::none();
        let mut order = Vec::new();
        for _ in 0..6 {
            let hint = Hint {
                tried: &tried,
                ..hint(key)
            };
            let pick = world.selection.pick(&hint).expect("one is left");
            pick.report(ANSWERED);
            order.push(pick.address());
            tried.push(pick.address());
        }
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 6);
        let mut again = Tried::none();
        again.push(order[0]);
        let hint = Hint {
            tried: &again,
            ..hint(key)
        };
        let second = world.selection.pick(&hint).expect("another").address();
        assert_eq!(second, order[1], "the same second choice each time");
    }
}

/// A request may have marked it out a moment ago; schedules are older than that.
#[test]
fn an_endpoint_that_was_just_ejected_is_passed_over_for_the_next_of_the_key() {
    let world = world(&[1.0; 4]);
    let key = (0..).find(|key| pick(&world, *key).address() == address(2));
    let key = key.expect("some key is its");
    pick(&world, key).report(Outcome::Refused);
    let next = pick(&world, key).address();
    assert_ne!(next, address(2));
    world.services.advance();
    assert_eq!(pick(&world, key).address(), next);
}
