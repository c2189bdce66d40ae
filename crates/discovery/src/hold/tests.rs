use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(30);

fn endpoint(port: u16) -> EndpointSpec {
    EndpointSpec {
        cluster: "DEFAULT".into(),
        ..EndpointSpec::new(([10, 0, 0, 1], port).into())
    }
}

/// One service and its clock.
struct Bench {
    hold: Hold,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(window: Duration) -> Bench {
        let now = Instant::now();
        Bench {
            hold: Hold::new(window),
            start: now,
            now,
        }
    }

    /// The server's answer at `second`, over connection `epoch`.
    fn at(&mut self, second: u64, epoch: u64, ports: &[u16]) -> Transition {
        self.now = self.start + Duration::from_secs(second);
        let update = Listed {
            endpoints: ports.iter().copied().map(endpoint).collect(),
            empty: ports.is_empty(),
            epoch,
        };
        self.hold.take(self.now, update)
    }

    fn wait_until(&mut self, second: u64) -> Transition {
        self.now = self.start + Duration::from_secs(second);
        self.hold.expire(self.now)
    }

    /// Ports that are listed and ports that are held.
    fn ports(&self) -> (Vec<u16>, Vec<u16>) {
        let effective = self.hold.effective();
        let (held, listed): (Vec<_>, Vec<_>) = effective.iter().partition(|endpoint| endpoint.held);
        let ports = |endpoints: Vec<&EndpointSpec>| {
            endpoints
                .iter()
                .map(|endpoint| endpoint.address.port())
                .collect()
        };
        (ports(listed), ports(held))
    }

    fn registration(&self, port: u16) -> u64 {
        let effective = self.hold.effective();
        effective
            .iter()
            .find(|endpoint| endpoint.address.port() == port)
            .expect("the port is in the set")
            .registration
    }
}

fn began(reason: Began, endpoints: usize) -> Transition {
    Transition {
        began: Some((reason, endpoints)),
        ended: None,
    }
}

fn ended(dropped: usize) -> Transition {
    Transition {
        began: None,
        ended: Some(dropped),
    }
}

#[test]
fn the_first_answer_is_taken_as_it_is_even_an_empty_one() {
    let mut bench = Bench::new(WINDOW);
    assert_eq!(bench.at(0, 1, &[]), Transition::default());
    assert_eq!(bench.ports(), (vec![], vec![]));
    assert_eq!(bench.at(1, 1, &[1, 2]), Transition::default());
    assert_eq!(bench.ports(), (vec![1, 2], vec![]));
}

#[test]
fn an_instance_that_leaves_beside_others_is_gone_at_once() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2, 3]);
    assert_eq!(bench.at(1, 1, &[2, 3]), Transition::default());
    assert_eq!(bench.ports(), (vec![2, 3], vec![]));
}

#[test]
fn a_restarted_server_that_lists_one_by_one_loses_nothing() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2, 3]);
    assert_eq!(bench.at(20, 2, &[]), began(Began::Reconnect, 3));
    assert_eq!(bench.ports(), (vec![], vec![1, 2, 3]));
    assert_eq!(bench.at(21, 2, &[]), Transition::default());
    assert_eq!(bench.at(25, 2, &[2]), Transition::default());
    assert_eq!(bench.ports(), (vec![2], vec![1, 3]));
    assert_eq!(bench.at(27, 2, &[1, 2]), Transition::default());
    assert_eq!(bench.at(29, 2, &[1, 2, 3]), ended(0));
    assert_eq!(bench.ports(), (vec![1, 2, 3], vec![]));
    assert_eq!(bench.hold.deadline(), None);
}

#[test]
fn what_is_never_listed_again_is_dropped_at_the_end() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    bench.at(20, 2, &[]);
    bench.at(25, 2, &[2]);
    assert_eq!(bench.wait_until(49), Transition::default());
    assert_eq!(bench.ports(), (vec![2], vec![1]));
    assert_eq!(bench.wait_until(50), ended(1));
    assert_eq!(bench.ports(), (vec![2], vec![]));
}

#[test]
fn a_real_scale_to_zero_is_believed_when_the_window_is_over() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    assert_eq!(bench.at(10, 1, &[]), began(Began::EmptyPush, 2));
    // Repeated empties, such as audits, do not lengthen it.
    assert_eq!(bench.at(25, 1, &[]), Transition::default());
    assert_eq!(bench.ports(), (vec![], vec![1, 2]));
    assert_eq!(bench.wait_until(40), ended(2));
    assert_eq!(bench.ports(), (vec![], vec![]));
    assert_eq!(bench.at(70, 1, &[]), Transition::default());
    assert_eq!(bench.ports(), (vec![], vec![]));
}

#[test]
fn an_endpoint_that_was_listed_again_and_leaves_is_gone_within_the_hold() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2, 3]);
    bench.at(10, 2, &[]);
    bench.at(12, 2, &[1, 2]);
    bench.at(14, 2, &[2]);
    assert_eq!(bench.ports(), (vec![2], vec![3]));
}

#[test]
fn an_empty_push_within_a_hold_holds_what_had_come_back_for_a_window_of_its_own() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    bench.at(10, 2, &[]);
    bench.at(20, 2, &[2]);
    bench.at(30, 2, &[]);
    assert_eq!(bench.ports(), (vec![], vec![1, 2]));
    assert_eq!(bench.wait_until(40), Transition::default());
    assert_eq!(bench.ports(), (vec![], vec![2]));
    assert_eq!(bench.wait_until(60), ended(2));
}

#[test]
fn another_reconnect_starts_the_window_again() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    bench.at(10, 2, &[]);
    bench.at(35, 3, &[]);
    bench.wait_until(64);
    assert_eq!(bench.ports(), (vec![], vec![1, 2]));
    assert_eq!(bench.wait_until(65), ended(2));
}

#[test]
fn a_reconnect_to_a_server_that_knows_everything_holds_nothing() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    assert_eq!(bench.at(10, 2, &[1, 2, 3]), Transition::default());
    assert_eq!(bench.ports(), (vec![1, 2, 3], vec![]));
    // What is listed on the new connection is believed when it leaves.
    bench.at(11, 2, &[1]);
    assert_eq!(bench.ports(), (vec![1], vec![]));
}

#[test]
fn what_the_server_says_now_wins_per_address() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    let mut unhealthy = endpoint(1);
    unhealthy.healthy = false;
    let update = Listed {
        endpoints: vec![unhealthy],
        empty: false,
        epoch: 2,
    };
    bench.hold.take(bench.now, update);
    let effective = bench.hold.effective();
    assert_eq!(effective.len(), 2);
    assert!(!effective[0].healthy && !effective[0].held);
    assert!(effective[1].healthy && effective[1].held);
}

#[test]
fn an_answer_whose_instances_were_all_refused_by_us_is_not_empty() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    let update = Listed {
        endpoints: Vec::new(),
        empty: false,
        epoch: 1,
    };
    assert_eq!(bench.hold.take(bench.now, update), Transition::default());
    assert_eq!(bench.ports(), (vec![], vec![]));
}

#[test]
fn a_window_of_zero_turns_the_hold_off() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.at(0, 1, &[1, 2]);
    assert_eq!(bench.at(1, 1, &[]), Transition::default());
    assert_eq!(bench.ports(), (vec![], vec![]));
    bench.at(2, 1, &[1]);
    bench.at(3, 2, &[]);
    assert_eq!(bench.ports(), (vec![], vec![]));
}

#[test]
fn only_an_address_that_was_absent_is_a_fresh_registration() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2]);
    let first = bench.registration(1);
    bench.at(1, 1, &[1, 2]);
    assert_eq!(bench.registration(1), first, "listed all the time");
    bench.at(2, 2, &[2]);
    bench.at(3, 2, &[1, 2]);
    assert_eq!(bench.registration(1), first, "held all the time");
    bench.at(4, 2, &[2]);
    bench.at(5, 2, &[1, 2]);
    assert!(bench.registration(1) > first, "absent meanwhile");
}

#[derive(Clone, Debug)]
struct Step {
    seconds: u64,
    reconnects: bool,
    ports: BTreeSet<u16>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0u64..40,
        prop::bool::weighted(0.2),
        prop::collection::btree_set(1u16..6, 0..5),
    )
        .prop_map(|(seconds, reconnects, ports)| Step {
            seconds,
            reconnects,
            ports,
        });
    prop::collection::vec(step, 1..30)
}

proptest! {
    /// Whatever the server does: what it lists is in, what is held was in before and is bounded in time,
    /// and a window after it fell silent, its word is all there is.
    #[test]
    fn the_effective_set_is_what_is_listed_and_what_was_in_before(steps in steps()) {
        let mut bench = Bench::new(WINDOW);
        let (mut second, mut epoch) = (0, 1);
        for step in &steps {
            second += step.seconds;
            bench.wait_until(second);
            let (listed, held) = bench.ports();
            let before: BTreeSet<u16> = listed.into_iter().chain(held).collect();
            epoch += u64::from(step.reconnects);
            let ports: Vec<_> = step.ports.iter().copied().collect();
            bench.at(second, epoch, &ports);
            let (listed, held) = bench.ports();
            prop_assert_eq!(&listed, &ports);
            prop_assert!(held.iter().all(|port| before.contains(port) && !step.ports.contains(port)));
            if step.reconnects || ports.is_empty() {
                let lost = before.iter().find(|port| !listed.contains(port) && !held.contains(port));
                prop_assert_eq!(lost, None);
            }
            if let Some(deadline) = bench.hold.deadline() {
                prop_assert!(deadline <= bench.now + WINDOW);
            }
        }
        bench.wait_until(second + WINDOW.as_secs());
        let last: Vec<_> = steps.last().map(|step| step.ports.iter().copied().collect()).unwrap_or_default();
        prop_assert_eq!(bench.ports(), (last, vec![]));
    }
}

#[test]
fn a_held_endpoint_that_was_taken_over_is_let_go_of() {
    let mut bench = Bench::new(WINDOW);
    bench.at(0, 1, &[1, 2, 3]);
    bench.at(10, 2, &[3]);
    let taken = |port: u16| {
        move |address: SocketAddr, epoch: u64, cause: Began| {
            // It was last listed over the connection that is lost.
            assert_eq!((epoch, cause), (1, Began::Reconnect));
            address.port() == port
        }
    };
    assert_eq!(bench.hold.release(taken(9)), Transition::default());
    assert_eq!(bench.hold.release(taken(1)), Transition::default());
    assert_eq!(bench.ports(), (vec![3], vec![2]));
    assert_eq!(bench.hold.release(taken(2)), ended(2));
    assert_eq!(bench.ports(), (vec![3], vec![]));
}

#[tokio::test(start_paused = true)]
async fn all_listings_of_an_address_are_held_and_listed_together() {
    let mut bench = Bench::new(WINDOW);
    let of = |port, cluster: &str| EndpointSpec {
        cluster: cluster.into(),
        ..endpoint(port)
    };
    let take = |bench: &mut Bench, epoch, endpoints: Vec<EndpointSpec>| {
        let empty = endpoints.is_empty();
        let listed = Listed {
            endpoints,
            empty,
            epoch,
        };
        bench.hold.take(bench.now, listed)
    };
    take(&mut bench, 1, vec![of(1, "a"), of(2, "a"), of(1, "b")]);
    let registration = bench.registration(1);
    let held = |bench: &Bench| -> Vec<(u16, String, bool, u64)> {
        let effective = bench.hold.effective();
        let row = |it: EndpointSpec| {
            let port = it.address.port();
            (port, it.cluster.to_string(), it.held, it.registration)
        };
        effective.into_iter().map(row).collect()
    };
    let row = |port, cluster: &str, is_held, registration| {
        (port, cluster.to_owned(), is_held, registration)
    };
    let other = bench.registration(2);
    assert_ne!(registration, other);
    let all = |is_held| {
        vec![
            row(1, "a", is_held, registration),
            row(1, "b", is_held, registration),
            row(2, "a", is_held, other),
        ]
    };
    assert_eq!(held(&bench), all(false));
    assert_eq!(take(&mut bench, 2, Vec::new()), began(Began::Reconnect, 2));
    assert_eq!(held(&bench), all(true));
    // One listing is enough to know that the address lives: what is listed now is all there is of it.
    take(&mut bench, 2, vec![of(1, "b")]);
    let expected = vec![row(1, "b", false, registration), row(2, "a", true, other)];
    assert_eq!(held(&bench), expected);
}
