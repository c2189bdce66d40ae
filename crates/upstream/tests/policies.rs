//! The shared suite: what every balancing policy must do, run over the registry.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use pailou_upstream::balance::REGISTRY;
use pailou_upstream::{EndpointSpec, Hint, NoEndpoint, Outcome, Tried};
use proptest::prelude::*;
use support::{ANSWERED, World, address, assert_shares, spec};

/// Weights that operators write, and some that they should not.
const WEIGHTS: [&[f64]; 7] = [
    &[1.0],
    &[1.0, 1.0, 1.0],
    &[0.5, 1.0],
    &[3.0, 2.0, 1.0],
    &[10.0, 1.0, 1.0],
    &[0.1, 0.7, 0.2, 1.0 / 3.0],
    &[100.0, 0.0, 50.0, 250.5],
];

/// So many picks that chance stays well below one percentage point.
const MANY: usize = 60_000;

/// Runs a case for every policy in the registry, with fixed seeds.
fn for_each_policy(case: impl Fn(&str, World)) {
    for entry in REGISTRY {
        fastrand::seed(42);
        case(entry.name, World::new(entry.name));
    }
}

#[test]
fn shares_follow_the_weights() {
    for_each_policy(|policy, world| {
        for weights in WEIGHTS {
            world.weights(weights);
            assert_shares(
                &world.shares(MANY),
                weights,
                1.0,
                &format!("{policy} {weights:?}"),
            );
        }
    });
}

#[test]
fn round_robin_is_within_a_percentage_point_over_3000_requests() {
    for seed in 0..20 {
        fastrand::seed(seed);
        let world = World::new("round_robin");
        for weights in WEIGHTS {
            world.weights(weights);
            assert_shares(&world.shares(3_000), weights, 1.0, &format!("{weights:?}"));
        }
    }
}

#[test]
fn what_is_not_eligible_is_never_picked() {
    for_each_policy(|policy, world| {
        world.update([
            spec(1),
            EndpointSpec {
                weight: 0.0,
                ..spec(2)
            },
            EndpointSpec {
                enabled: false,
                ..spec(3)
            },
            EndpointSpec {
                healthy: false,
                ..spec(4)
            },
            EndpointSpec {
                weight: f64::NAN,
                ..spec(5)
            },
            EndpointSpec {
                weight: f64::INFINITY,
                ..spec(6)
            },
            EndpointSpec {
                weight: -1.0,
                ..spec(7)
            },
            spec(8),
        ]);
        assert_eq!(world.selection.len(), 2, "{policy}");
        let shares = world.shares(2_000);
        assert_eq!(
            shares.keys().copied().collect::<Vec<_>>(),
            [1, 8],
            "{policy}"
        );
    });
}

#[test]
fn a_removed_endpoint_gets_no_new_requests_and_survivors_keep_their_state() {
    for_each_policy(|policy, world| {
        world.weights(&[1.0, 1.0, 1.0]);
        let held = world.pick_of(1);
        let picks = held.endpoint().picks();
        world.update([
            EndpointSpec {
                weight: 5.0,
                ..spec(1)
            },
            spec(3),
            spec(4),
        ]);
        assert_eq!(world.view(1).in_flight, 1, "{policy}");
        assert_eq!(world.view(1).picks, picks, "{policy}");
        let endpoint = Arc::clone(held.endpoint());
        drop(held);
        assert_eq!(world.view(1).in_flight, 0, "{policy}");
        assert!(
            Arc::ptr_eq(&endpoint, world.pick_of(1).endpoint()),
            "{policy}"
        );
        let shares = world.shares(2_000);
        assert_eq!(
            shares.keys().copied().collect::<Vec<_>>(),
            [1, 3, 4],
            "{policy}"
        );
    });
}

#[test]
fn an_ejected_endpoint_is_not_picked_and_the_others_share_its_load() {
    for_each_policy(|policy, world| {
        world.weights(&[1.0, 1.0, 2.0, 1.0]);
        world.report(2, Outcome::Refused);
        let shares = world.shares(MANY);
        assert_shares(&shares, &[1.0, 0.0, 2.0, 1.0], 1.0, policy);
    });
}

#[test]
fn retries_go_elsewhere_until_everything_was_tried() {
    for_each_policy(|policy, world| {
        for count in [1, 2, 3, 7] {
            world.weights(&vec![1.0; count]);
            let mut tried = Tried::none();
            let mut seen = BTreeSet::new();
            for _ in 0..count {
                let pick = world
                    .selection
                    .pick(&Hint::after(&tried))
                    .expect("one is left");
                assert!(seen.insert(pick.address()), "{policy}");
                tried.push(pick.address());
            }
            assert_eq!(
                world.selection.pick(&Hint::after(&tried)).err(),
                Some(NoEndpoint::AllTried),
                "{policy}"
            );
        }
    });
}

#[test]
fn a_retry_does_not_double_the_load_of_the_successor() {
    for_each_policy(|policy, world| {
        // Endpoint 1 fails each time without being ejected: each of its requests goes on to another.
        let weights = [1.0, 1.0, 2.0, 1.0, 1.0];
        world.weights(&weights);
        let mut shares = BTreeMap::new();
        for _ in 0..MANY {
            let mut pick = world.pick();
            if pick.address() == address(1) {
                let mut tried = Tried::none();
                tried.push(pick.address());
                pick = world.selection.pick(&Hint::after(&tried)).expect("another");
            }
            *shares.entry(pick.address().port()).or_default() += 1;
        }
        assert_shares(&shares, &[0.0, 1.0, 2.0, 1.0, 1.0], 1.0, policy);
    });
}

#[test]
fn a_retry_finds_the_light_one_beside_the_heavy() {
    for_each_policy(|policy, world| {
        world.weights(&[1000.0, 1.0]);
        let mut tried = Tried::none();
        tried.push(address(1));
        for _ in 0..100 {
            assert_eq!(
                world
                    .selection
                    .pick(&Hint::after(&tried))
                    .expect("the other")
                    .address(),
                address(2),
                "{policy}"
            );
        }
    });
}

#[test]
fn updates_between_all_requests_favour_nobody() {
    for_each_policy(|policy, world| {
        let mut shares = BTreeMap::new();
        // Without a key its endpoints take turns, which needs no large number; each of its updates makes a ring.
        let rounds = match policy {
            "consistent_hash" => 2_000,
            _ => 20_000,
        };
        for round in 0..rounds {
            let last = if round % 2 == 0 { 1.0 } else { 2.0 };
            world.weights(&[1.0, 1.0, 1.0, last]);
            *shares.entry(world.pick().address().port()).or_default() += 1;
        }
        // A quarter and a fifth in turn, and what is left for the last.
        assert_shares(&shares, &[22.5, 22.5, 22.5, 32.5], 1.0, policy);
    });
}

#[test]
fn contention_keeps_the_shares() {
    for_each_policy(|policy, world| {
        let weights = [3.0, 2.0, 1.0];
        world.weights(&weights);
        // All picks are held to the end: a policy that looks at the load then sees what was picked, and not which thread was stopped
        // with a pick in its hands.
        let pick_many = || (0..MANY / 4).map(|_| world.pick()).collect::<Vec<_>>();
        let held: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(pick_many)).collect();
            let picks = workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("a worker"));
            picks.collect()
        });
        let mut shares = BTreeMap::new();
        for pick in &held {
            *shares.entry(pick.address().port()).or_default() += 1;
        }
        assert_shares(&shares, &weights, 1.0, policy);
        for number in 1..=3 {
            assert_eq!(
                world.view(number).in_flight as usize,
                shares[&number],
                "{policy}"
            );
            assert_eq!(
                world.view(number).picks as usize,
                shares[&number],
                "{policy}"
            );
        }
        drop(held);
        for number in 1..=3 {
            assert_eq!(world.view(number).in_flight, 0, "{policy}");
        }
    });
}

#[test]
fn picks_ejections_and_updates_at_the_same_time_never_lose_an_endpoint() {
    for_each_policy(|policy, world| {
        world.weights(&[1.0; 6]);
        thread::scope(|scope| {
            for worker in 0..3 {
                let world = &world;
                scope.spawn(move || {
                    for round in 0..3_000 {
                        let pick = world.pick();
                        let dead = pick.address().port() <= 2 && round % 10 == worker;
                        pick.report(if dead { Outcome::Refused } else { ANSWERED });
                    }
                });
            }
            for round in 0..300 {
                world.weights(&[1.0, 1.0, 1.0, 1.0, 1.0, f64::from(round % 3)]);
            }
        });
        let in_flight: u32 = world
            .service
            .view()
            .endpoints
            .iter()
            .map(|endpoint| endpoint.in_flight)
            .sum();
        assert_eq!(in_flight, 0, "{policy}");
    });
}

#[test]
fn least_request_avoids_the_busy_one() {
    fastrand::seed(1);
    let world = World::new("least_request");
    world.weights(&[1.0; 5]);
    // As slow as it is, endpoint 1 keeps what it has got while the others answer at once.
    let mut slow = Vec::new();
    let mut count = 0;
    for _ in 0..5_000 {
        let pick = world.pick();
        if pick.address() == address(1) {
            count += 1;
            slow.push(pick);
        }
    }
    assert!(count <= 5, "the busy one got {count} of 5000");
}

#[test]
fn least_request_counts_in_flight_for_the_weight() {
    fastrand::seed(1);
    let world = World::new("least_request");
    world.weights(&[3.0, 1.0]);
    let held: Vec<_> = (0..4_000).map(|_| world.pick()).collect();
    let heavy = world.view(1).in_flight;
    assert_eq!(held.len(), 4_000);
    assert!(
        (2_900..=3_100).contains(&heavy),
        "{heavy} of 4000 for three quarters"
    );
}

/// Of five endpoints one answers in 100 ms and the others in 1 ms.
#[test]
fn peak_ewma_avoids_the_slow_one_and_shares_among_the_others() {
    fastrand::seed(1);
    let world = World::new("peak_ewma");
    world.weights(&[1.0; 5]);
    let mut shares = BTreeMap::new();
    for _ in 0..10_000 {
        let pick = world.pick();
        let latency = match pick.address() == address(1) {
            true => 100,
            false => 1,
        };
        pick.report(Outcome::Answered {
            status: 200,
            latency: std::time::Duration::from_millis(latency),
        });
        *shares.entry(pick.address().port()).or_default() += 1;
    }
    assert!(shares[&1] < 100, "{shares:?}");
    shares.remove(&1);
    assert_shares(&shares, &[0.0, 1.0, 1.0, 1.0, 1.0], 2.0, "the others");
}

#[test]
fn peak_ewma_counts_in_flight_for_the_weight() {
    fastrand::seed(1);
    let world = World::new("peak_ewma");
    world.weights(&[3.0, 1.0]);
    world.shares(100);
    let held: Vec<_> = (0..4_000).map(|_| world.pick()).collect();
    let heavy = world.view(1).in_flight;
    assert_eq!(held.len(), 4_000);
    assert!((2_900..=3_100).contains(&heavy), "{heavy} of 4000");
}

#[test]
fn a_weight_edit_keeps_the_place_in_the_cycle() {
    // Ten equal endpoints, of which the first five had their turn: after an edit the other five come.
    for seed in 0..50 {
        fastrand::seed(seed);
        let world = World::new("round_robin");
        world.weights(&[1.0; 10]);
        while world.pick().address() != address(10) {}
        world.shares(5);
        world.weights(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1]);
        let next: BTreeSet<u16> = world.shares(5).into_keys().collect();
        assert_eq!(next, (6..=10).collect(), "seed {seed}");
    }
}

#[test]
fn the_start_is_random() {
    let mut starts = BTreeSet::new();
    for seed in 0..50 {
        fastrand::seed(seed);
        let world = World::new("round_robin");
        world.weights(&[1.0; 4]);
        starts.insert(world.pick().address());
    }
    assert_eq!(starts.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Through the public interface: each schedule length gives each its share ± 1, wherever it begins.
    #[test]
    fn round_robin_gives_each_its_share_in_any_cycle(weights in prop::collection::vec(1_u32..=20, 1..12), skip in 0_usize..200) {
        let world = World::new("round_robin");
        world.weights(&weights.iter().map(|weight| f64::from(*weight)).collect::<Vec<_>>());
        world.shares(skip);
        let total: u32 = weights.iter().sum();
        let shares = world.shares(total as usize);
        for (index, weight) in weights.iter().enumerate() {
            let share = shares.get(&(index as u16 + 1)).copied().unwrap_or(0);
            prop_assert!(share.abs_diff(*weight as usize) <= 1, "{} got {} for {}", index, share, weight);
        }
    }
}
