//! Silent, dead and reset connections.

use super::*;

#[test]
fn a_silent_client_is_asked_and_then_dropped_with_its_instances() {
    let mut world = World::new();
    let mut silent = world.connect(1);
    let mut subscriber = world.connect(2);
    world.register(&Owner::Connection(silent.id), "svc", instance(1));
    world.subscribe(&subscriber, "svc");
    let sent = world.pass_acknowledged(seconds(24), &mut subscriber);
    assert_eq!(hosts(&sent[0].1), [1]);
    let asked = silent.unread();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["kind"], "ClientDetectionRequest");
    let sent = world.pass_acknowledged(seconds(4), &mut subscriber);
    assert_eq!(
        sent.iter()
            .map(|(at, body)| (*at, hosts(body)))
            .collect::<Vec<_>>(),
        [(25_500, vec![])]
    );
    assert!(silent.stream.is_closed(), "the stream ends");
    assert!(silent.reset.try_recv().is_err(), "and it ends cleanly");
    assert!(
        !world.state.touch(silent.id, world.now),
        "later requests are told 301"
    );
}

#[test]
fn a_client_that_answers_stays() {
    let mut world = World::new();
    let mut client = world.connect(1);
    let sent = world.pass_acknowledged(seconds(65), &mut client);
    assert_eq!(sent.len(), 3);
    assert_eq!(world.state.connection_count(), 1);
}

#[test]
fn the_death_of_a_connection_takes_all_that_it_had() {
    let mut world = World::new();
    let client = world.connect(1);
    for service in ["a", "b"] {
        world.register(&Owner::Connection(client.id), service, instance(1));
        world.subscribe(&client, service);
    }
    world.register(&beats(9), "b", instance(9));
    world.state.disconnect(client.id, world.now);
    assert_eq!((world.ports("a"), world.ports("b")), (vec![], vec![9]));
    assert_eq!(world.state.subscribers(&ServiceKey::from("a")), 0);
    assert_eq!(world.state.instances, 1);
}

#[test]
fn a_dumb_server_asks_nobody_and_drops_nobody() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.state.set_push_fault(|fault| fault.hang = true);
    assert_eq!(world.pass(seconds(100), &mut client), []);
    assert_eq!(world.state.connection_count(), 1);
}

#[test]
fn streams_can_be_reset() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.register(&Owner::Connection(client.id), "svc", instance(1));
    world.state.reset_streams(world.now);
    assert_eq!(client.reset.try_recv(), Ok(()));
    assert_eq!(
        (world.state.connection_count(), world.ports("svc")),
        (0, vec![])
    );
}
